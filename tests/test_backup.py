"""Backups by the scripts of ``deploy/``, with Postgres's own tools: complete or refused; a restored copy is quiet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.backups import Tools
from tests.operator_calls import answer, development, plain, ran
from voyagent.actors.foundation.config import Settings
from voyagent.actors.signed_heads import HeadFile, HeadSigner
from voyagent.http.service import Service
from voyagent.storage.audit_chain import Point

if TYPE_CHECKING:
    from tests.conftest import Agency, Database
    from voyagent.storage.embedded.servers import EmbeddedServers


@pytest.fixture
async def tools(servers: EmbeddedServers, database: Database, tmp_path: Path) -> Tools:
    return await Tools.on(servers, database, tmp_path)


async def test_a_dump_by_a_role_that_row_security_binds_is_refused_and_leaves_no_dump(
    tools: Tools, database: Database, agency: Agency
) -> None:
    status, told = await tools.backup(database.name, "voyagent")
    assert status != 0
    assert "row-level security" in told
    assert list(tools.folder.iterdir()) == []


async def test_the_newest_dumps_stay_with_their_heads(tools: Tools, database: Database) -> None:
    made = []
    for head in ("1", "2", "3"):
        (tools.folder / "heads.new").write_text(head)
        status, told = await tools.backup(database.name)
        assert status == 0, told
        made.append(Path(told.splitlines()[-1]))
    assert [dump.exists() for dump in made] == [False, True, True]
    heads = [dump.with_suffix(".heads.jsonl") for dump in made]
    assert [each.exists() and each.read_text() for each in heads] == [False, "2", "3"]
    assert {path.stat().st_mode & 0o777 for path in tools.folder.iterdir()} == {0o600}


async def prepared(db: asyncpg.Connection, agency: Agency) -> tuple[str, str]:
    """A running turn, a queued one, an approved call that is not carried out, one that waits, and an e-mail."""
    approved, waiting = await agency.call("book_flight"), await agency.call("pay_bill")
    await db.execute(
        "UPDATE tool_calls SET state = 'approved', approval_id = 'a', decided_at = now() WHERE id = $1", approved
    )
    await db.execute("UPDATE tool_calls SET approval_id = 'w' WHERE id = $1", waiting)
    for name, call, status in (("a", approved, "granted"), ("w", waiting, "pending")):
        await db.execute(
            """INSERT INTO pending_approvals (id, tenant_id, session_id, turn_id, tool_call_id, tool_name, summary,
                                              payload, input_hash, approver_roles, requested_at, expires_at, status)
               SELECT $1, $2, $3, $4, $5, 't', 's', '{}', input_hash, '{}', now(), now() + interval '1 day', $6
                 FROM tool_calls WHERE id = $5""",
            name,
            agency.tenant_id,
            agency.session_id,
            agency.turn_id,
            call,
            status,
        )
    await db.execute(
        """INSERT INTO turns (id, tenant_id, session_id, user_id, state, text_hash, queued_at)
           VALUES ('queued', $1, $2, $3, 'queued', '', now())""",
        agency.tenant_id,
        agency.session_id,
        agency.user_id,
    )
    await db.execute(
        """INSERT INTO outbox (id, tenant_id, kind, recipient, payload_sealed, state, due_at, message_id, created_at)
           VALUES (gen_random_uuid(), $1, 'invite', 'x@example.com', 'x', 'due', now(), 'm', now())""",
        agency.tenant_id,
    )
    return approved, waiting


STANDING = """
SELECT (SELECT jsonb_object_agg(id, state) FROM turns) AS turns,
       (SELECT jsonb_object_agg(tool, state) FROM tool_calls) AS calls,
       (SELECT jsonb_object_agg(id, status || ' ' || (expires_at <= now())) FROM pending_approvals) AS approvals,
       (SELECT jsonb_agg(jsonb_build_array(state, payload_sealed IS NULL)) FROM outbox) AS emails,
       (SELECT max(attempts) FROM turns WHERE state = 'running') AS attempts
"""


@pytest.mark.parametrize("resume", [False, True])
async def test_nothing_goes_on_in_a_restored_copy_unless_it_is_told_to(
    tools: Tools, database: Database, agency: Agency, servers: EmbeddedServers, resume: bool
) -> None:
    await prepared(agency.db, agency)
    copy = await tools.copy(database.name, *(["--resume"] if resume else []))
    db = await asyncpg.connect(servers.postgres.url("postgres", copy))
    try:
        found = {
            name: json.loads(value) if isinstance(value, str) else value
            for name, value in (await db.fetchrow(STANDING)).items()
        }
    finally:
        await db.close()
        await agency.db.execute(f"DROP DATABASE {copy} WITH (FORCE)")
    running = agency.turn_id
    if resume:
        assert found["turns"] == {running: "running", "queued": "queued"}
        assert found["calls"] == {"book_flight": "approved", "pay_bill": "proposed"}
        assert found["approvals"] == {"a": "granted false", "w": "pending false"}
        assert (found["emails"], found["attempts"]) == ([["due", False]], 0)
    else:
        assert found["turns"] == {running: "running", "queued": "cancelled"}
        assert found["calls"] == {"book_flight": "proposed", "pay_bill": "proposed"}
        assert found["approvals"] == {"a": "pending true", "w": "pending true"}
        assert (found["emails"], found["attempts"]) == ([["dropped", True]], 3)


async def test_a_restored_database_has_every_row_serves_and_its_chains_fit_the_heads_of_its_time(
    tools: Tools, database: Database, servers: EmbeddedServers, tmp_path: Path
) -> None:
    environ = development(database.url)
    assert (await ran(tmp_path, "seed", "--people-only", **environ))[0] == 0
    settings = Settings.load(environ=plain(tmp_path) | environ)
    heads = HeadFile(settings.data_dir, settings.sealing_keys)
    async with Service(settings) as service:
        await HeadSigner(store=service.system.storage, settings=settings, clock=service.system.clock).sign(10)
    heads.path.rename(tools.folder / "heads.new")
    copy = await tools.copy(database.name)
    admin = await asyncpg.connect(database.admin_url)
    restored = await asyncpg.connect(servers.postgres.url("postgres", copy))
    try:
        tables = [
            row[0]
            for row in await admin.fetch(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
        ]
        counts = {name: await admin.fetchval(f"SELECT count(*) FROM {name}") for name in tables}
        assert counts["users"] == 5
        assert {name: await restored.fetchval(f"SELECT count(*) FROM {name}") for name in tables} == counts
        assert (
            await restored.fetchval("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'users'")
            == "voyagent"
        )
        there = environ | {"VOYAGENT_DB_URL": servers.postgres.url("voyagent", copy)}
        (kept,) = tools.folder.glob("*.heads.jsonl")
        kept.rename(heads.path)
        known = await restored.fetchrow("SELECT tenant_id::text, seq, hash FROM audit_heads")
        assert heads.read() == {known["tenant_id"]: Point(known["seq"], known["hash"])}
        code, out, err = await ran(tmp_path, "audit", "verify", **there)
        assert (code, "unbroken  Demo Travels" in out) == (0, True), err
        code, out, err = await ran(tmp_path, "doctor", **there)
        assert (code, "ok  database" in out) == (0, True), out
        async with Service(Settings.load(environ=plain(tmp_path) | there)) as service:
            status, ready = await answer(f"{service.url}/health/ready")
            assert (status, ready["checks"]["database"]) == (200, "ok")
    finally:
        await restored.close()
        await admin.execute(f"DROP DATABASE {copy} WITH (FORCE)")
        await admin.close()
