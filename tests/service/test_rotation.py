"""Every key of the service is rotated to the end: a new one in front, then the old one away, and all works on."""

from __future__ import annotations

import base64
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pyotp
import pytest

from tests.mail_server import MailServer
from tests.service.conftest import Person
from tests.service.test_passports import NUMBER, told, travels
from tests.waiting import until
from voyagent.actors import credentials, sealing_keys
from voyagent.actors.suppliers.credentials import unseal
from voyagent.http.service import Service
from voyagent.storage.engine import fitness
from voyagent.storage.engine.sealing import Sealing
from voyagent.storage.travel import supplier_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.service.conftest import Make, Running

OLD, NEW = (base64.b64encode(bytes(range(n, n + 32))).decode() for n in (0, 1))
PASSWORD, TOKEN = "a long password 1", "duffel_test_s3cret"
NOWHERE = "smtp://127.0.0.1:9?tls=off"


@pytest.fixture
async def db(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.admin_url)
    yield connection
    await connection.close()


@pytest.fixture
def rotated(settings_for: Make, rehearsal: Any, running_class: type[Running]) -> Any:
    """A service that is started with these settings."""

    @asynccontextmanager
    async def run(**settings: str) -> AsyncIterator[Running]:
        chosen = settings_for(**settings)
        rehearsal[0].reset()
        async with Service(chosen) as service, aiohttp.ClientSession() as http:
            yield running_class(service, rehearsal[0], http, chosen)

    return run


def again(person: Person, running: Running) -> Person:
    """The person at a service that was started again."""
    return Person(running.http, running.url, person.token, person.user)


async def test_r24_every_sealing_key_can_be_rotated_out_and_everything_works_on(
    rotated: Any, db: asyncpg.Connection, database: Any
) -> None:
    async with rotated(VOYAGENT_KMS_KEY=f"old:{OLD}", VOYAGENT_SMTP_URL=NOWHERE) as running:
        asha, ravi = await running.sign_up(), await running.sign_up()
        session = await travels(asha, running, db)
        _, made = await asha.call("POST", "/auth/totp/setup")
        device = pyotp.TOTP(made["secret"])
        _, on = await asha.call("POST", "/auth/totp/verify", json={"code": device.now()})
        _, made = await ravi.call("POST", "/auth/totp/setup")
        pending = pyotp.TOTP(made["secret"])
        invited = {"email": "anu@example.com", "role": "agent"}
        answers = [
            await asha.raw("POST", "/auth/invites", "invite", invited),
            await asha.raw("POST", "/auth/api-keys", "key", {"name": "a program"}),
        ]
        await credentials.put(running.settings, asha.user["tenant_id"], "duffel", TOKEN)
    begun = await sealing_keys.usage(running.settings, database.url)
    assert set(begun["old"]) == {
        "users.totp_sealed",
        "users.totp_pending_sealed",
        "digest_keys.sealed",
        "outbox.payload_sealed",
        "passengers.passport_sealed",
        "tenant_credentials.sealed",
        "idempotency_keys.reply",
        "audit/heads.jsonl",
    }
    (fault, *_) = await fitness.faults(database.url, {"new": base64.b64decode(NEW)})
    assert "key 'old' is missing" in fault

    async with rotated(VOYAGENT_KMS_KEY=f"new:{NEW},old:{OLD}", VOYAGENT_SMTP_URL=NOWHERE) as running:

        async def is_all_new() -> bool:
            return set(await sealing_keys.usage(running.settings, database.url)) == {"new"}

        await until(is_all_new)

    async with MailServer() as mail, rotated(VOYAGENT_KMS_KEY=f"new:{NEW}", VOYAGENT_SMTP_URL=mail.url) as running:
        asha, ravi = again(asha, running), again(ravi, running)
        assert await told(asha, session) == NUMBER
        me = {"email": asha.user["email"], "password": PASSWORD}
        for n, code in enumerate((device.now(), on["recovery_codes"][0], on["recovery_codes"][1])):
            status, entered = await asha.call("POST", "/auth/sign-in-totp", json=me | {"totp_code": code})
            assert (status, entered.get("recovery_codes_left", 10)) == (200, 10 - n)
        status, on = await ravi.call("POST", "/auth/totp/verify", json={"code": pending.now()})
        assert (status, on["totp_enabled"]) == (200, True)
        for (status, _, body), (path, key, sent) in zip(
            answers,
            (("/auth/invites", "invite", invited), ("/auth/api-keys", "key", {"name": "a program"})),
            strict=True,
        ):
            repeated = await asha.raw("POST", path, key, sent)
            assert (repeated[0], repeated[2]) == (status, body)
        load = supplier_credentials.Load(tenant_id=asha.user["tenant_id"], supplier="duffel")
        sealed = await running.service.system.storage.ask(load)
        ring = Sealing({"new": base64.b64decode(NEW)})
        assert unseal(ring, sealed, asha.user["tenant_id"], "duffel") == TOKEN
        await db.execute("UPDATE outbox SET due_at = now() WHERE kind = 'invite' AND state = 'due'")

        def link() -> str | None:
            for email in mail.emails:
                body = email.get_body(("plain",))
                assert body is not None
                if found := re.search(r"accept-invite\?token=([\w-]{43})\s", body.get_content()):
                    return found[1]
            return None

        token = await until(link)
        joins = {"token": token, "password": PASSWORD, "full_name": "Anu"}
        async with running.http.post(f"{running.url}/auth/accept-invite", json=joins) as answer:
            assert answer.status == 201, await answer.text()


async def test_r24_a_signing_secret_can_be_rotated_out_and_nobody_signs_in_again(rotated: Any) -> None:
    old, new = "the first secret that signs tokens of tests", "the second secret that signs tokens of tests"

    async def who(running: Running, token: str) -> int:
        async with running.http.get(f"{running.url}/auth/me", headers={"Authorization": f"Bearer {token}"}) as answer:
            return answer.status

    async def refresh(running: Running, token: str) -> dict[str, Any]:
        async with running.http.post(f"{running.url}/auth/refresh", json={"refresh_token": token}) as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async with rotated(VOYAGENT_AUTH_SECRET=old) as running:
        person = await running.sign_up()
        me = {"email": person.user["email"], "password": PASSWORD}
        async with running.http.post(f"{running.url}/auth/sign-in", json=me) as answer:
            first = await answer.json()
    async with rotated(VOYAGENT_AUTH_SECRET=old, VOYAGENT_AUTH_SECRETS=f"second:{new}") as running:
        assert await who(running, first["access_token"]) == 200
        second = await refresh(running, first["refresh_token"])
    async with rotated(VOYAGENT_AUTH_SECRET="", VOYAGENT_AUTH_SECRETS=f"second:{new}") as running:
        assert await who(running, first["access_token"]) == 401
        assert await who(running, second["access_token"]) == 200
        third = await refresh(running, second["refresh_token"])
        assert await who(running, third["access_token"]) == 200


async def test_a_metrics_token_can_be_rotated_out_while_its_scraper_goes_on(rotated: Any) -> None:
    old, new = "the-first-scrapers-token", "the-second-scrapers-token"

    async def scraped(running: Running, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with running.http.get(f"{running.url}/internal/metrics", headers=headers) as answer:
            return answer.status

    for tokens, taken in ((old, (200, 404)), (f"{new},{old}", (200, 200)), (new, (404, 200))):
        async with rotated(VOYAGENT_METRICS_TOKEN=tokens) as running:
            assert (await scraped(running, old), await scraped(running, new)) == taken
