"""Periodic tasks: whatever happens in one round, the next one comes, and everybody can see how long ago a good one was.

A loop that schedules itself at the end of its happy path ends with the first thing nobody thought of. This one cannot,
and what is known of it outlives the actor that runs it, so that one which fails at every start is overdue as well.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from ..domain.errors import Refusal, Unavailable
from ..foundation import log, metrics
from ..foundation.clock import Clock

ON_CALL: Final = math.inf
"""As an interval: no round comes by itself."""
RETRY_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 60.0
MOST_UNAVAILABLE: Final = 3
"""Items in a row for which something was unavailable: it is so for the others as well."""
_CLOSE_ENOUGH: Final = 1e-6
"""Seconds before its time at which a round may begin: sums of floats are not exact."""

Round = Callable[[], Awaitable[float | None]]
"""Does one round; answers the seconds until the next, or ``None`` for the usual interval."""

_log = log.get(__name__)


class Standing(NamedTuple):
    """What an operator reads of one task."""

    age: float
    """Seconds since its last good round; since its start if there was none."""
    overdue: bool
    """A good round was due longer ago than its grace."""


class Record:
    """When a task last succeeded, and when it is to succeed next."""

    def __init__(self, name: str, clock: Clock, grace: float) -> None:
        self.name = name
        self._clock = clock
        self._grace = grace
        self._good_at = clock.monotonic()
        self.due_at: float | None = None
        self.failures = metrics.PERIODIC_TASK_FAILURES_TOTAL.labels(name)
        metrics.PERIODIC_TASK_AGE_SECONDS.labels(name).set_function(lambda: self.standing().age)

    def succeeded(self, next_in: float) -> None:
        """A round was good; the next good one is due in so many seconds, or only when one is called for."""
        self._good_at = self._clock.monotonic()
        self.due_at = None if next_in == ON_CALL else self._good_at + next_in

    def wanted(self, within: float) -> None:
        """A good round is due in so many seconds, if none was due sooner."""
        due = self._clock.monotonic() + within
        self.due_at = due if self.due_at is None else min(due, self.due_at)

    def called_off(self) -> None:
        """Nothing is asked of it any more: whoever called for a round has gone with the incarnation before."""
        self.due_at = None

    def standing(self) -> Standing:
        """How it stands now. One that waits for a call is not overdue, however old its last round."""
        now = self._clock.monotonic()
        late = self.due_at is not None and now > self.due_at + self._grace
        return Standing(now - self._good_at, late)


class PeriodicTask:
    """One of them. ``run`` is to be somebody's task; nothing but its cancellation ends it."""

    def __init__(self, record: Record, round_: Round, *, clock: Clock, every: float, retry: float) -> None:
        self._record = record
        self._round = round_
        self._clock = clock
        self._every = every
        self._retry = retry
        self._failed = 0
        self._wanted = math.inf
        self._called = asyncio.Event()
        self._quiet = log.LogThrottle(first=5)

    def call(self, within: float = 0.0) -> None:
        """Have a round begin in so many seconds, or sooner if it was to; one under way is followed by another."""
        self._wanted = min(self._wanted, self._clock.monotonic() + within)
        self._record.wanted(within)
        self._called.set()

    def succeeded(self) -> None:
        """From within a long round: it has come as far as a good round comes."""
        self._failed = 0
        self._record.succeeded(self._every)

    async def run(self) -> None:
        """Round after round, the first at once unless rounds come on call."""
        if self._every == ON_CALL:
            await self._rest(ON_CALL)
        while True:
            self._wanted = math.inf
            pause = await self._attempt()
            if is_being_cancelled():  # the round has caught it
                raise asyncio.CancelledError
            await self._rest(pause)

    async def _attempt(self) -> float:
        """One round; answers the seconds until the next."""
        try:
            pause = await self._round()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if is_being_cancelled():
                raise
            return self._fail(error)
        self._failed = 0
        pause = self._every if pause is None else pause
        self._record.succeeded(pause)
        return pause

    def _fail(self, error: BaseException) -> float:
        """What is unavailable is asked for again soon; a defect that stays is not run into without a pause."""
        self._record.failures.inc()
        self._record.wanted(0.0)
        self._failed += 1
        name = self._record.name
        if isinstance(error, Unavailable):
            if self._quiet.allows():
                _log.warning("periodic_task_postponed", task=name, refusal=error.code)
            return min(self._retry, self._every)
        if self._quiet.allows():
            if isinstance(error, Refusal):
                _log.error("periodic_task_failed", task=name, refusal=error.code)
            else:
                _log.error("periodic_task_failed", task=name, exc_info=error)
        longest = max(self._retry, min(self._every, GRACE_SECONDS))
        return min(longest, self._retry * 2.0 ** min(self._failed - 1, 10))

    async def _rest(self, pause: float) -> None:
        """Wait for the next round's time. A call may bring it forward, after a failure only to the first retry."""
        await asyncio.sleep(0)  # in any case: one that is called for in every round lets others have a turn
        now = self._clock.monotonic()
        at, earliest = now + pause, now + (min(self._retry, pause) if self._failed else 0.0)
        while True:
            self._called.clear()
            at = min(at, max(self._wanted, earliest))
            left = at - self._clock.monotonic()
            if left <= _CLOSE_ENOUGH:
                return
            timer = None if left == math.inf else self._clock.call_later(left, self._called.set)
            try:
                await self._called.wait()
            finally:
                if timer is not None:
                    timer.cancel()


class Items:
    """The items of one round: one that fails is logged, the others have their turn, and the round failed in the end."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._first: BaseException | None = None
        self._in_a_row = 0

    @contextmanager
    def one(self, **named: object) -> Iterator[None]:
        """Around the work on one item. Raises ``Unavailable`` once it is not the item's fault."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if is_being_cancelled():
                raise
            self._fail(error, named)
        else:
            self._in_a_row = 0

    def settle(self) -> None:
        """After the last one: raises what the first that failed did."""
        if self._first is not None:
            raise self._first

    def _fail(self, error: BaseException, named: dict[str, object]) -> None:
        self._first = self._first or error
        self._in_a_row = self._in_a_row + 1 if isinstance(error, Unavailable) else 0
        if isinstance(error, Refusal):
            _log.warning("item_failed", task=self._task, refusal=error.code, **named)
        else:
            _log.error("item_failed", task=self._task, exc_info=error, **named)
        if self._in_a_row >= MOST_UNAVAILABLE:
            raise error


class PeriodicTasks:
    """Those of one process, by name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, Record] = {}

    def task(
        self,
        name: str,
        round_: Round,
        *,
        every: float,
        retry: float = RETRY_SECONDS,
        grace: float = GRACE_SECONDS,
        clock: Clock | None = None,
    ) -> PeriodicTask:
        """A task under this name; one of an earlier incarnation left its record. Seconds, all of them.

        ``retry`` follows a round that failed, ``grace`` is how late a good one may be before it is overdue.
        """
        record = self.record(name, grace)
        if every == ON_CALL:
            record.called_off()
        else:
            record.wanted(0.0)
        return PeriodicTask(record, round_, clock=clock or self._clock, every=every, retry=retry)

    def record(self, name: str, grace: float = GRACE_SECONDS) -> Record:
        """What is known of a task; for a loop that has its own way of waiting."""
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = Record(name, self._clock, grace)
        return record

    def standings(self) -> dict[str, Standing]:
        """How each of them stands."""
        return {name: record.standing() for name, record in self._records.items()}


def is_being_cancelled() -> bool:
    """Whether the current task is asked to end; else a ``CancelledError`` is some item's, and a failure like others."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
