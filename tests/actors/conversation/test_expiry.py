"""The expiry of a session's approvals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.actors.conversation.parts import Parts, parts
from voyagent.actors.domain.errors import Conflict, Unavailable
from voyagent.storage.conversation import approvals
from voyagent.storage.conversation.steps import Written


@pytest.fixture
async def session() -> AsyncIterator[Parts]:
    async with parts() as made:
        yield made


async def test_what_is_overdue_is_expired_and_its_turn_is_due(session: Parts) -> None:
    session.waiting("t-1")
    session.timer.set([session.clock.now() + timedelta(seconds=60)])
    session.store.on(approvals.Expire, lambda _: Written((("t-1", "p-1"),), ()))
    assert not session.expiry.deadline_passed()
    await session.clock.advance(61)
    assert session.due == ["due"]
    assert session.expiry.deadline_passed()
    assert session.expiry.under_way
    await session.owner.settle()
    assert session.scheduler.due == ["t-1"]
    assert not session.expiry.under_way
    assert len(session.store.of(approvals.Expiries)) == 1


async def test_one_expiry_is_stored_at_a_time(session: Parts) -> None:
    session.expiry.expire()
    session.expiry.expire()
    await session.owner.settle()
    assert len(session.store.of(approvals.Expire)) == 1
    session.expiry.expire()
    await session.owner.settle()
    assert len(session.store.of(approvals.Expire)) == 2


async def test_a_refused_expiry_leaves_the_way_free_for_the_next(session: Parts) -> None:
    def refuse(_: approvals.Expire) -> None:
        raise Conflict("turn_in_progress")

    session.store.on(approvals.Expire, refuse)
    session.expiry.expire()
    await session.owner.settle()
    assert not session.expiry.under_way
    assert session.store.of(approvals.Expiries) == []


async def test_of_two_readings_of_the_deadlines_the_later_one_counts(session: Parts) -> None:
    session.store.hold(approvals.Expiries)
    for _ in range(2):
        session.expiry.rearm()
    await session.owner.settle()
    earlier, later = session.store.held
    later.reply.set_result(())
    await session.owner.settle()
    earlier.reply.set_result((session.clock.now(),))
    await session.owner.settle()
    assert not session.timer.any


async def test_deadlines_that_cannot_be_read_stay_as_they_are(session: Parts) -> None:
    def refuse(_: approvals.Expiries) -> None:
        raise Unavailable("storage_unavailable")

    session.timer.set([session.clock.now() + timedelta(seconds=60)])
    session.store.on(approvals.Expiries, refuse)
    session.expiry.rearm()
    await session.owner.settle()
    assert session.timer.any
    assert session.owner.failures == []
