"""The write queue of one session: each write is sent when the previous one is durable, and then published."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from ...storage.conversation.steps import EventRow, Step, Written
from ...storage.engine.operations import Operation
from ..database import Append
from ..domain.errors import Refusal, Unavailable
from ..domain.events import frame, words
from ..foundation import metrics
from ..foundation.clock import Clock, Timer
from ..runtime.actor import ActorDead, DeadlineExceeded, Message, Outcome, Recipient
from ..runtime.reply import resolve
from .event_log import SseFrame

R = TypeVar("R")

Then: TypeAlias = Callable[[Outcome[Any]], None]
"""Continuation of a write; runs as a message of the session."""

RETRY_FOR = 10.0
"""Seconds a write is tried again while storage is overloaded."""
WRITE_TIMEOUT = RETRY_FOR + 5
"""Seconds after which text that is neither stored nor refused ends the session."""


@dataclass(frozen=True, slots=True)
class AppendText(Message[None]):
    """Append model output to the session's log; answered when it is durable."""

    turn_id: str
    text: str


@dataclass(frozen=True, slots=True)
class StoreStep(Message[R]):
    """Store a step after all earlier writes; answered with its reply, or its refusal."""

    step: Step[R]


@dataclass(frozen=True, slots=True)
class Flush(Message[None]):
    """Answered when all earlier writes are durable."""


class Owner(Protocol):
    """The session's actor, as far as its writer needs it."""

    def pipe(self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str) -> None: ...

    def when_done(self, reply: asyncio.Future[R], then: Callable[[Outcome[R]], None]) -> None: ...

    def run_soon(self, then: Callable[[], None]) -> None: ...

    def fail(self, error: BaseException) -> None: ...


@dataclass(slots=True)
class _Text:
    turn_id: str
    text: str
    stored: asyncio.Future[None]


@dataclass(slots=True)
class _Stage:
    operation: Operation[Any] | None
    then: Then
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    """With the log scope of who writes it: it may be sent by the continuation of somebody else's write."""


