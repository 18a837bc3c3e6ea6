"""Passport numbers over the wire: who reads them in an itinerary, and what a change of keys does to them."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg

from tests.rehearsal import ToolUse, Turn
from tests.waiting import until
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Make, Person, Running

NUMBER = "Z8172635"
SAVE: dict[str, Any] = {"full_name": "Asha Rao", "passport_number": NUMBER, "passport_expiry": "2031-01-01"}
OLD, NEW = (f"{name}:{base64.b64encode(bytes(range(n, n + 32))).decode()}" for name, n in (("old", 0), ("new", 1)))


async def travels(person: Person, running: Running, admin: Any) -> str:
    """A session whose visa file is for somebody with a passport on file."""
    running.rehearsal.play(
        Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": "save"})),
        Turn(ToolUse("upsert_passenger", SAVE)),
        Turn("Saved."),
    )
    session = await person.session()
    await person.say(session, "save her passport")
    await admin.execute(
        "INSERT INTO visa_files (id, tenant_id, passenger_id, session_id, destination_country, visa_category,"
        " status, checklist, created_at)"
        " SELECT gen_random_uuid(), tenant_id, id, $1::uuid, 'AE', 'tourist', 'draft', '[]', now() FROM passengers",
        session,
    )
    return session


async def told(person: Person, session: str) -> str | None:
    found = await person.get("/reports/itinerary", params={"session_id": session})
    (traveller,) = found["passengers"]
    return traveller["passport_number"]  # type: ignore[no-any-return]


async def test_b41_an_itinerary_has_the_number_for_who_books_and_its_end_for_others(
    asha: Person, running: Running, admin: Admin, member: Callable[[Person, str], Awaitable[Person]]
) -> None:
    session = await travels(asha, running, admin)
    assert await told(asha, session) == NUMBER
    for role, expected in (
        ("ticketing_lead", NUMBER),
        ("accounting_lead", "2635"),
        ("agent", "2635"),
        ("viewer", "2635"),
    ):
        assert await told(await member(asha, role), session) == expected, role
    await admin.execute("UPDATE passengers SET passport_sealed = $1", b"\x03oldaltered")
    assert await told(asha, session) is None


async def test_b41_after_a_restart_with_a_new_key_numbers_are_sealed_with_it(
    settings_for: Make, rehearsal: Any, running_class: type[Running], database: Any
) -> None:
    session, db = "", await asyncpg.connect(database.admin_url)
    for ring, key in ((OLD, "old"), (f"{NEW},{OLD}", "new"), (NEW, "new")):
        settings = settings_for(VOYAGENT_KMS_KEY=ring)
        rehearsal[0].reset()
        async with Service(settings) as service, aiohttp.ClientSession() as http:
            running = running_class(service, rehearsal[0], http, settings)
            if not session:
                asha = await running.sign_up()
                session = await travels(asha, running, db)
            asha.http, asha.url = http, service.url

            async def is_sealed_with_it(key: str = key) -> bool:
                return bool(await db.fetchval("SELECT passport_key_id FROM passengers") == key)

            await until(is_sealed_with_it)
            assert await told(asha, session) == NUMBER
    await db.close()
