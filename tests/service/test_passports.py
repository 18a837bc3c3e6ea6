"""Passport numbers over the wire: who reads them in an itinerary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tests.rehearsal import ToolUse, Turn

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

NUMBER = "Z8172635"
SAVE: dict[str, Any] = {"full_name": "Asha Rao", "passport_number": NUMBER, "passport_expiry": "2031-01-01"}


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
