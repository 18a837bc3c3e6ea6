"""Messages on their way in: stored, answered, repeated, refused, and counted against the agency's quota."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.actors.conversation.parts import ASHA, LAST, RAVI, SESSION, TENANT, Parts, parts
from voyagent.actors.conversation.event_log import Subscription
from voyagent.actors.conversation.intake import Accepted
from voyagent.actors.conversation.new_message import NewMessage
from voyagent.actors.conversation.scheduler import Turn
from voyagent.actors.conversation.turn import Interrupt, PassEnded
from voyagent.actors.domain.audit import Author
from voyagent.actors.domain.errors import Conflict, Refusal, Unavailable
from voyagent.actors.domain.turns import Started, TurnError, text_hash
from voyagent.storage.conversation import turns
from voyagent.storage.conversation.steps import Written
from voyagent.storage.engine.idempotency import IdempotencyKey

STOP = Interrupt(TurnError("turn_cancelled", "stopped by a person"), ASHA)
BUDGET = 1000

Reply = asyncio.Future[Subscription]


@pytest.fixture
async def session() -> AsyncIterator[Parts]:
    async with parts() as made:
        made.quota.settings = replace(made.settings, rate_limit_per_minute=BUDGET, daily_token_budget=None)
        yield made


def key(name: str = "k", body: bytes = b"1") -> IdempotencyKey:
    return IdempotencyKey(tenant_id=TENANT, user_id="asha", route="messages", key=name, body_hash=body)


def take(session: Parts, text: str = "To Goa", who: Author = ASHA, **more: Any) -> Reply:
    """Take a message in, without waiting for anything."""
    reply: Reply = asyncio.get_running_loop().create_future()
    session.intake.take_in(NewMessage(who=who, text=text, **more), reply)
    return reply


async def send(session: Parts, text: str = "To Goa", who: Author = ASHA, **more: Any) -> Reply:
    """Take a message in and let everything happen that then does."""
    reply = take(session, text, who, **more)
    await session.owner.settle()
    return reply


async def begin(session: Parts) -> Turn:
    """A turn whose first pass runs."""
    await send(session, "The first message")
    assert session.scheduler.current is not None
    return session.scheduler.current.turn


def counted(session: Parts) -> int:
    """How many turns are counted against the agency's quota."""
    session.quota.settings = replace(session.settings, rate_limit_per_minute=BUDGET, daily_token_budget=None)
    free = 0
    while session.quota.admit() is None:
        free += 1
    for _ in range(free):
        session.quota.uncount()
    return BUDGET - free


def refusal(reply: Reply) -> str:
    error = reply.exception()
    assert isinstance(error, Refusal)
    return error.code


def refuse(error: Exception) -> Any:
    raise error


def told(frames: bytes) -> list[tuple[str, str | None]]:
    """Kind and error of each frame."""
    lines = [json.loads(line[6:]) for line in frames.splitlines() if line.startswith(b"data: ")]
    return [(line["kind"], line["error_message"]) for line in lines]


def accepts(session: Parts) -> list[turns.Accept]:
    return session.store.of(turns.Accept)


async def test_a_message_to_an_idle_session_is_stored_and_its_pass_runs(session: Parts) -> None:
    reply = await send(session, "  To Goa  ")
    [accept] = accepts(session)
    assert (accept.tenant_id, accept.session_id, accept.user_id) == (TENANT, SESSION, "asha")
    assert (accept.text, accept.text_hash, accept.title) == ("  To Goa  ", text_hash("  To Goa  "), "To Goa")
    assert (accept.queued, accept.key) == (False, None)
    run = session.scheduler.current
    assert run is not None
    assert list(session.owner.children) == [f"{accept.turn_id}/{run.number}"]
    assert (run.turn.first_event, run.turn.pass_event) == (LAST + 1, LAST + 1)
    subscription = reply.result()
    assert (subscription.after, subscription.only) == (LAST, accept.turn_id)
    assert subscription.until.ends == (run.end,)


