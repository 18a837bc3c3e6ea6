"""One line of writes per session: the next is sent when the one before is durable, and told only then."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from ..storage.steps import EventRow, Step, Written
from . import metrics
from .clock import Clock, Timer
from .domain.errors import Refusal, Unavailable
from .domain.events import frame, words
from .eventlog import EventLog, Frame
from .runtime import ActorDead, Asks, DeadlineExceeded
from .storage import Append

R = TypeVar("R")

Make = Callable[[int, datetime], Step[Any]]

PATIENCE = 10.0
"""Seconds a write is tried again while storage has no room for it."""
LONGEST_FLIGHT = PATIENCE + 5
"""Seconds after which words that are neither stored nor refused end the session."""


@dataclass(slots=True)
class _Words:
    turn_id: str
    text: str
    landed: Callable[[], None]


@dataclass(slots=True)
class _Stage:
    make: Make | None
    done: asyncio.Future[Any]


class WriteLine:
    """Numbers a session's events, has them stored in order, and publishes what is stored.

    An error in it that is not a refusal of a step is handed to ``fail``, which is to end the session. Words go by
    callbacks: a task, a timer and an event for each would cost more than the rest of their way.
    """

    def __init__(
        self,
        *,
        tenant_id: str,
        session_id: str,
        log: EventLog,
        store: Asks,
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.tenant_id = tenant_id
        self.session_id = session_id
        self.log = log
        self.store = store
        self.clock = clock
        self._spawn = spawn
        self._fail = fail
        self._line: deque[_Words | _Stage] = deque()
        self._flying = False
        self._over = False
        self._flown_at = 0.0
        self._watch: Timer | None = None
        self._reply: asyncio.Future[None] | None = None

    def words(self, turn_id: str, text: str, landed: Callable[[], None]) -> None:
        """Queue words of the model; ``landed`` is called when they are stored."""
        self._line.append(_Words(turn_id, text, landed))
        if not self._flying and not self._over:
            self._next()

    def step(self, make: Make | None, done: asyncio.Future[Any] | None = None) -> asyncio.Future[Any]:
        """Queue a step; the future has its reply, or its refusal. Without ``make`` it only waits its turn."""
        done = done or asyncio.get_running_loop().create_future()
        if self._over:
            _refuse(done, ActorDead())
            return done
        self._line.append(_Stage(make, done))
        if not self._flying:
            self._next()
        return done

    async def write(self, make: Callable[[int, datetime], Step[R]]) -> R:
        """Queue a step and wait for its reply."""
        reply: R = await asyncio.shield(self.step(make))
        return reply

    @property
    def idle(self) -> bool:
        return not self._line

    def _next(self) -> None:
        """Send what is first in the line, unless it only waited for its turn."""
        while self._line:
            head = self._line[0]
            if isinstance(head, _Words):
                self._flying = True
                self._send_words()
                return
            if head.make is not None:
                self._flying = True
                self._spawn(self._store_step(head, head.make))
                return
            self._line.popleft()
            _answer(head.done, None)
        self._flying = False

    def _send_words(self) -> None:
        now, began = self.clock.now(), self.clock.monotonic()
        rows: list[EventRow] = []
        for queued in self._line:
            if not isinstance(queued, _Words):
                break
            rows.append(
                EventRow(
                    self.tenant_id,
                    self.session_id,
                    self.log.last + len(rows) + 1,
                    queued.turn_id,
                    "text_delta",
                    words(queued.turn_id, queued.text, self.session_id, now),
                    now,
                )
            )
        self._flown_at = began
        if self._watch is None:
            self._watch = self.clock.call_later(LONGEST_FLIGHT, self._look)
        self._reply = self.store.post(Append(tuple(rows)))
        self._reply.add_done_callback(partial(self._words_stored, rows, began))

    def _words_stored(self, rows: list[EventRow], began: float, reply: asyncio.Future[None]) -> None:
        if self._over:  # nobody is there to be told
            return
        error = DeadlineExceeded() if reply.cancelled() else reply.exception()
        if error is not None:
            self._fail(error)
            return
        try:
            self._tell(rows, began)
            for each in [self._line.popleft() for _ in rows]:
                if isinstance(each, _Words):
                    each.landed()
            self._next()
        except Exception as defect:  # noqa: BLE001  # nobody awaits a callback; it must not leave the line standing
            self._fail(defect)

    def _look(self) -> None:
        """No answer may be waited for without end. One timer that moves on when it is due, not one for every word."""
        self._watch = None
        if not (self._line and isinstance(self._line[0], _Words)):
            return
        left = self._flown_at + LONGEST_FLIGHT - self.clock.monotonic()
        if left <= 0:
            self._fail(DeadlineExceeded())
        else:
            self._watch = self.clock.call_later(left, self._look)

    async def _store_step(self, stage: _Stage, make: Make) -> None:
        began = self.clock.monotonic()
        try:
            written = await self._sent(make(self.log.last, self.clock.now()))
        except Refusal as refusal:
            _refuse(stage.done, refusal)
            if isinstance(refusal, Unavailable):
                raise
        except BaseException as error:
            _refuse(stage.done, error)
            raise
        else:
            self._tell(written.rows, began)
            _answer(stage.done, written.reply)
        self._line.popleft()
        self._next()

    async def _sent(self, step: Step[R]) -> Written[R]:
        until = self.clock.monotonic() + PATIENCE
        while True:
            try:
                return await self.store.ask(step, within=30.0)
            except Unavailable as away:
                if away.code != "overloaded" or self.clock.monotonic() > until:
                    raise
            await self.clock.sleep(0.05)

    def _tell(self, rows: Sequence[EventRow], began: float) -> None:
        if rows:
            self.log.publish([Frame(row.seq, row.turn_id, row.kind, frame(row.data, row.seq)) for row in rows])
            metrics.SSE_DELIVERY_LAG_SECONDS.observe(self.clock.monotonic() - began)

    def abandon(self) -> None:
        """Nobody will write any more: whoever waits for a step is told so."""
        for queued in self._line:
            if isinstance(queued, _Stage):
                _refuse(queued.done, Unavailable("storage_unavailable"))
        self._line.clear()
        self._over = True
        if self._watch is not None:
            self._watch.cancel()
        if self._reply is not None:
            self._reply.cancel()


def _answer(done: asyncio.Future[Any], reply: Any) -> None:
    if not done.done():
        done.set_result(reply)


def _refuse(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
        done.exception()  # seen: the asker may be gone
