"""What two things at once do to one conversation, with the database's locks taken by somebody else (business 4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.rehearsal import Gate, Text, Turn
from tests.service.sessions import Sessions
from tests.waiting import until
from voyagent.actors.conversation import session as session_actor
from voyagent.actors.conversation.session_messages import Wake
from voyagent.actors.domain.errors import Unavailable
from voyagent.storage.conversation import turns
from voyagent.storage.conversation.steps import session_lock

from .events import asked, kinds, words
from .test_approvals import ask_for_booking, resolve

TURNS = "SELECT count(*) FROM turns WHERE session_id = $1"
BOOKINGS = "SELECT count(*) FROM bookings"
USER_TEXTS = """
SELECT array_agg(content -> 0 ->> 'text' ORDER BY sequence) FROM messages WHERE session_id = $1 AND role = 'user'
"""


Locked = Callable[[str], Any]


@pytest.fixture
def locked(database: Any) -> Locked:
    """Holds what a statement locks, on a connection of its own, while the block runs."""

    @asynccontextmanager
    async def hold(statement: str) -> AsyncIterator[None]:
        db = await asyncpg.connect(database.admin_url)
        try:
            await db.execute("BEGIN")
            await db.execute(statement)
            yield
            await db.execute("ROLLBACK")
        finally:
            await db.close()

    return hold


async def blocked(admin: Any, on: str) -> None:
    """Wait until a statement with these words waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%'"
    await until(lambda: admin.value(query, on))


@pytest.mark.parametrize("on_busy", ["reject", "queue", "interrupt"])
async def test_b17_the_same_message_twice_at_once_is_one_turn(
    on_busy: str, asha: Any, running: Any, admin: Any
) -> None:
    for number in range(20):
        session = await asha.session()
        running.rehearsal.play(Turn("Done."))
        body = {"message": f"please book it {number}", "on_busy": on_busy}
        streams = await asyncio.gather(asha.post(session, body), asha.post(session, body), asha.post(session, body))
        seen = [[event.raw for event in await stream.all()] for stream in streams]
        assert seen[0] == seen[1] == seen[2]
        assert await admin.value(TURNS, session) == 1


async def test_b17_a_message_whose_sender_left_while_it_was_stored_is_joined_by_its_repetition(
    asha: Any, running: Any, admin: Any, locked: Locked
) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn("Done."))
    body = {"message": "please book it"}
    async with locked("LOCK TABLE turns IN EXCLUSIVE MODE"):
        first = asyncio.create_task(asha.post(session, body))
        await blocked(admin, "INSERT INTO turns")
        first.cancel()
        second = asyncio.create_task(asha.post(session, body))
        await asyncio.wait({first})
    assert words(await (await second).all()) == "Done."
    assert (await admin.value(TURNS, session), running.rehearsal.count) == (1, 1)


async def test_b17_text_with_a_decision_twice_at_once_is_said_once(asha: Any, running: Any, admin: Any) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked and sent."),))
    body = {"message": "yes, and send the invoice", "approvals": {asked(events)[0]: True}, "on_busy": "queue"}
    streams = await asyncio.gather(asha.post(session, body), asha.post(session, body))
    one, other = [kinds(await stream.all()) for stream in streams]
    assert one == other
    assert one[0] == "approval_granted"
    assert await admin.value(USER_TEXTS, session) == ["book a flight", "yes, and send the invoice"]
    assert await admin.value(TURNS, session) == 1


async def test_b3_a_key_twice_at_once_joins_what_it_began(asha: Any, running: Any, admin: Any) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn("Done."))
    key = {"Idempotency-Key": "k"}
    streams = await asyncio.gather(*(asha.post(session, {"message": "hello"}, **key) for _ in range(5)))
    seen = [[event.raw for event in await stream.all()] for stream in streams]
    assert all(each == seen[0] for each in seen)
    assert await admin.value(TURNS, session) == 1


async def test_b14_the_same_answer_to_two_questions_is_said_twice_though_its_sender_watches_from_elsewhere(
    asha: Any, running: Any
) -> None:
    session = await asha.session()
    live = await asha.watch(session)
    running.rehearsal.play(Turn("And a seat?"), Turn("And a meal?"), Turn("Booked."))
    for text in ("book it", "yes", "yes"):
        stream = await asha.post(session, {"message": text})
        stream.response.close()
        await live.until("final")
    assert words(live.events) == "And a seat?And a meal?Booked."
    live.response.close()