async def test_while_a_message_is_stored_no_other_pass_may_start(session: Parts) -> None:
    session.store.hold(turns.Accept)
    reply = await send(session)
    assert (session.intake.starting, session.intake.busy, session.intake.idle) == (True, True, False)
    assert not reply.done()
    session.store.held.pop().reply.set_result(Written(reply=True, rows=()))
    await session.owner.settle()
    assert reply.done()
    assert (session.intake.starting, session.intake.busy, session.intake.idle) == (False, False, True)


async def test_a_message_that_is_looked_up_is_in_progress_but_keeps_nobody_waiting(session: Parts) -> None:
    session.store.hold(turns.LookUp)
    await send(session, key=key())
    assert (session.intake.starting, session.intake.busy, session.intake.idle) == (False, False, False)


async def test_a_busy_session_refuses_another_message(session: Parts) -> None:
    await begin(session)
    assert refusal(await send(session, who=RAVI)) == "turn_in_progress"
    assert len(accepts(session)) == 1
    assert session.owner.calls == ["refused"]
    assert counted(session) == 1


async def test_a_message_is_refused_while_the_process_stops_or_the_session_is_deleted(session: Parts) -> None:
    session.shared.stopping = True
    assert refusal(await send(session)) == "shutting_down"
    session.shared.stopping, session.owner.deleting = False, True
    assert refusal(await send(session)) == "turn_in_progress"
    assert accepts(session) == []


async def test_a_queued_message_keeps_its_text_until_its_pass_starts(session: Parts) -> None:
    running = await begin(session)
    reply = await send(session, "And a hotel", RAVI, on_busy="queue")
    accept = accepts(session)[-1]
    assert accept.queued
    assert session.scheduler.queue == [accept.turn_id]
    turn = session.scheduler.turns[accept.turn_id]
    assert (turn.state, turn.text, turn.user_id) == ("queued", "And a hotel", "ravi")
    assert reply.result().until.ends == (turn.next_end,)
    assert session.scheduler.current is not None
    assert session.scheduler.current.turn is running


async def test_an_interrupting_message_goes_first_and_ends_the_pass_it_was_judged_against(session: Parts) -> None:
    running = await begin(session)
    await send(session, "A hotel", RAVI, on_busy="queue")
    await send(session, "Stop, to Delhi", RAVI, on_busy="interrupt")
    _, hotel, delhi = accepts(session)
    assert session.scheduler.queue == [delhi.turn_id, hotel.turn_id]
    [received] = session.owner.children.values()
    assert received == [Interrupt(TurnError("turn_interrupted", "a newer message took its place"), RAVI)]
    assert session.scheduler.current is not None
    assert session.scheduler.current.turn is running


async def test_a_message_over_the_agency_s_limit_is_told_so_on_its_own_stream(session: Parts) -> None:
    session.quota.settings = replace(session.settings, rate_limit_per_minute=0)
    subscription = (await send(session)).result()
    assert told(subscription.prelude) == [("error", "rate_limited: minute"), ("final", None)]
    assert subscription.until.replay
    assert accepts(session) == []
    assert session.owner.calls == ["refused"]
    assert session.intake.idle


@pytest.mark.parametrize(
    ("error", "calls", "failures"),
    [
        (Conflict("turn_in_progress"), ["reconcile", "refused"], 0),
        (Conflict("queue_full"), ["refused"], 0),
        (Unavailable("storage_unavailable"), ["refused"], 1),
    ],
)
async def test_a_message_that_was_not_stored_is_not_counted(
    error: Refusal, calls: list[str], failures: int, session: Parts
) -> None:
    session.store.on(turns.Accept, lambda _: refuse(error))
    assert refusal(await send(session)) == error.code
    assert session.owner.calls == calls
    assert len(session.owner.failures) == failures
    assert (session.intake.idle, session.intake.latest, session.scheduler.current) == (True, None, None)
    assert counted(session) == 0


