"""Messages with decisions: what is decided resumes its turn, and text follows up, starts a turn or waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.actors.conversation.parts import ASHA, LAST, Parts, parts
from tests.actors.conversation.test_decisions import approval
from voyagent.actors.conversation.event_log import Subscription
from voyagent.actors.conversation.new_message import NewMessage
from voyagent.actors.domain.approvals import Approval, Decision
from voyagent.actors.domain.errors import Conflict, Forbidden, Refusal, Unavailable
from voyagent.actors.domain.turns import Started
from voyagent.storage.conversation import approvals, turns
from voyagent.storage.conversation.steps import Written
from voyagent.storage.engine.idempotency import IdempotencyKey

KEY = IdempotencyKey(tenant_id="a-1", user_id="asha", route="messages", key="k", body_hash=b"1")
RESOLVED = Conflict("approval_already_resolved")

Reply = asyncio.Future[Subscription]


@pytest.fixture
async def session() -> AsyncIterator[Parts]:
    async with parts() as made:
        made.waiting("t-1")
        decide(made, approval("p-1"))
        yield made


def decide(session: Parts, *made: Approval, refused: dict[str, Refusal] | None = None, replayed: bool = False) -> None:
    """What the store answers to decisions."""
    answer = approvals.Decided(made, refused or {}, replayed=replayed)
    session.store.on(approvals.Decide, lambda _: Written(answer, ()))


async def send(session: Parts, text: str = "", **more: Any) -> Reply:
    reply: Reply = asyncio.get_running_loop().create_future()
    session.intake.take_in(NewMessage(who=ASHA, text=text, **{"approvals": {"p-1": True}, **more}), reply)
    await session.owner.settle()
    return reply


def told(frames: bytes) -> list[tuple[str, str | None]]:
    """Kind and error of each frame."""
    lines = [json.loads(line[6:]) for line in frames.splitlines() if line.startswith(b"data: ")]
    return [(line["kind"], line["error_message"]) for line in lines]


def refuse(error: Exception) -> Any:
    raise error


async def test_decisions_alone_resume_their_turns_and_are_followed_to_their_ends(session: Parts) -> None:
    session.waiting("t-2")
    decide(session, approval("p-1"), approval("p-2", "t-2"))
    subscription = (await send(session, approvals={"p-1": True, "p-2": False}, key=KEY)).result()
    [step] = session.store.of(approvals.Decide)
    assert step.decisions == [Decision("p-1", granted=True), Decision("p-2", granted=False)]
    assert (step.by, step.single, step.follow_up, step.key, step.last_event) == (ASHA, False, None, KEY, LAST)
    assert session.scheduler.due == ["t-1", "t-2"]
    assert (subscription.after, len(subscription.until.ends), subscription.prelude) == (LAST, 2, b"")
    assert session.intake.idle


async def test_text_sent_with_decisions_follows_up_on_the_turn_they_resume(session: Parts) -> None:
    reply = await send(session, "At the window, please")
    [step] = session.store.of(approvals.Decide)
    assert step.follow_up == "At the window, please"
    assert session.store.of(turns.Accept) == []
    assert len(reply.result().until.ends) == 1
    latest = session.intake.latest
    assert latest is not None
    assert (latest.turn.id, latest.user_id, latest.after) == ("t-1", "asha", LAST)


async def test_a_follow_up_sent_again_rejoins_the_turn_it_was_sent_to(session: Parts) -> None:
    await send(session, "At the window, please")
    reply = await send(session, "At the window, please")
    assert len(session.store.of(turns.LookUp)) == 1, "whether its approvals are pending is looked up"
    assert len(session.store.of(approvals.Decide)) == 1
    assert (reply.result().only, reply.result().after) == ("t-1", LAST)


async def test_a_refused_decision_is_told_before_what_the_others_resume(session: Parts) -> None:
    decide(session, approval("p-1"), refused={"p-2": Forbidden("forbidden_role"), "p-3": RESOLVED})
    subscription = (await send(session)).result()
    assert told(subscription.prelude) == [
        ("error", "forbidden_role: p-2"),
        ("error", "approval_already_resolved: p-3"),
    ]
    assert len(subscription.until.ends) == 1
    assert session.owner.calls == ["rearm"]


async def test_a_decision_that_came_too_late_has_the_expiry_stored(session: Parts) -> None:
    decide(session, refused={"p-1": approvals.ApprovalExpired("approval_already_resolved")})
    await send(session)
    assert session.owner.calls == ["expire"]


async def test_where_nothing_could_be_decided_the_reasons_are_all_there_is(session: Parts) -> None:
    decide(session, refused={"p-1": RESOLVED})
    subscription = (await send(session)).result()
    assert told(subscription.prelude) == [("error", "approval_already_resolved: p-1")]
    assert told(subscription.epilogue) == [("final", None)]
    assert subscription.until.replay
    assert session.intake.idle


async def test_where_there_was_nothing_to_decide_a_message_is_required(session: Parts) -> None:
    decide(session)
    error = (await send(session)).exception()
    assert isinstance(error, Refusal)
    assert error.code == "message_required"
    assert session.owner.calls == ["refused"]


async def test_where_nothing_could_be_decided_a_busy_session_is_watched(session: Parts) -> None:
    decide(session, refused={"p-1": RESOLVED})
    session.queued("t-2")
    subscription = (await send(session)).result()
    assert subscription.until.settled
    assert told(subscription.prelude) == [("error", "approval_already_resolved: p-1")]


@pytest.mark.parametrize("busy", [False, True])
async def test_text_none_of_whose_decisions_could_be_made_starts_a_turn_of_its_own(busy: bool, session: Parts) -> None:
    decide(session, refused={"p-1": RESOLVED})
    session.store.hold(approvals.Decide)
    reply = await send(session, "At the window, please")
    if busy:
        session.queued("t-2")
    answer = approvals.Decided((), {"p-1": RESOLVED})
    session.store.held.pop().reply.set_result(Written(answer, ()))
    await session.owner.settle()
    [accept] = session.store.of(turns.Accept)
    assert (accept.text, accept.queued) == ("At the window, please", busy)
    assert told(reply.result().prelude) == [("error", "approval_already_resolved: p-1")]


async def test_text_sent_with_decisions_to_a_busy_session_waits_for_what_they_resume(session: Parts) -> None:
    session.queued("t-2")
    reply = await send(session, "And a hotel", on_busy="queue", key=KEY)
    [step] = session.store.of(approvals.Decide)
    assert (step.follow_up, step.key) == (None, None), "the key belongs to the text"
    [accept] = session.store.of(turns.Accept)
    assert (accept.queued, accept.key) == (True, KEY)
    own = session.scheduler.turns[accept.turn_id]
    decided = session.scheduler.turns["t-1"].awaited[0][1]
    assert (reply.result().until.ends, reply.result().after) == ((decided, own.next_end), LAST)


async def test_decisions_made_under_a_key_that_was_used_meanwhile_are_looked_up_again(session: Parts) -> None:
    answers = iter(
        [turns.LookedUp(None, None, decidable=True), turns.LookedUp(Started(("t-1",), 4), 4, decidable=True)]
    )
    session.store.on(turns.LookUp, lambda _: next(answers))
    decide(session, replayed=True)
    assert (await send(session, key=KEY)).result().after == 4
    assert session.scheduler.due == []


async def test_decisions_that_storage_could_not_keep_are_refused_and_resume_nothing(session: Parts) -> None:
    session.store.on(approvals.Decide, lambda _: refuse(Unavailable("storage_unavailable")))
    reply = await send(session, "At the window, please")
    assert isinstance(reply.exception(), Unavailable)
    assert session.scheduler.due == []
    assert session.intake.idle
    assert session.intake.latest is None
    assert session.quota.settings.rate_limit_per_minute > 0
