"""The write queue of a session: numbers, order, and what is published when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.owner import FakeOwner
from tests.fakes.store import FakeStore
from tests.manual_clock import ManualClock
from voyagent.actors.conversation.log_writer import RETRY_FOR, WRITE_TIMEOUT, LogWriter
from voyagent.actors.database import Append
from voyagent.actors.domain.errors import Conflict, Unavailable
from voyagent.actors.domain.events import Event
from voyagent.actors.foundation.log import NOBODY, SCOPE, Scope
from voyagent.actors.runtime.actor import ActorDead, DeadlineExceeded, Outcome
from voyagent.actors.runtime.reply import refuse, resolve
from voyagent.storage.conversation.steps import Step, Written
from voyagent.storage.conversation.usage import SettleAbandoned

if TYPE_CHECKING:
    from voyagent.actors.conversation.event_log import SseFrame
    from voyagent.storage.engine.connection import Connection

LAST = 40
"""The newest event's id when a writer starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Step[str]):
    """A step that does nothing but report."""

    events: tuple[Event, ...]

    async def run(self, db: Connection) -> Written[str]:
        return await self.write(db, "reported", self.events)


def report(*names: str) -> Report:
    events = tuple(Event(kind="error", turn_id=name, error_message="e") for name in names)
    return Report(tenant_id="a-1", session_id="s-1", events=events)


SETTLE = SettleAbandoned(tenant_id="a-1", every=False)
"""An operation without events."""


