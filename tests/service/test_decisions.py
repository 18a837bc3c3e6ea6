"""One path of decisions, however they come in; what they rest on; and who may not make them (business 5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest

from tests.rehearsal import Gate, ToolUse, Turn
from voyagent.http.service import Service

from .events import kinds
from .shifted_clock import ShiftedClock
from .test_approvals import HANDOFF, SEARCH, ask_for_booking, book, resolve, results

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Make, Person, Running

SAVE = {"full_name": "Asha Rao", "date_of_birth": "1990-01-02"}


@dataclass(frozen=True, slots=True)
class Case:
    """Who decides what of an approval that stands how; and the code of the refusal, if it is one."""

    role: str
    granted: bool
    before: str = "pending"
    refusal: tuple[int, str] | None = None


CASES = {
    "granted": Case("ticketing_lead", granted=True),
    "rejected": Case("ticketing_lead", granted=False),
    "role": Case("accounting_lead", granted=True, refusal=(403, "forbidden_role")),
    "agent": Case("agent", granted=False, refusal=(403, "forbidden_role")),
    "decided": Case("ticketing_lead", granted=False, before="granted", refusal=(409, "approval_already_resolved")),
    "overdue": Case("ticketing_lead", granted=True, before="overdue", refusal=(409, "approval_already_resolved")),
}
OUTCOME = """
SELECT p.status, p.reason, p.resolved_by_user_id::text AS by, c.state, c.error, c.output ->> 'booked' AS booked,
       (SELECT array_agg(a.kind || ' ' || a.actor_kind || ' ' || coalesce(a.actor_id::text, '') ORDER BY a.seq)
          FROM audit_events a WHERE a.inputs ->> 'approval_id' = p.id) AS audit
  FROM pending_approvals p JOIN tool_calls c ON c.id = p.tool_call_id WHERE p.id = $1