async def test_a_stored_message_stays_counted_however_its_turn_ends(session: Parts) -> None:
    turn = await begin(session)
    session.passes.ended(PassEnded(turn.id, "failed"))
    assert counted(session) == 1


async def test_messages_that_are_not_stored_when_the_session_ends_are_not_counted(session: Parts) -> None:
    session.store.hold(turns.Accept)
    await send(session)
    assert counted(session) == 1
    session.intake.close()
    assert counted(session) == 0


async def test_a_repetition_of_a_message_being_stored_gets_the_same_stream(session: Parts) -> None:
    session.store.hold(turns.Accept)
    first, second = await send(session), await send(session)
    [held] = session.store.held
    held.reply.set_result(Written(reply=True, rows=()))
    await session.owner.settle()
    one, other = first.result(), second.result()
    assert one is not other
    assert (one.after, one.only, one.until) == (other.after, other.only, other.until)
    assert counted(session) == 1


async def test_all_who_repeat_a_message_are_told_that_it_was_refused(session: Parts) -> None:
    session.store.hold(turns.Accept)
    replies = [await send(session), await send(session)]
    session.store.held.pop().reply.set_exception(Conflict("queue_full"))
    await session.owner.settle()
    assert [refusal(reply) for reply in replies] == ["queue_full"] * 2
    assert session.owner.calls == ["refused"]


async def test_a_repetition_of_the_message_that_runs_rejoins_its_turn(session: Parts) -> None:
    turn = await begin(session)
    turn.first_event = LAST - 3
    subscription = (await send(session, "The first message")).result()
    assert (subscription.after, subscription.only) == (LAST - 4, turn.id)
    assert len(accepts(session)) == 1
    assert counted(session) == 1


async def test_the_same_text_of_another_user_is_no_repetition(session: Parts) -> None:
    await begin(session)
    assert refusal(await send(session, "The first message", RAVI)) == "turn_in_progress"


async def test_a_key_is_looked_up_before_its_message_is_judged(session: Parts) -> None:
    session.store.hold(turns.LookUp)
    reply = await send(session, key=key())
    [held] = session.store.held
    assert isinstance(held.message, turns.LookUp)
    assert (held.message.key, held.message.tenant_id, held.message.session_id) == (key(), TENANT, SESSION)
    assert accepts(session) == []
    held.reply.set_result(turns.LookedUp(None, None, decidable=False))
    await session.owner.settle()
    assert [accept.key for accept in accepts(session)] == [key()]
    assert reply.result().only == accepts(session)[0].turn_id


async def test_a_key_that_cannot_be_looked_up_is_refused(session: Parts) -> None:
    session.store.on(turns.LookUp, lambda _: refuse(Conflict("idempotency_key_reused")))
    assert refusal(await send(session, key=key())) == "idempotency_key_reused"
    assert session.intake.idle
    assert counted(session) == 0


@pytest.mark.parametrize(
    ("started", "first_event", "after", "only"),
    [
        (Started(("t-7",)), 4, 3, "t-7"),
        (Started(("t-7",)), None, LAST, "t-7"),
        (Started(("t-7",), after=6), 4, 6, "t-7"),
        (Started(("t-7", "t-8"), after=6), 4, 6, None),
    ],
    ids=["a turn", "a turn without events", "one resumed turn", "two resumed turns"],
)
async def test_a_used_key_gets_the_stream_of_what_it_started(
    started: Started, first_event: int | None, after: int, only: str | None, session: Parts
) -> None:
    session.store.on(turns.LookUp, lambda _: turns.LookedUp(started, first_event, decidable=False))
    subscription = (await send(session, key=key())).result()
    assert (subscription.after, subscription.only) == (after, only)
    assert accepts(session) == []
    assert counted(session) == 0