class LogWriter:
    """Numbers a session's events, has them stored in order, and publishes what is stored.

    Part of the session's actor and changed by it alone: continuations run as messages of the actor. An error in one
    that is not a refusal of a step fails the actor.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        tenant_id: str,
        session_id: str,
        last: int,
        store: Recipient,
        clock: Clock,
        publish: Callable[[Sequence[SseFrame]], None],
    ) -> None:
        """``last`` is the newest event's id; ``publish`` receives stored events."""
        self.tenant_id = tenant_id
        self.session_id = session_id
        self.last = last
        self.writes = 0
        """Number of writes so far: a reader of the tables compares it to see whether its snapshot is stale."""
        self._owner = owner
        self._store = store
        self._clock = clock
        self._publish = publish
        self._queue: deque[_Text | _Stage] = deque()
        self._sending = False
        self._closed = False
        self._sent_at = 0.0
        self._timer: Timer | None = None
        self._reply: asyncio.Future[None] | None = None

    @property
    def idle(self) -> bool:
        return not self._queue

    def text(self, turn_id: str, text: str, stored: asyncio.Future[None]) -> None:
        """Queue model output; ``stored`` is resolved when it is durable."""
        self._enqueue(_Text(turn_id, text, stored))

    def step(self, step: Step[Any], then: Then) -> None:
        """Queue a step, stamped when it is sent; ``then`` receives its reply or its refusal."""
        self._enqueue(_Stage(step, then))

    def operation(self, operation: Operation[Any], then: Then) -> None:
        """Queue an operation that writes no event of this log."""
        self._enqueue(_Stage(operation, then))

    def barrier(self, then: Then) -> None:
        """Call ``then`` when all that is queued already is durable."""
        self._enqueue(_Stage(None, then))

    def close(self) -> None:
        """Stop writing; pending steps fail."""
        self._closed = True
        waiting, self._queue = self._queue, deque()
        for item in waiting:
            if isinstance(item, _Stage):
                item.then(Outcome(error=Unavailable("storage_unavailable")))
        if self._timer is not None:
            self._timer.cancel()
        if self._reply is not None:
            self._reply.cancel()

    def _enqueue(self, item: _Text | _Stage) -> None:
        if self._closed:
            if isinstance(item, _Stage):
                item.then(Outcome(error=ActorDead()))
            return
        self._queue.append(item)
        if not self._sending:
            self._next()

    def _next(self) -> None:
        """Send the head of the queue; barriers at its head are resolved at once."""
        while self._queue and not self._sending:
            head = self._queue[0]
            if isinstance(head, _Text):
                self._send_text()
            elif head.operation is None:
                self._queue.popleft()
                head.then(Outcome())
            else:
                self._send_stage(head, head.operation)

    def _send_stage(self, stage: _Stage, operation: Operation[Any]) -> None:
        self._sending = True
        self.writes += 1
        began = self._clock.monotonic()
        if isinstance(operation, Step):
            operation = operation.stamped(self.last, self._clock.now())
        then = partial(self._stage_over, stage, began)
        stage.context.run(self._owner.pipe, self._stored(operation), then, name="write")

    async def _stored(self, operation: Operation[R]) -> R:
        until = self._clock.monotonic() + RETRY_FOR
        while True:
            try:
                return await self._store.ask(operation, within=30.0)
            except Unavailable as unavailable:
                if unavailable.code != "overloaded" or self._clock.monotonic() > until:
                    raise
            await self._clock.sleep(0.05)

    def _stage_over(self, stage: _Stage, began: float, outcome: Outcome[Any]) -> None:
        if self._closed:
            return
        self._queue.popleft()
        self._sending = False
        if outcome.error is None and isinstance(outcome.value, Written):
            self._publish_rows(outcome.value.rows, began)
            outcome = Outcome(outcome.value.reply)
        stage.then(outcome)
        error = outcome.error
        if error is not None and (not isinstance(error, Refusal) or isinstance(error, Unavailable)):
            self._owner.fail(error)
            return
        self._next()

    def _send_text(self) -> None:
        now, began = self._clock.now(), self._clock.monotonic()
        rows: list[EventRow] = []
        for queued in self._queue:
            if not isinstance(queued, _Text):
                break
            rows.append(
                EventRow(
                    self.tenant_id,
                    self.session_id,
                    self.last + len(rows) + 1,
                    queued.turn_id,
                    "text_delta",
                    words(queued.turn_id, queued.text, self.session_id, now),
                    now,
                )
            )
        self._sending = True
        self.writes += 1
        self._sent_at = began
        if self._timer is None:
            self._check_in(WRITE_TIMEOUT)
        self._reply = self._store.request(Append(tuple(rows)))
        self._owner.when_done(self._reply, lambda outcome: self._text_over(rows, began, outcome))

    def _text_over(self, rows: list[EventRow], began: float, outcome: Outcome[None]) -> None:
        if self._closed:
            return
        self._sending = False
        if outcome.error is not None:
            self._owner.fail(outcome.error)
            return
        self._publish_rows(rows, began)
        for _ in rows:
            stored = self._queue.popleft()
            if isinstance(stored, _Text):
                resolve(stored.stored, None)
        self._next()

    def _check(self) -> None:
        """Fail when a text write timed out. One timer that is rescheduled when due, not one per write."""
        self._timer = None
        if not (self._queue and isinstance(self._queue[0], _Text)):
            return
        left = self._sent_at + WRITE_TIMEOUT - self._clock.monotonic()
        if left <= 0:
            self._owner.fail(DeadlineExceeded())
        else:
            self._check_in(left)

    def _check_in(self, seconds: float) -> None:
        self._timer = self._clock.call_later(seconds, lambda: self._owner.run_soon(self._check))

    def _publish_rows(self, rows: Sequence[EventRow], began: float) -> None:
        if rows:
            self.last = rows[-1].seq
            self._publish([SseFrame(row.seq, row.turn_id, row.kind, frame(row.data, row.seq)) for row in rows])
            metrics.SSE_DELIVERY_LAG_SECONDS.observe(self._clock.monotonic() - began)
