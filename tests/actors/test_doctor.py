"""``doctor`` reports a part as working only if it has tried it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from aiohttp import web
from redis.asyncio import Redis

from tests.mail_server import MailServer
from tests.storage.engine.nodes import node, owning
from tests.waiting import until
from voyagent.actors import doctor
from voyagent.actors.doctor import Finding
from voyagent.actors.foundation.config import Settings
from voyagent.actors.foundation.config_doubts import doubts
from voyagent.actors.signed_heads import HeadFile
from voyagent.storage.audit_chain import Point
from voyagent.storage.engine import canary
from voyagent.storage.engine.pool import SYSTEM_ROLE, connect
from voyagent.storage.engine.sealing import Sealing

if TYPE_CHECKING:
    from tests.conftest import Agency, Database
    from voyagent.storage.embedded.servers import EmbeddedServers

SETTINGS = {"VOYAGENT_ENV": "development", "VOYAGENT_MAIL_FROM": "Rao <desk@rao-travels.in>"}
SAFE = {
    "VOYAGENT_ENV": "production",
    "VOYAGENT_AUTH_SECRET": "kJ8s2Lq0vXw5Zr7tYb3nMc6pDf9gHa1e",
    "VOYAGENT_KMS_KEY": base64.b64encode(bytes(range(32))).decode(),
    "VOYAGENT_SMTP_URL": "smtps://mail.rao-travels.in",
    "VOYAGENT_MAIL_FROM": "Rao Travels <desk@rao-travels.in>",
    "VOYAGENT_PUBLIC_URL": "https://desk.rao-travels.in",
    "VOYAGENT_DB_URL": "postgresql://voyagent@db/voyagent",
    "VOYAGENT_REDIS_URL": "redis://127.0.0.1/0",
    "VOYAGENT_SUPPLIERS": "house",
    "VOYAGENT_MODEL_PRICES": "claude-sonnet-5-5=3/15/0.3/3.75@2026-11-01",
    "ANTHROPIC_API_KEY": "a key",
}

GONE = "0193f5a0-0000-7000-8000-0000000000ff"

Examine = Callable[..., Awaitable[dict[str, Finding]]]


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    """What is found with these variables, by part; a part that is not asked for is not there to be found."""

    async def found(**environ: str) -> dict[str, Finding]:
        given = {"VOYAGENT_DATA_DIR": str(tmp_path), **SETTINGS, **environ}
        return {each.part: each for each in await doctor.examine(Settings.load(environ=given), given)}

    return found


DIALOGUE: list[tuple[dict[bytes, bytes], str, str, str]] = [
    ({}, "", "the server accepts e-mails from desk@rao-travels.in", ""),
    ({b"EHLO": b"554 no\r\n"}, "", "ehlo_refused 554", "the mail server's log"),
    ({}, "user:secret@", "auth_not_offered", "correct user and password in VOYAGENT_SMTP_URL"),
    ({b"MAIL": b"553 not you\r\n"}, "", "sender_refused 553", "set VOYAGENT_MAIL_FROM"),
    ({b"RCPT": b"550 relaying denied\r\n"}, "", "recipient_refused 550", "allow this host to relay"),
    ({b"RSET": b"500 what\r\n"}, "", "rset_refused 500", "the mail server's log"),
    ({b"RCPT": b""}, "", "recipient_cut_off", "allow this host to relay"),
]


@pytest.mark.parametrize(("answers", "who", "told", "mend"), DIALOGUE, ids=[row[2] for row in DIALOGUE])
async def test_mail_works_if_the_whole_dialogue_of_a_delivery_does(
    examine: Examine, answers: dict[bytes, bytes], who: str, told: str, mend: str
) -> None:
    async with MailServer() as mail_server:
        mail_server.answers = answers
        found = (await examine(VOYAGENT_SMTP_URL=mail_server.url.replace("//", f"//{who}")))["mail"]
        assert mail_server.emails == []
    assert (found.works, found.text) == (not mend, told)
    assert mend in found.mend
    assert "secret" not in found.text + found.mend


async def test_a_relay_without_starttls_is_told_with_what_to_set(examine: Examine) -> None:
    async with MailServer() as mail_server:
        found = (await examine(VOYAGENT_SMTP_URL=mail_server.url.partition("?")[0]))["mail"]
    assert (found.works, found.text) == (False, "starttls_not_offered")
    assert "?tls=off" in found.mend


async def test_every_cause_of_the_dialogue_has_something_to_set() -> None:
    causes = ("connection_timed_out", "server_unreachable", "tls_failed", "certificate_not_trusted", "auth_refused")
    for cause in causes:
        assert "server's log" not in doctor._mend_mail(cause), cause


async def test_the_database_is_fit_only_if_keys_writes_and_roles_are(
    examine: Examine, database: Database, servers: EmbeddedServers
) -> None:
    async def text(url: str = database.url) -> str:
        found = (await examine(VOYAGENT_DB_URL=url))["database"]
        assert found.vital
        return ("ok " if found.works else "") + found.text

    assert (await text()).startswith("ok up to date, writable, secrets can be decrypted")
    assert "There is no role nobody" in await text(servers.postgres.url("nobody", database.name))
    assert "There is no database nowhere" in await text(servers.postgres.url(database="nowhere"))
    assert "does not bind" in await text(database.admin_url)
    system = await connect(database.url, role=SYSTEM_ROLE)
    await canary.keep(system, {"default": bytes(32)})
    assert "key 'default' is not the one" in await text()
    await system.execute("DELETE FROM sealing_canaries; DELETE FROM digest_keys")
    await system.close()
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    assert "takes no writes" in await text()
    await admin.close()


async def test_migrations_work_if_the_owner_can_sign_in_and_owns(
    examine: Examine, database: Database, servers: EmbeddedServers
) -> None:
    async def found(url: str) -> Finding:
        return (await examine(VOYAGENT_DB_URL=database.url, VOYAGENT_DB_MIGRATE_URL=url))["migrations"]

    assert (await found(database.url)).works
    assert "There is no role nobody" in (await found(servers.postgres.url("nobody", database.name))).text
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute("CREATE ROLE passerby LOGIN")
    try:
        assert "does not own" in (await found(servers.postgres.url("passerby", database.name))).text
    finally:
        await admin.execute("DROP ROLE passerby")
        await admin.close()


async def test_redis_works_if_it_keeps_what_it_is_given(examine: Examine, redis_url: str) -> None:
    assert (await examine(VOYAGENT_REDIS_URL=redis_url))["redis"].works
    client = Redis.from_url(redis_url)
    await client.config_set("maxmemory", "1")  # it answers a ping, and takes no write
    try:
        assert await client.ping()
        found = (await examine(VOYAGENT_REDIS_URL=redis_url))["redis"]
    finally:
        await client.config_set("maxmemory", "0")
        await client.aclose()
    assert not found.works
    assert "cannot be read and written" in found.text


@asynccontextmanager
async def vendor(status: int) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append({"key": request.headers["authorization"], **await request.json()})
        return web.json_response({"type": "message"}, status=status)

    app = web.Application()
    app.router.add_post("/v1/messages", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "works", "told"),
    [
        (200, True, "answers"),
        (400, False, "rejects the request"),
        (401, False, "rejects the API key"),
        (404, False, "does not know the model"),
        (429, False, "rate-limits this account"),
        (529, False, "returns an unexpected status"),
    ],
)
async def test_the_model_works_if_it_answers_a_question(examine: Examine, status: int, works: bool, told: str) -> None:
    async with vendor(status) as (url, asked):
        found = (await examine(ANTHROPIC_BASE_URL=url, ANTHROPIC_API_KEY="k-secret"))["model"]
    assert (found.works, told in found.text) == (works, True)
    assert [(each["key"], each["max_tokens"]) for each in asked] == [("Bearer k-secret", 1)]
    assert "k-secret" not in found.text + found.mend


async def test_a_folder_that_takes_no_file_is_told(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await examine())["data"].works

    def full(**_where: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert not (await examine())["data"].works


def test_a_whole_production_leaves_no_doubt() -> None:
    assert doubts(Settings.load(environ=SAFE)) == []


DOUBTS = [
    ({"VOYAGENT_PUBLIC_URL": "https://agency.example.com"}, "VOYAGENT_PUBLIC_URL"),
    ({"VOYAGENT_PUBLIC_URL": "https://localhost"}, "VOYAGENT_PUBLIC_URL"),
    ({"VOYAGENT_PUBLIC_URL": "https://10.0.0.7"}, "VOYAGENT_PUBLIC_URL"),
    ({"VOYAGENT_MAIL_FROM": "Rao Travels <desk@agency.example.com>"}, "VOYAGENT_MAIL_FROM"),
    ({"VOYAGENT_MAIL_FROM": ""}, "VOYAGENT_MAIL_FROM"),
    ({"VOYAGENT_REDIS_URL": ""}, "VOYAGENT_REDIS_URL"),
    ({"VOYAGENT_SUPPLIERS": ""}, "VOYAGENT_SUPPLIERS"),
    ({"VOYAGENT_MODEL_PRICES": ""}, "VOYAGENT_MODEL_PRICES"),
    ({"VOYAGENT_BSP_DIR": "/nowhere/bsp"}, "VOYAGENT_BSP_DIR"),
    ({"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY"),
]


@pytest.mark.parametrize(("change", "named"), DOUBTS)
def test_what_a_production_hardly_means_is_said_by_its_variable(change: dict[str, str], named: str) -> None:
    (told,) = doubts(Settings.load(environ=SAFE | change))
    assert told.startswith(f"{named}: ")
    assert "other@" not in told


@pytest.mark.parametrize("suppliers", ["galileo", "house,galileo"])
async def test_suppliers_nobody_has_a_driver_for_are_told(examine: Examine, suppliers: str) -> None:
    found = (await examine(VOYAGENT_SUPPLIERS=suppliers))["suppliers"]
    assert (found.works, found.vital, "galileo" in found.text) == (False, True, True)


async def test_nodes_are_listed_with_shards_epoch_and_lease(examine: Examine, database: Database) -> None:
    told = (await examine(VOYAGENT_DB_URL=database.url))["nodes"]
    assert (told.works, told.text) == (True, "no process serves the database")
    async with node(database.url, version="1.2.3") as own:
        await owning(own)
        async with node(database.url):
            db = await connect(database.admin_url)
            await until(lambda: db.fetchval("SELECT count(*) = 2 FROM nodes"))
            told = (await examine(VOYAGENT_DB_URL=database.url))["nodes"]
            assert told.works
            assert told.text.startswith(f"256 shards: node {own.node} (1.2.3), epoch 1, lease for ")
            assert told.text.endswith(" s; 1 waiting")
        await db.execute("UPDATE shards SET node = $1", GONE)
        await db.execute("INSERT INTO nodes (node, version, until) VALUES ($1, '1', now())", GONE)
        told = (await examine(VOYAGENT_DB_URL=database.url))["nodes"]
        assert (told.works, told.text.startswith(f"256 shards: node {GONE} (1), epoch 1, lease over")) == (False, True)
        await db.close()


async def test_nodes_of_a_database_that_cannot_be_read_are_left_to_its_own_finding(
    examine: Examine, empty_database: Database
) -> None:
    assert (await examine(VOYAGENT_DB_URL=empty_database.url))["nodes"].text == "no process serves the database"
    gone = await examine(VOYAGENT_DB_URL="postgresql://voyagent@127.0.0.1:1/x")
    assert (gone["nodes"].works, gone["nodes"].mend) == (False, "see database")
    assert (await examine())["nodes"].text == "no database"


async def test_a_rotation_of_sealing_keys_is_told_from_its_begin_to_its_end(
    examine: Examine, database: Database, agency: Agency, tmp_path: Path
) -> None:
    keys = {name: bytes(range(n, n + 32)) for n, name in enumerate(("old", "new"))}
    place = {"table": "users", "column": "totp_sealed", "row": agency.user_id}

    async def told(*names: str) -> Finding:
        ring = ",".join(f"{name}:{base64.b64encode(keys[name]).decode()}" for name in names)
        return (await examine(VOYAGENT_DB_URL=database.url, VOYAGENT_KMS_KEY=ring))["keys"]

    await agency.db.execute("UPDATE users SET totp_sealed = $1", Sealing({"old": keys["old"]}).seal(b"seed", **place))
    HeadFile(tmp_path, keys).write({"agency": Point(1, "1" * 64)}, datetime.now(UTC))
    assert await told("old") == Finding("keys", works=True, text="old seals")
    begun = await told("new", "old")
    assert (begun.works, begun.vital) == (False, False)
    assert begun.text == "older keys are still needed by users.totp_sealed (1), audit/heads.jsonl (1)"
    assert "keys reseal" in begun.mend
    early = await told("new")
    assert (early.works, early.vital) == (False, True)
    assert early.text == "key 'old' is missing, which users.totp_sealed (1), audit/heads.jsonl (1) need"
    await agency.db.execute("UPDATE users SET totp_sealed = $1", Sealing({"new": keys["new"]}).seal(b"seed", **place))
    HeadFile(tmp_path, {"new": keys["new"]}).write({"agency": Point(1, "1" * 64)}, datetime.now(UTC))
    ended = await told("new", "old")
    assert (ended.works, ended.text) == (True, "new seals; nothing needs old: remove it from VOYAGENT_KMS_KEY")
    assert (await told("new")).text == "new seals"
