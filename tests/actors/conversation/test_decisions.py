"""Decisions on a session's approvals: stored, answered, and made due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.actors.conversation.parts import ASHA, SESSION, Parts, parts
from tests.manual_clock import ManualClock
from voyagent.actors.domain.approvals import Approval, Decision
from voyagent.actors.domain.errors import Conflict, Refusal
from voyagent.storage.conversation import approvals
from voyagent.storage.conversation.steps import Written

NOW = ManualClock().now()


@pytest.fixture
async def session() -> AsyncIterator[Parts]:
    async with parts() as made:
        yield made


def approval(name: str, turn_id: str = "t-1") -> Approval:
    return Approval(
        id=name,
        session_id=SESSION,
        turn_id=turn_id,
        tool_call_id="c-1",
        tool_name="book_flight",
        summary="Book it",
        requested_at=NOW,
        expires_at=NOW,
        status="granted",
        payload={},
        resolved_at=NOW,
        resolved_by_user_id="asha",
        reason=None,
        approver_roles=("agent",),
    )


def decided(session: Parts, *made: Approval, replayed: bool = False) -> None:
    """The store will have decided these approvals."""
    session.store.on(approvals.Decide, lambda _: Written(approvals.Decided(made, {}, replayed=replayed), ()))


def resolve(session: Parts) -> asyncio.Future[Any]:
    reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    session.decisions.resolve(ASHA, Decision("p-1", granted=True), None, reply)
    return reply


async def test_a_decision_is_answered_and_its_turn_is_due(session: Parts) -> None:
    session.waiting("t-1")
    decided(session, approval("p-1"))
    reply = resolve(session)
    assert session.decisions.under_way
    await session.owner.settle()
    assert reply.result().value == approval("p-1")
    assert not session.decisions.under_way
    assert session.scheduler.due == ["t-1"]
    assert session.owner.calls == ["rearm"]
    [step] = session.store.of(approvals.Decide)
    assert (step.single, step.by, step.decisions) == (True, ASHA, [Decision("p-1", granted=True)])


async def test_a_repeated_decision_is_answered_and_runs_nothing(session: Parts) -> None:
    session.waiting("t-1")
    decided(session, approval("p-1"), replayed=True)
    reply = resolve(session)
    await session.owner.settle()
    assert reply.result().replayed
    assert session.scheduler.due == []
    assert session.owner.calls == []


@pytest.mark.parametrize(
    ("refusal", "calls"),
    [
        (approvals.ApprovalExpired("approval_already_resolved"), ["expire"]),
        (Conflict("approval_already_resolved"), []),
    ],
)
async def test_a_refused_decision_runs_nothing_and_one_that_came_too_late_has_the_expiry_stored(
    refusal: Refusal, calls: list[str], session: Parts
) -> None:
    def refuse(_: approvals.Decide) -> None:
        raise refusal

    session.waiting("t-1")
    session.store.on(approvals.Decide, refuse)
    reply = resolve(session)
    await session.owner.settle()
    assert isinstance(reply.exception(), type(refusal))
    assert session.owner.calls == calls
    assert session.owner.failures == []
    assert session.scheduler.due == []
    assert not session.decisions.under_way


async def test_each_decided_turn_has_one_end_to_wait_for(session: Parts) -> None:
    session.waiting("t-1")
    session.waiting("t-2")
    ends = session.decisions.note([approval("p-1"), approval("p-2"), approval("p-3", "t-2")])
    assert len(ends) == 2
    assert session.scheduler.due == ["t-1", "t-2"]
    assert session.scheduler.turns["t-1"].unread == {"p-1", "p-2"}


async def test_nothing_decided_leaves_the_deadlines_alone(session: Parts) -> None:
    assert session.decisions.note([]) == ()
    assert session.owner.calls == []
