"""What one person and one agency may hold: streams open at once, and conversations begun in a minute."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.rehearsal import Turn
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.manual_clock import ManualClock
    from tests.service.conftest import Make, Person, Running, Stream

TOO_MANY = (429, {"detail": "too_many_streams"})


@pytest.fixture
async def narrow(settings_for: Make, rehearsal: Any, running_class: Any) -> AsyncIterator[Running]:
    """A service of three streams a person and five an agency."""
    settings = settings_for(VOYAGENT_SSE_STREAMS_PER_PERSON="3", VOYAGENT_SSE_STREAMS_PER_AGENCY="5")
    rehearsal[0].reset()
    async with Service(settings) as service, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield running_class(service, rehearsal[0], http, settings)


@pytest.fixture
def running(narrow: Running) -> Running:
    """What the other fixtures stand on."""
    return narrow


def close(viewers: list[Stream]) -> None:
    for viewer in viewers:
        viewer.response.close()


async def soon(person: Person, path: str) -> None:
    """Until the service has noticed that somebody left."""
    async with asyncio.timeout(10):
        while (await person.call("HEAD", path))[0] == 429:  # noqa: ASYNC110  # the service has no event to wait for
            await asyncio.sleep(0.02)


async def test_a_person_opens_no_more_streams_than_allowed_and_a_closed_one_makes_room(asha: Person) -> None:
    session = await asha.session()
    events = f"/chat/sessions/{session}/events"
    viewers = [await asha.watch(session) for _ in range(3)]
    assert await asha.call("GET", events) == TOO_MANY
    async with asha.http.get(asha.url + events, headers=asha.headers) as response:
        assert int(response.headers["Retry-After"]) >= 1
    viewers.pop().response.close()
    await soon(asha, events)
    viewers.append(await asha.watch(session))
    assert await asha.call("GET", events) == TOO_MANY
    assert (await asha.call("GET", f"/chat/sessions/{session}"))[0] == 200
    close(viewers)


async def test_a_message_refused_for_its_stream_has_had_no_effect(asha: Person, running: Running) -> None:
    session = await asha.session()
    viewers = [await asha.watch(session) for _ in range(3)]
    assert await asha.call("POST", f"/chat/sessions/{session}/messages", json={"message": "hello"}) == TOO_MANY
    assert (await asha.get(f"/chat/sessions/{session}"))["message_count"] == 0
    viewers.pop().response.close()
    await soon(asha, f"/chat/sessions/{session}/events")
    running.rehearsal.play(Turn("Hello."))
    assert (await asha.say(session, "hello"))[-1].kind == "final"
    close(viewers)


async def test_an_agency_opens_no_more_than_its_people_together_are_allowed(
    asha: Person, running: Running, member: Callable[[Person, str], Awaitable[Person]]
) -> None:
    session = await asha.session()
    ravi, mira = await member(asha, "agent"), await member(asha, "agent")
    viewers = [await who.watch(session) for who in (asha, asha, asha, ravi, ravi)]
    assert await mira.call("GET", f"/chat/sessions/{session}/events") == TOO_MANY
    outsider = await running.sign_up("elsewhere")
    viewers.append(await outsider.watch(await outsider.session()))
    close(viewers)


async def test_streams_that_end_in_every_way_leave_nothing_counted(asha: Person, running: Running) -> None:
    session = await asha.session()
    events = f"/chat/sessions/{session}/events"
    for _ in range(4):
        running.rehearsal.play(Turn("Hello."))
        assert (await asha.say(session, "hello"))[-1].kind == "final"
        assert (await asha.call("HEAD", events))[0] == 200
        assert (await asha.call("GET", "/chat/sessions/no-session/events"))[0] == 404
        assert (await asha.call("POST", f"/chat/sessions/{session}/messages", json={"message": ""}))[0] == 422
    await soon(asha, events)
    close([await asha.watch(session) for _ in range(3)])


async def test_a_person_begins_no_more_conversations_a_minute_than_allowed(
    settings_for: Make, rehearsal: Any, running_class: Any, clock: ManualClock
) -> None:
    settings = settings_for(VOYAGENT_SESSIONS_PER_MINUTE="3")
    async with Service(settings, clock) as service, aiohttp.ClientSession() as http:
        running = running_class(service, rehearsal[0], http, settings)
        asha, ravi = await running.sign_up(), await running.sign_up()
        for _ in range(3):
            await asha.session()
        assert await asha.call("POST", "/chat/sessions") == (429, {"detail": "too_many_sessions"})
        await ravi.session()
        await clock.advance(60)
        await asha.session()


async def test_what_creates_no_conversation_counts_against_nothing(
    settings_for: Make, rehearsal: Any, running_class: Any, clock: ManualClock
) -> None:
    """A request repeated under its key, another promotion of the same enquiry, and one that is refused."""
    settings = settings_for(VOYAGENT_SESSIONS_PER_MINUTE="3")
    async with Service(settings, clock) as service, aiohttp.ClientSession() as http:
        asha = await running_class(service, rehearsal[0], http, settings).sign_up()
        made = await asha.raw("POST", "/chat/sessions", "key-1")
        _, enquiry = await asha.call("POST", "/enquiries", json={"customer_name": "Meera Iyer"})
        path = f"/enquiries/{enquiry['id']}/promote-to-session"
        promoted = await asha.raw("POST", path, "key-2")
        for _ in range(4):
            assert (await asha.call("POST", path))[1]["session_id"] == json.loads(promoted[2])["session_id"]
            assert (await asha.call("POST", path.replace(enquiry["id"], enquiry["tenant_id"])))[0] == 404
            assert (await asha.raw("POST", "/chat/sessions", "key-1"))[2] == made[2]
        await asha.session()
        assert await asha.call("POST", "/chat/sessions") == (429, {"detail": "too_many_sessions"})
        for key, target, (status, _, body) in (("key-1", "/chat/sessions", made), ("key-2", path, promoted)):
            again = await asha.raw("POST", target, key)
            assert (again[0], again[1]["Idempotency-Replayed"], again[2]) == (status, "true", body)
        assert len((await asha.get("/chat/sessions"))["sessions"]) == 3