@dataclass(slots=True)
class Item:
    """One write in the queue, and what came of it."""

    names: tuple[str, ...] = ()
    stored: asyncio.Future[None] | None = None
    outcomes: list[Outcome[Any]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return bool(self.outcomes) if self.stored is None else self.stored.done()


class Log:
    """A writer whose store answers when the test says so; what must always hold is checked whenever it publishes."""

    def __init__(self, owner: FakeOwner) -> None:
        self.owner = owner
        self.clock = ManualClock()
        self.store = FakeStore()
        self.store.hold(Append, Report, SettleAbandoned)
        self.items: list[Item] = []
        self.durable: list[int] = []
        """Numbers of the events that the store has acknowledged."""
        self.published: list[tuple[int, str]] = []
        self.writer = LogWriter(
            owner,
            tenant_id="a-1",
            session_id="s-1",
            last=LAST,
            store=self.store,
            clock=self.clock,
            publish=self._publish,
        )

    def _publish(self, frames: Sequence[SseFrame]) -> None:
        for frame in frames:
            assert frame.seq in self.durable, "published before it was stored"
            self.published.append((frame.seq, frame.turn_id))

    def text(self) -> Item:
        item = Item((f"t{len(self.items)}",), asyncio.get_running_loop().create_future())
        assert item.stored is not None
        self.items.append(item)
        self.writer.text(item.names[0], "word", item.stored)
        return item

    def step(self, events: int = 1) -> Item:
        item = Item(tuple(f"s{len(self.items)}.{place}" for place in range(events)))
        self.items.append(item)
        self.writer.step(report(*item.names), lambda outcome: self._came(item, outcome))
        return item

    def operation(self) -> Item:
        item = Item()
        self.items.append(item)
        self.writer.operation(SETTLE, lambda outcome: self._came(item, outcome))
        return item

    def barrier(self) -> Item:
        item = Item()
        self.items.append(item)
        self.writer.barrier(lambda outcome: self._came(item, outcome))
        return item

    def _came(self, item: Item, outcome: Outcome[Any]) -> None:
        if not isinstance(outcome.error, Unavailable | ActorDead):
            assert all(each.over for each in self.items[: self.items.index(item)]), "before an earlier write"
        item.outcomes.append(outcome)

    async def stored(self) -> None:
        """The store answers the write it holds."""
        held = self.store.held.pop(0)
        match held.message:
            case Append(rows):
                self.durable += [row.seq for row in rows]
                resolve(held.reply, None)
            case Report() as step:
                rows = step.number(step.events)
                self.durable += [row.seq for row in rows]
                resolve(held.reply, Written("reported", rows))
            case _:
                resolve(held.reply, None)
        await asyncio.sleep(0)

    async def refused(self, error: Exception) -> None:
        """The store refuses the write it holds."""
        refuse(self.store.held.pop(0).reply, error)
        await asyncio.sleep(0)


WRITES = ["text", "text", "text", "step", "silent step", "operation", "barrier"]
MOVES = [*WRITES * 2, *["stored", "handle"] * 7, *["refused", "overloaded"] * 2, "lost", "close"]


@settings(max_examples=200)
@given(moves=st.lists(st.sampled_from(MOVES), max_size=60))
def test_in_any_order_of_writes_and_failures_numbers_are_consecutive_and_each_continuation_is_called_once(
    moves: list[str],
) -> None:
    async def live() -> None:
        async with FakeOwner() as owner:
            log = Log(owner)
            closed = False
            for move in [*moves, *["stored", "handle"] * (3 * len(moves))]:
                await _move(log, move)
                assert len(log.store.held) <= 1, "two writes under way"
                if (owner.failures or move == "close") and not closed:
                    closed = True
                    log.writer.close()
            _check(log, closed=closed)

    asyncio.run(live())


async def _move(log: Log, move: str) -> None:
    writes: dict[str, Callable[[], Item]] = {
        "text": log.text,
        "step": lambda: log.step(2),
        "silent step": lambda: log.step(0),
        "operation": log.operation,
        "barrier": log.barrier,
    }
    if move in writes:
        writes[move]()
    elif move == "handle" and log.owner.mailbox:
        log.owner.handle()
    elif log.store.held and not log.store.held[0].reply.done():
        await _answer(log, move)
    for _ in range(3):
        await asyncio.sleep(0)


async def _answer(log: Log, move: str) -> None:
    text = isinstance(log.store.held[0].message, Append)
    match move:
        case "stored":
            await log.stored()
        case "refused" if not text:
            await log.refused(Conflict("turn_in_progress"))
        case "overloaded" if not text:
            await log.refused(Unavailable("overloaded"))
            await log.clock.advance(0.05)
        case "lost":
            await log.refused(Unavailable("storage_unavailable"))


def _check(log: Log, *, closed: bool) -> None:
    numbers = [number for number, _ in log.published]
    assert numbers == list(range(LAST + 1, LAST + 1 + len(numbers))), "numbers are consecutive"
    assert log.writer.last == LAST + len(numbers)
    refused = [item for item in log.items if item.outcomes and item.outcomes[0].error is not None]
    expected = [name for item in log.items if item not in refused for name in item.names]
    names = [name for _, name in log.published]
    assert names == (expected[: len(names)] if closed else expected), "the order is the one of the queue"
    for item in log.items:
        if item.stored is None:
            assert len(item.outcomes) == 1, "each continuation is called once"
        elif item.stored.done():
            assert item.names[0] in names, "answered before it was published"
        else:
            assert closed


async def test_text_that_waits_is_stored_in_one_write() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        for _ in range(4):
            log.text()
        await log.stored()
        await owner.settle()
        assert [len(each.rows) for each in log.store.of(Append)] == [1, 3]


async def test_text_behind_a_step_is_stored_after_it() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        for write in (log.text, log.text, log.step, log.text):
            write()
        for _ in range(4):
            await log.stored()
            await owner.settle()
        assert [name for _, name in log.published] == ["t0", "t1", "s2.0", "t3"]


async def test_a_step_is_numbered_and_dated_when_it_is_sent() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        log.text()
        log.step()
        await log.clock.advance(3.0)
        await log.stored()
        await owner.settle()
        [sent] = log.store.of(Report)
        assert (sent.after, sent.now) == (LAST + 1, log.clock.now())


async def test_a_step_that_waits_is_stored_in_the_log_scope_of_who_writes_it() -> None:
    async with FakeOwner() as owner:
        log, scopes, mine = Log(owner), [], Scope("r-2", "a-1", "s-1")
        log.store.on(Report, lambda step: scopes.append(SCOPE.get()) or Written("reported", step.number(step.events)))
        SCOPE.set(Scope("r-1", "a-1", "s-1", "t-1"))
        log.text()
        SCOPE.set(mine)
        log.step(0)
        SCOPE.set(NOBODY)
        await log.stored()
        await owner.settle()
        assert (scopes, SCOPE.get()) == ([mine], NOBODY)


async def test_a_step_s_continuation_receives_its_reply_without_the_events() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        item = log.step()
        await owner.settle()
        await log.stored()
        await owner.settle()
        assert item.outcomes[0].value == "reported"


async def test_a_refused_step_leaves_no_gap_and_the_next_write_is_sent() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        refused, after = log.step(), log.step()
        await owner.settle()
        await log.refused(Conflict("turn_in_progress"))
        await owner.settle()
        await log.stored()
        await owner.settle()
        assert isinstance(refused.outcomes[0].error, Conflict)
        assert log.published == [(LAST + 1, after.names[0])]
        assert owner.failures == []


@pytest.mark.parametrize("error", [Unavailable("storage_unavailable"), ValueError("a defect")])
async def test_a_step_that_is_lost_fails_the_session(error: Exception) -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        log.step()
        await owner.settle()
        await log.refused(error)
        await owner.settle()
        assert [type(each) for each in owner.failures] == [type(error)]


async def test_a_step_without_room_is_sent_again_until_its_time_is_over() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        item = log.step()
        await owner.settle()
        sent_for = 0.0
        while log.store.held and sent_for < 2 * RETRY_FOR:
            await log.refused(Unavailable("overloaded"))
            await log.clock.advance(0.05)
            sent_for += 0.05
        await owner.settle()
        assert RETRY_FOR <= sent_for < RETRY_FOR + 1
        assert isinstance(item.outcomes[0].error, Unavailable)
        assert len(owner.failures) == 1


async def test_text_that_is_neither_stored_nor_refused_ends_the_session() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        log.text()
        await log.clock.advance(WRITE_TIMEOUT - 1)
        await owner.settle()
        assert owner.failures == []
        await log.clock.advance(1)
        await owner.settle()
        assert [type(each) for each in owner.failures] == [DeadlineExceeded]


async def test_the_timeout_of_text_counts_from_its_own_write() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        log.text()
        await log.clock.advance(WRITE_TIMEOUT - 1)
        await log.stored()
        await owner.settle()
        log.text()
        await log.clock.advance(WRITE_TIMEOUT - 1)
        await owner.settle()
        assert owner.failures == []
        await log.clock.advance(2)
        await owner.settle()
        assert [type(each) for each in owner.failures] == [DeadlineExceeded]


async def test_text_after_a_long_silence_has_a_timeout_too() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        log.text()
        await log.stored()
        await log.clock.advance(2 * WRITE_TIMEOUT)
        await owner.settle()
        log.text()
        await log.clock.advance(WRITE_TIMEOUT)
        await owner.settle()
        assert [type(each) for each in owner.failures] == [DeadlineExceeded]


async def test_a_closed_writer_refuses_steps_and_publishes_nothing() -> None:
    async with FakeOwner() as owner:
        log = Log(owner)
        under_way = log.step()
        await owner.settle()
        log.writer.close()
        await log.stored()
        await owner.settle()
        late = log.step()
        assert isinstance(under_way.outcomes[0].error, Unavailable)
        assert isinstance(late.outcomes[0].error, ActorDead)
        assert len(under_way.outcomes) == 1
        assert log.published == []
        assert owner.failures == []