"""


async def outcome_of(case: Case, way: str, person: Person, by: Person, running: Running, admin: Admin) -> Any:
    """What is stored after one decision that came in one way."""
    running.rehearsal.reset()
    session, events = await ask_for_booking(person, running, then=(Turn("I see."),))
    approval = events[-2].data["approval_id"]
    if case.before == "granted":
        assert (await resolve(person, approval))[0] == 200
        await person.replay(session, events[-1].id)
    elif case.before == "overdue":
        late = "UPDATE pending_approvals SET expires_at = now() - interval '1 second' WHERE id = $1"
        await admin.execute(late, approval)
    if way == "resolve":
        answer = await resolve(by, approval, granted=case.granted)
        assert answer[0] == 200 if case.refusal is None else answer == (case.refusal[0], {"detail": case.refusal[1]})
    else:
        told = await (await by.post(session, {"approvals": {approval: case.granted}})).all()
        if case.refusal is not None:
            assert (told[0].id, told[0].data["error_message"]) == (None, f"{case.refusal[1]}: {approval}")
        assert told[-1].kind == "final"
    if case.before == "overdue":  # its session was not told of the new time: waking, it reads it
        await admin.close_actor(session)
        async with asyncio.timeout(10):
            while await admin.value("SELECT status FROM pending_approvals WHERE id = $1", approval) == "pending":
                await person.replay(session, events[-1].id)
    await person.replay(session, events[-1].id)
    return dict(await admin.db.fetchrow(OUTCOME, approval))


@pytest.mark.parametrize("name", CASES)
async def test_b4_each_case_ends_alike_by_resolve_and_by_the_map_of_a_message(
    name: str, asha: Person, running: Running, admin: Admin, member: Any
) -> None:
    case = CASES[name]
    by = await member(asha, case.role)
    ways = [await outcome_of(case, way, asha, by, running, admin) for way in ("resolve", "map")]
    assert ways[0] == ways[1]
    if case.refusal is None:
        assert (ways[0]["status"], ways[0]["by"]) == (name, by.user["id"])
        assert f"approval.{name} human {by.user['id']}" in ways[0]["audit"]
    else:
        assert not [each for each in ways[0]["audit"] if by.user["id"] in each]


async def test_b59_a_key_never_decides_neither_by_resolve_nor_by_the_map(asha: Person, running: Running) -> None:
    session, events = await ask_for_booking(asha, running)
    approval = events[-2].data["approval_id"]
    status, made = await asha.call("POST", "/auth/api-keys", json={"name": "program"})
    assert status == 201
    program = type(asha)(asha.http, asha.url, made["key"], asha.user)
    refused = (403, {"detail": "api_key_not_allowed"})
    assert await resolve(program, approval) == refused
    for text in ("", "and more"):
        body = {"message": text, "approvals": {approval: True}}
        assert await program.call("POST", f"/chat/sessions/{session}/messages", json=body) == refused
    assert (await asha.get(f"/approvals/{approval}"))["status"] == "pending"
    assert (await program.say(session, "how is it going?"))[-1].kind == "final"


@dataclass(frozen=True, slots=True)
class Timed:
    """A service whose clock a test moves."""

    running: Running
    clock: ShiftedClock


@pytest.fixture
async def timed(settings_for: Make, rehearsal: Any, running_class: type[Running]) -> AsyncIterator[Timed]:
    settings, clock = settings_for(), ShiftedClock()
    rehearsal[0].reset()
    async with (
        Service(settings, clock) as service,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        yield Timed(running_class(service, rehearsal[0], http, settings), clock)


def book_after_search(received: Any) -> Turn:
    """Book the cheapest fare found in an earlier turn."""
    assert results(received)
    return book(received)


async def ask_late(person: Person, timed: Timed, minutes: int) -> tuple[str, Any]:
    """A booking that is asked for so many minutes after its fare was found: session and approval."""
    search = Turn(ToolUse("search_flights", SEARCH), ToolUse("upsert_passenger", SAVE))
    timed.running.rehearsal.play(HANDOFF, search, Turn("Found."), HANDOFF, book_after_search)
    session = await person.session()
    await person.say(session, "find a flight")
    timed.clock.shift(minutes * 60)
    events = await person.say(session, "book it")
    return session, await person.get(f"/approvals/{events[-2].data['approval_id']}")


async def test_b10_an_approval_ends_with_the_quote_it_rests_on(timed: Timed) -> None:
    asha = await timed.running.sign_up()
    session, asked = await ask_late(asha, timed, 10)
    life = datetime.fromisoformat(asked["expires_at"]) - datetime.fromisoformat(asked["requested_at"])
    assert timedelta(minutes=9) < life <= timedelta(minutes=10)
    newest = (await asha.get(f"/chat/sessions/{session}"))["last_event_id"]
    viewer = await asha.watch(session, f"?last_event_id={newest}")
    timed.clock.shift(601)
    await viewer.until("final")
    assert kinds(viewer.events) == ["approval_denied", "tool_result", "final"]
    assert viewer.events[0].data["error_message"] == "expired"
    assert await resolve(asha, asked["id"]) == (409, {"detail": "approval_already_resolved"})
    viewer.response.close()


async def test_b10_a_grant_whose_quote_ran_out_before_its_turn_came_does_not_run(timed: Timed) -> None:
    asha = await timed.running.sign_up()
    session, asked = await ask_late(asha, timed, 10)
    gate = Gate()
    timed.running.rehearsal.play(Turn("One moment.", gate=gate), Turn("It is too late."))
    busy = await asha.post(session, {"message": "wait a little"})
    await gate.waiting()
    assert (await resolve(asha, asked["id"]))[0] == 200
    timed.clock.shift(600)
    await gate.open()
    await busy.all()
    rest = await asha.replay(session, busy.events[-1].id)
    assert kinds(rest)[:2] == ["approval_granted", "tool_result"]
    assert rest[1].data["tool_output"]["booked"] is False
    assert rest[1].data["tool_output"]["reason"] == "offer_expired"
    assert (await asha.get(f"/approvals/{asked['id']}"))["status"] == "granted"


async def test_b8_the_timer_stores_an_expiry_with_nobody_watching(timed: Timed, database: Any) -> None:
    asha = await timed.running.sign_up()
    session, events = await ask_for_booking(asha, timed.running)
    db = await asyncpg.connect(database.admin_url)
    timed.clock.shift(901)
    async with asyncio.timeout(10):
        while not await db.fetchval("SELECT count(*) FROM audit_events WHERE kind = 'approval.expired'"):
            pass
    await db.close()
    viewer = await asha.watch(session, f"?last_event_id={events[-1].id}")
    await viewer.until("final")
    rest = viewer.events
    assert kinds(rest) == ["approval_denied", "tool_result", "final"]
    assert rest[1].data["tool_output"]["error"].startswith("approval_expired: ")
    item = await asha.get(f"/approvals/{events[-2].data['approval_id']}")
    assert (item["status"], item["resolved_by_user_id"]) == ("expired", None)
    viewer.response.close()


async def test_b25_approvals_page_without_overlap_or_skip(asha: Person, running: Running, admin: Admin) -> None:
    sessions = [(await ask_for_booking(asha, running, times=2))[0] for _ in range(3)]
    await admin.execute("UPDATE pending_approvals SET requested_at = '2026-01-01T00:00:00Z'")
    pages = [await asha.get(f"/approvals?limit=4&offset={offset}") for offset in (0, 4, 8)]
    seen = [item["id"] for page in pages for item in page["items"]]
    assert seen == sorted(set(seen), reverse=True)
    assert [page["total"] for page in pages] == [6, 6, 6]
    assert (await asha.get(f"/approvals?session_id={sessions[0]}"))["total"] == 2