async def test_an_interrupt_ends_the_pass_it_was_sent_against_and_no_other(
    asha: Any, running: Any, admin: Any, locked: Locked
) -> None:
    session, events = await ask_for_booking(asha, running)
    gate = Gate()
    running.rehearsal.play(Turn("chatting", gate=gate), Turn("Booked."), Turn("Silent."))
    chat = await asha.post(session, {"message": "meanwhile"})
    await gate.waiting()
    assert (await resolve(asha, asked(events)[0]))[0] == 200
    async with locked("LOCK TABLE model_calls IN EXCLUSIVE MODE"):
        await gate.open()
        await blocked(admin, "model_calls")
        body = {"message": "no, stop chatting", "on_busy": "interrupt"}
        post = asyncio.create_task(asha.post(session, body))
        await asha.get(f"/chat/sessions/{session}")
    assert kinds(await chat.all())[-1] == "final"
    await (await post).all()
    assert await admin.value(BOOKINGS) == 1
    assert await admin.value("SELECT state FROM tool_calls WHERE tool = 'book_flight'") == "succeeded"


async def test_b19_a_queued_message_whose_start_is_refused_ends_with_an_error_and_stays_in_the_transcript(
    asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await asha.session()
    gate = Gate()
    running.rehearsal.play(Turn("one", gate=gate), Turn("three"))
    first = await asha.post(session, {"message": "first"})
    await gate.waiting()
    second = await asha.post(session, {"message": "second", "on_busy": "queue"})

    async def broken(*_: Any) -> Any:
        raise RuntimeError("a secret cause")

    with monkeypatch.context() as patch:
        patch.setattr(turns.Start, "run", broken)
        await gate.open()
        await first.all()
        told = await second.all()
    assert kinds(told) == ["error", "final"]
    assert told[0].data["error_message"].startswith("internal_error: ")
    assert await admin.value(USER_TEXTS, session) == ["first", "second"]
    assert await admin.value("SELECT array_agg(state ORDER BY queued_at) FROM turns") == ["completed", "failed"]
    assert words(await asha.say(session, "third")) == "three"
    assert "second" in str(running.rehearsal.requests[-1].messages)


async def test_b21_a_decision_that_outlives_its_session_is_carried_out(
    asha: Any, running: Any, admin: Any, locked: Locked, sessions: Sessions
) -> None:
    """The session fails while its decision waits behind somebody else's audit event, and is watched all the while."""
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    async with locked("SELECT * FROM audit_heads FOR UPDATE"):
        granting = asyncio.create_task(resolve(asha, asked(events)[0]))
        await blocked(admin, "voyagent_audit")
        sessions.actor(session).fail(Unavailable("storage_unavailable"))
        watching = asyncio.create_task(asha.watch(session, f"?last_event_id={events[-1].id}"))
        await blocked(admin, "pg_advisory_xact_lock")
    assert (await granting)[0] == 503
    viewer = await watching
    await viewer.until("final")
    assert kinds(viewer.events)[:2] == ["approval_granted", "tool_result"]
    assert await admin.value(BOOKINGS) == 1
    viewer.response.close()


async def test_b17_a_message_that_outlives_its_session_runs_once_though_it_is_sent_again(
    asha: Any, running: Any, admin: Any, locked: Locked, sessions: Sessions
) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn("Done."), Turn("Twice."))
    path, body = f"/chat/sessions/{session}/messages", {"message": "please book it"}
    async with locked("LOCK TABLE messages IN EXCLUSIVE MODE"):
        first = asyncio.create_task(asha.call("POST", path, json=body))
        await blocked(admin, "INSERT INTO messages")
        sessions.actor(session).fail(Unavailable("storage_unavailable"))
        assert (await first)[0] == 503
        again = asyncio.create_task(asha.post(session, body))
        await blocked(admin, "pg_advisory_xact_lock")
    assert words(await (await again).all()) == "Done."
    assert await admin.value(TURNS, session) == 1


async def test_b21_what_the_table_holds_and_the_session_does_not_know_is_taken_up(
    asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision that was stored behind the session's back, while somebody watches it and it cannot sleep."""
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    viewer = await asha.watch(session, f"?last_event_id={events[-1].id}")
    await admin.execute("UPDATE pending_approvals SET status = 'granted', resolved_at = now()")
    await admin.execute("UPDATE tool_calls SET state = 'approved', decided_at = now() WHERE approval_id IS NOT NULL")
    monkeypatch.setattr(session_actor, "JUST_LOADED_SECONDS", 0.0)
    running.service.system.root.tell(Wake(tenant_id=asha.user["tenant_id"], session_id=session))
    await viewer.until("final")
    assert kinds(viewer.events)[:2] == ["approval_granted", "tool_result"]
    assert await admin.value(BOOKINGS) == 1
    viewer.response.close()


async def test_a_session_waits_for_the_steps_of_its_former_life_before_it_reads(
    asha: Any, running: Any, admin: Any, database: Any
) -> None:
    """A lost COMMIT is simulated by the lock every step of the session holds until it has ended."""
    session = await asha.session()
    running.rehearsal.play(Turn("Here."))
    told = await asha.say(session, "hello")
    await admin.close_actor(session)
    zombie = await asyncpg.connect(database.admin_url)
    await zombie.execute("BEGIN")
    await zombie.execute("SELECT pg_advisory_xact_lock($1)", session_lock(session))
    replay = asyncio.create_task(asha.replay(session))  # writes nothing, so that only the reading can wait
    await blocked(admin, "pg_advisory_xact_lock")
    assert not replay.done()
    await zombie.execute("COMMIT")
    assert [event.raw for event in await replay] == [event.raw for event in told]
    await zombie.close()


async def test_b3_the_key_of_a_turn_that_is_over_replays_that_turn_alone(asha: Any, running: Any, admin: Any) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn("one"), Turn("two"), Turn("three"))
    await asha.say(session, "first")
    second = await (await asha.post(session, {"message": "second"}, **{"Idempotency-Key": "k"})).all()
    await asha.say(session, "third")
    await admin.execute("DELETE FROM session_events WHERE session_id = $1 AND seq < $2", session, second[0].id)
    await admin.execute("UPDATE sessions SET pruned_through = $2 WHERE id = $1", session, second[0].id - 1)
    await admin.close_actor(session)
    again = await (await asha.post(session, {"message": "second"}, **{"Idempotency-Key": "k"})).all()
    assert [event.raw for event in again] == [event.raw for event in second]