async def test_a_used_key_of_a_turn_that_runs_starts_where_the_session_knows_it_does(session: Parts) -> None:
    turn = await begin(session)
    turn.first_event = LAST - 3
    session.store.on(turns.LookUp, lambda _: turns.LookedUp(Started((turn.id,)), None, decidable=False))
    assert (await send(session, key=key())).result().after == LAST - 4


async def test_a_key_looked_up_before_another_message_was_stored_is_looked_up_again(session: Parts) -> None:
    session.store.hold(turns.LookUp)
    reply = await send(session, key=key(), on_busy="queue")
    await send(session, "Without a key")
    session.store.held.pop().reply.set_result(turns.LookedUp(None, None, decidable=False))
    await session.owner.settle()
    assert len(session.store.of(turns.LookUp)) == 2
    assert not reply.done()
    session.store.held.pop().reply.set_result(turns.LookedUp(None, None, decidable=False))
    await session.owner.settle()
    assert reply.result().only == accepts(session)[-1].turn_id


async def test_a_key_that_was_used_while_its_message_was_stored_is_looked_up_again(session: Parts) -> None:
    answers = iter([turns.LookedUp(None, None, decidable=False), turns.LookedUp(Started(("t-7",)), 4, decidable=False)])
    session.store.on(turns.LookUp, lambda _: next(answers))
    session.store.on(turns.Accept, lambda _: Written(reply=False, rows=()))
    assert (await send(session, key=key())).result().only == "t-7"
    assert session.scheduler.turns == {}
    assert counted(session) == 0


async def test_a_message_without_text_watches_the_pass_that_runs(session: Parts) -> None:
    turn = await begin(session)
    assert session.scheduler.current is not None
    subscription = (await send(session, "")).result()
    assert (subscription.only, subscription.until.ends) == (turn.id, (session.scheduler.current.end,))


async def test_a_message_without_text_watches_the_resumed_pass_that_has_ended_and_later_needs_one(
    session: Parts,
) -> None:
    turn = await begin(session)
    session.passes.ended(PassEnded(turn.id, "completed"))
    session.scheduler.resumed = turn
    subscription = (await send(session, " ")).result()
    assert (subscription.only, subscription.after, subscription.until.replay) == (turn.id, turn.pass_event - 1, True)
    session.clock.skip(61.0)
    assert refusal(await send(session, " ")) == "message_required"


async def test_a_message_without_text_waits_until_a_session_with_due_work_is_idle(session: Parts) -> None:
    session.queued("t-1")
    subscription = (await send(session, "")).result()
    assert subscription.until.settled
    assert accepts(session) == []


async def test_a_cancellation_is_kept_for_the_pass_that_is_about_to_start(session: Parts) -> None:
    session.store.hold(turns.Accept)
    await send(session)
    [accept] = accepts(session)
    assert session.intake.cancel("t-0", STOP) is None
    assert session.intake.cancel(None, STOP) == session.intake.cancel(accept.turn_id, STOP) == accept.turn_id
    session.store.held.pop().reply.set_result(Written(reply=True, rows=()))
    await session.owner.settle()
    assert list(session.owner.children.values()) == [[STOP]]
    assert session.intake.cancel(None, STOP) is None


@pytest.mark.parametrize(
    ("turn_id", "event", "user_id", "delivered"),
    [
        ("t-1", 7, "asha", True),
        ("t-1", 9, "asha", True),
        ("t-1", 6, "asha", False),
        ("t-1", 9, "ravi", False),
        ("t-0", 9, "asha", False),
    ],
    ids=["its final", "a later one", "of an earlier pass", "to somebody else", "of another turn"],
)
async def test_a_turn_is_delivered_by_a_final_of_its_pass_to_its_sender(
    turn_id: str, event: int, user_id: str, delivered: bool, session: Parts
) -> None:
    turn = Turn(id="t-1", user_id="asha", state="completed", pass_event=7)
    session.intake.latest = Accepted(turn=turn, user_id="asha", text_hash=b"")
    session.intake.delivered(turn_id, event, user_id)
    assert turn.delivered is delivered
