"""Periodic tasks: a failed round is always followed by another, and the age of the last success is exposed.

Only cancellation ends the loop. Its record outlives the actor that runs it, so that a task whose actor fails at every
start becomes overdue as well.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from ..domain.errors import Refusal, Unavailable
from ..foundation import log, metrics
from ..foundation.backoff import Backoff
from ..foundation.clock import Clock

ON_CALL: Final = math.inf
"""As an interval: rounds run only when called."""
RETRY_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 60.0
MAX_UNAVAILABLE: Final = 3
"""Consecutive items failing with ``Unavailable`` after which the round is aborted."""
_TOLERANCE: Final = 1e-6
"""Tolerance in seconds, as sums of floats are not exact."""

Round = Callable[[], Awaitable[float | None]]
"""Runs one round; returns the seconds until the next, or ``None`` for the usual interval."""

_log = log.get(__name__)


class Standing(NamedTuple):
    """The status of one task."""

    age: float
    """Seconds since its last successful round, or since its start."""
    overdue: bool
    """A successful round is overdue by more than the grace period."""


class Record:
    """When a task last succeeded, and when its next success is due."""

    def __init__(self, name: str, clock: Clock, grace: float) -> None:
        self.name = name
        self._clock = clock
        self._grace = grace
        self._good_at = clock.monotonic()
        self.due_at: float | None = None
        self.failures = metrics.PERIODIC_TASK_FAILURES_TOTAL.labels(name)
        metrics.PERIODIC_TASK_AGE_SECONDS.labels(name).set_function(lambda: self.standing().age)

    def succeeded(self, next_in: float) -> None:
        """Record a successful round; the next success is due in ``next_in`` seconds, or only when called."""
        self._good_at = self._clock.monotonic()
        self.due_at = None if next_in == ON_CALL else self._good_at + next_in

    def require(self, within: float) -> None:
        """A successful round is due within so many seconds, or earlier if one was."""
        due = self._clock.monotonic() + within
        self.due_at = due if self.due_at is None else min(due, self.due_at)

    def cancel(self) -> None:
        """No round is due: earlier calls ended with the previous incarnation."""
        self.due_at = None

    def standing(self) -> Standing:
        """The current status. A task that waits for a call is not overdue."""
        now = self._clock.monotonic()
        late = self.due_at is not None and now > self.due_at + self._grace
        return Standing(now - self._good_at, late)


class PeriodicTask:
    """A periodic task. ``run`` is spawned by its actor and ends only by cancellation."""

    def __init__(self, record: Record, round_: Round, *, clock: Clock, every: float, retry: float) -> None:
        self._record = record
        self._round = round_
        self._clock = clock
        self._every = every
        self._retry = retry
        self._failed = 0
        self._called_for = math.inf
        self._called = asyncio.Event()
        self._log_throttle = log.LogThrottle(first=5)

    def call(self, within: float = 0.0) -> None:
        """Run a round within so many seconds; a running one is followed by another."""
        self._called_for = min(self._called_for, self._clock.monotonic() + within)
        self._record.require(within)
        self._called.set()

    def succeeded(self) -> None:
        """Report progress from within a long round; counts as a successful round."""
        self._failed = 0
        self._record.succeeded(self._every)

    async def run(self) -> None:
        """Run rounds until cancelled, the first at once unless rounds run on call."""
        if self._every == ON_CALL:
            await self._rest(ON_CALL)
        while True:
            self._called_for = math.inf
            pause = await self._attempt()
            if is_being_cancelled():  # the round swallowed it
                raise asyncio.CancelledError
            await self._rest(pause)

    async def _attempt(self) -> float:
        """Run one round; return the seconds until the next."""
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
        """Log and count a failure; return the pause: short if unavailable, else exponential back-off."""
        self._record.failures.inc()
        self._record.require(0.0)
        self._failed += 1
        name = self._record.name
        if isinstance(error, Unavailable):
            if self._log_throttle.allows():
                _log.warning("periodic_task_postponed", task=name, refusal=error.code)
            return min(self._retry, self._every)
        if self._log_throttle.allows():
            if isinstance(error, Refusal):
                _log.error("periodic_task_failed", task=name, refusal=error.code)
            else:
                _log.error("periodic_task_failed", task=name, exc_info=error)
        longest = max(self._retry, min(self._every, GRACE_SECONDS))
        return Backoff(self._retry, longest).pause(self._failed)

    async def _rest(self, pause: float) -> None:
        """Wait for the next round. A call may bring it forward, after a failure only to the first retry."""
        await asyncio.sleep(0)  # always yields, even if every round calls for the next
        now = self._clock.monotonic()
        at, earliest = now + pause, now + (min(self._retry, pause) if self._failed else 0.0)
        while True:
            self._called.clear()
            at = min(at, max(self._called_for, earliest))
            left = at - self._clock.monotonic()
            if left <= _TOLERANCE:
                return
            timer = None if left == math.inf else self._clock.call_later(left, self._called.set)
            try:
                await self._called.wait()
            finally:
                if timer is not None:
                    timer.cancel()


class Items:
    """The items of one round: a failed item is logged, the others still run, and the round fails at the end."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._first: BaseException | None = None
        self._in_a_row = 0

    @contextmanager
    def one(self, **named: object) -> Iterator[None]:
        """Guard the work on one item. Raises ``Unavailable`` after several consecutive ones."""
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
        """After the last item: raise the first failure."""
        if self._first is not None:
            raise self._first

    def _fail(self, error: BaseException, named: dict[str, object]) -> None:
        self._first = self._first or error
        self._in_a_row = self._in_a_row + 1 if isinstance(error, Unavailable) else 0
        if isinstance(error, Refusal):
            _log.warning("item_failed", task=self._task, refusal=error.code, **named)
        else:
            _log.error("item_failed", task=self._task, exc_info=error, **named)
        if self._in_a_row >= MAX_UNAVAILABLE:
            raise error


class PeriodicTasks:
    """The periodic tasks of one process, by name."""

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
        """Create a task; an earlier incarnation's record is continued. All times in seconds.

        ``retry`` is the pause after a failed round, ``grace`` how late a success may be before it is overdue.
        """
        record = self.record(name, grace)
        if every == ON_CALL:
            record.cancel()
        else:
            record.require(0.0)
        return PeriodicTask(record, round_, clock=clock or self._clock, every=every, retry=retry)

    def record(self, name: str, grace: float = GRACE_SECONDS) -> Record:
        """The record of a task; for a loop that does its own waiting."""
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = Record(name, self._clock, grace)
        return record

    def standings(self) -> dict[str, Standing]:
        """The status of each task."""
        return {name: record.standing() for name, record in self._records.items()}


def is_being_cancelled() -> bool:
    """Whether the current task is being cancelled; else a ``CancelledError`` is an item's failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