async def test_b3_a_key_repeated_while_its_turn_is_resumed_follows_to_the_end(asha: Any, running: Any) -> None:
    session = await asha.session()
    key = {"Idempotency-Key": "k"}
    gate = Gate()
    _, events = await ask_for_booking(
        asha, running, session=session, **key, then=(Turn(Text.split("Bo", "oked."), gate=gate),)
    )
    live = await asha.watch(session)
    assert (await resolve(asha, asked(events)[0]))[0] == 200
    await gate.release()
    await live.until("text_delta")
    again = await asha.post(session, {"message": "book a flight"}, **key)
    await gate.open()
    seen = await again.all()
    assert kinds(seen).count("final") == 2
    assert words(seen).endswith("Booked.")
    live.response.close()


async def test_a_map_sent_while_a_pass_of_its_turn_runs_is_followed_to_the_pass_it_causes(
    asha: Any, running: Any, admin: Any
) -> None:
    session, events = await ask_for_booking(asha, running, times=2)
    first, second = asked(events)
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("wi", "ndow"), gate=gate), Turn("Both."))
    one = await asha.post(session, {"approvals": {first: True}, "message": "window seat please"})
    await gate.release()
    await one.until("text_delta")
    other = await asha.post(session, {"approvals": {second: True}})
    await gate.open()
    seen = await other.all()
    await one.all()
    assert "approval_granted" in kinds(seen)
    assert kinds(seen)[-1] == "final"
    assert words(seen).endswith("Both.")
    assert await admin.value(BOOKINGS) == 2


async def test_a_cursor_at_the_newest_event_follows_a_message_that_is_being_stored(
    asha: Any, running: Any, admin: Any, locked: Locked
) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn("one"), Turn("two"))
    newest = (await asha.say(session, "first"))[-1].id
    async with locked("LOCK TABLE turns IN EXCLUSIVE MODE"):
        post = asyncio.create_task(asha.post(session, {"message": "second"}))
        await blocked(admin, "INSERT INTO turns")
        follower = await asha.post(session, {}, **{"Last-Event-ID": str(newest)})
    seen = await follower.all()
    assert (words(seen), kinds(seen)[-1]) == ("two", "final")
    await (await post).all()


async def test_b43_a_message_that_could_not_be_stored_counts_against_no_limit(
    asha: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = {"rate_limit_per_minute": 2, "rate_limit_per_hour": 2}
    assert (await asha.call("PATCH", "/tenant-settings", json=limit))[0] == 200
    session = await asha.session()

    async def broken(*_: Any) -> Any:
        raise RuntimeError("a secret cause")

    with monkeypatch.context() as patch:
        patch.setattr(turns.Accept, "run", broken)
        for _ in range(3):
            status, _ = await asha.call("POST", f"/chat/sessions/{session}/messages", json={"message": "hello"})
            assert status == 500
    running.rehearsal.play(Turn("one"), Turn("two"))
    assert [words(await asha.say(session, text)) for text in ("first", "second")] == ["one", "two"]
    refused = await asha.say(session, "third")
    assert refused[0].data["error_message"].startswith("rate_limited: ")


@pytest.mark.parametrize("granted", [True, False], ids=["granted", "rejected"])
async def test_a_session_whose_approvals_are_decided_has_no_reason_to_stay_active(
    granted: bool, asha: Any, running: Any, sessions: Sessions
) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Fine."),))
    assert (await resolve(asha, asked(events)[0], granted=granted))[0] == 200
    await asha.replay(session, events[-1].id)
    actor = sessions.actor(session)

    async def quiet() -> bool:
        return not actor.approval_timer.any and not actor.log.subscriptions

    await until(quiet)
