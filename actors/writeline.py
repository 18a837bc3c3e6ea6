"""One line of writes per session: the next is sent when the one before is durable, and told only then."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from ..storage.steps import EventRow, Step, Written
from . import metrics
from .clock import Clock
from .domain.errors import Refusal, Unavailable
from .domain.events import frame, words
from .eventlog import EventLog, Frame
from .runtime import Asks
from .storage import Append

R = TypeVar("R")

Make = Callable[[int, datetime], Step[Any]]

PATIENCE = 10.0
"""Seconds a write is tried again while storage has no room for it."""


@dataclass(slots=True)
class _Words:
    turn_id: str
    text: str
    taken: asyncio.Future[None]


@dataclass(slots=True)
class _Stage:
    make: Make | None
    done: asyncio.Future[Any]


class WriteLine:
    """Numbers a session's events, has them stored in order, and publishes what is stored.

    ``run`` is a task of the session's own; an error in it that is not a refusal of a step ends the session.
    """

    def __init__(self, *, tenant_id: str, session_id: str, log: EventLog, store: Asks, clock: Clock) -> None:
        self.tenant_id = tenant_id
        self.session_id = session_id
        self.log = log
        self.store = store
        self.clock = clock
        self._line: deque[_Words | _Stage] = deque()
        self._more = asyncio.Event()

    def words(self, turn_id: str, text: str, taken: asyncio.Future[None]) -> None:
        """Queue words of the model."""
        self._line.append(_Words(turn_id, text, taken))
        self._more.set()

    def step(self, make: Make | None, done: asyncio.Future[Any] | None = None) -> asyncio.Future[Any]:
        """Queue a step; the future has its reply, or its refusal. Without ``make`` it only waits its turn."""
        done = done or asyncio.get_running_loop().create_future()
        self._line.append(_Stage(make, done))
        self._more.set()
        return done

    async def write(self, make: Callable[[int, datetime], Step[R]]) -> R:
        """Queue a step and wait for its reply."""
        reply: R = await asyncio.shield(self.step(make))
        return reply

    @property
    def idle(self) -> bool:
        return not self._line

    async def run(self) -> None:
        """Write what is queued, for ever."""
        while True:
            while self._line:
                head = self._line[0]
                if isinstance(head, _Words):
                    await self._store_words()
                else:
                    await self._store_step(head)
                    self._line.popleft()
            self._more.clear()
            await self._more.wait()

    async def _store_words(self) -> None:
        batch: list[_Words] = []
        for queued in self._line:
            if not isinstance(queued, _Words):
                break
            batch.append(queued)
        now, began = self.clock.now(), self.clock.monotonic()
        rows = tuple(
            EventRow(
                tenant_id=self.tenant_id,
                session_id=self.session_id,
                seq=self.log.last + place,
                turn_id=said.turn_id,
                kind="text_delta",
                data=words(said.turn_id, said.text, self.session_id, now),
                created_at=now,
            )
            for place, said in enumerate(batch, start=1)
        )
        await self.store.ask(Append(rows), within=PATIENCE + 5)
        for _ in batch:
            self._line.popleft()
        self._tell(rows, began)
        for said in batch:
            if not said.taken.done():
                said.taken.set_result(None)

    async def _store_step(self, stage: _Stage) -> None:
        reply: Any = None
        if stage.make is not None:
            began = self.clock.monotonic()
            try:
                written = await self._sent(stage.make(self.log.last, self.clock.now()))
            except Refusal as refusal:
                _refuse(stage.done, refusal)
                if isinstance(refusal, Unavailable):
                    raise
                return
            except BaseException as error:
                _refuse(stage.done, error)
                raise
            self._tell(written.rows, began)
            reply = written.reply
        if not stage.done.done():
            stage.done.set_result(reply)

    async def _sent(self, step: Step[R]) -> Written[R]:
        until = self.clock.monotonic() + PATIENCE
        while True:
            try:
                return await self.store.ask(step, within=30.0)
            except Unavailable as away:
                if away.code != "overloaded" or self.clock.monotonic() > until:
                    raise
            await self.clock.sleep(0.05)

    def _tell(self, rows: tuple[EventRow, ...], began: float) -> None:
        if rows:
            self.log.publish([Frame(row.seq, row.turn_id, row.kind, frame(row.data, row.seq)) for row in rows])
            metrics.SSE_DELIVERY_LAG_SECONDS.observe(self.clock.monotonic() - began)

    def abandon(self) -> None:
        """Nobody will write any more: whoever waits is told so."""
        for queued in self._line:
            waiter: asyncio.Future[Any] = queued.taken if isinstance(queued, _Words) else queued.done
            if isinstance(queued, _Words):
                waiter.cancel()
            else:
                _refuse(waiter, Unavailable("storage_unavailable"))
        self._line.clear()


def _refuse(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
        done.exception()  # seen: the asker may be gone
