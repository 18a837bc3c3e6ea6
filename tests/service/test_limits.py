"""What is at most: messages at once, turns in a minute, and a turn's time (business 4.3, 9)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.rehearsal import Gate, Hang, Turn
from voyagent.actors.domain.turns import QUEUE_LIMIT
from voyagent.http.service import Service

from .events import kinds
from .test_approvals import ask_for_booking, resolve

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

AT_ONCE = 20


async def posted(person: Person, session: str, text: str, on_busy: str) -> Any:
    """The stream of a message, or the code of its refusal."""
    url = f"{person.url}/chat/sessions/{session}/messages"
    response = await person.http.post(url, json={"message": text, "on_busy": on_busy}, headers=person.headers)
    if response.status == 200:
        return response
    assert response.status == 409
    return (await response.json())["detail"]


@pytest.mark.parametrize("on_busy", ["reject", "queue", "interrupt"])
async def test_b19_of_twenty_posts_at_once_one_runs_at_a_time_and_none_is_lost(
    on_busy: str, asha: Person, running: Running, admin: Admin
) -> None:
    session, gate = await asha.session(), Gate()
    running.rehearsal.play(*[Turn("One moment.", gate=gate)] * AT_ONCE)
    answers = await asyncio.gather(*(posted(asha, session, f"message {n}", on_busy) for n in range(AT_ONCE)))
    accepted = {n for n, answer in enumerate(answers) if not isinstance(answer, str)}
    refusals = {answer for answer in answers if isinstance(answer, str)}
    match on_busy:
        case "reject":
            assert (len(accepted), refusals) == (1, {"turn_in_progress"})
        case "queue":
            assert (len(accepted), refusals) == (1 + QUEUE_LIMIT, {"queue_full"})
        case _:
            assert len(accepted) >= 1 + QUEUE_LIMIT
            assert refusals <= {"queue_full"}
    await gate.open()
    bodies = await asyncio.gather(*(answers[n].read() for n in accepted))
    assert all(body.count(b'"kind":"final"') == 1 for body in bodies)
    log = await asha.replay(session)
    assert [event.id for event in log] == list(range(1, len(log) + 1))
    order = list(dict.fromkeys(event.data["turn_id"] for event in log))
    assert [event.data["turn_id"] for event in log] == sorted(
        (event.data["turn_id"] for event in log), key=order.index
    ), "two passes ran at a time"
    assert kinds(log).count("final") == len(order) == len(accepted)
    transcript = (await asha.get(f"/chat/sessions/{session}/messages?limit=200"))["items"]
    said = {item["content"][0]["text"] for item in transcript if item["role"] == "user"}
    assert said == {f"message {n}" for n in accepted}
    assert await admin.value("SELECT count(*) FROM turns WHERE state NOT IN ('completed', 'cancelled')") == 0


async def test_b43_of_fifty_turns_at_the_edge_as_many_run_as_may_also_after_a_restart(
    asha: Person, running: Running, admin: Admin
) -> None:
    await admin.execute("UPDATE tenant_settings SET rate_limit_per_minute = 10")
    sessions = [await asha.session() for _ in range(50)]
    told = await asyncio.gather(*(asha.say(session, "hello") for session in sessions))
    refused = [events for events in told if events[0].data["error_message"] == "rate_limited: minute"]
    assert len(refused) == 40
    assert await admin.value("SELECT count(*) FROM turns") == 10
    await running.service.stop()
    async with Service(running.settings) as again:
        asha.url = again.url
        events = await asha.say(sessions[0], "hello again")
        assert [event.data["error_message"] for event in events] == ["rate_limited: minute", None]
    assert await admin.value("SELECT count(*) FROM turns") == 10


async def test_b27_a_turn_has_six_hundred_seconds_over_all_its_passes(
    asha: Person, running: Running, admin: Admin
) -> None:
    session, events = await ask_for_booking(asha, running, then=(Hang(cut=False),))
    await admin.close_actor(session)
    await admin.execute("UPDATE turns SET ran_ms = 599500")
    assert (await resolve(asha, events[-2].data["approval_id"]))[0] == 200
    rest = await asha.replay(session, events[-1].id)
    assert kinds(rest) == ["approval_granted", "tool_result", "error", "final"]
    assert rest[-2].data["error_message"] == "turn_timeout: 600s"
    assert await admin.value("SELECT count(*) FROM bookings") == 1
