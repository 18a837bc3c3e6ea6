"""One pass of a turn as an actor: it runs the loop, tells its session what comes of it, and dies.

What it wants written goes up as messages; that they are written is told back through the future each carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, assert_never

from ..storage.steps import Step
from .agent.loop import Pass, Ports, Task, run_within
from .domain.audit import Author
from .runtime import Actor, ActorDead, Asks, MailboxFull, Message

R = TypeVar("R")

UNSAID_LIMIT = 16 * 1024
"""Characters of the model's words that may wait for the log before the turn stops reading the model."""


@dataclass(frozen=True, slots=True)
class Said(Message[None]):
    """Event: words of the model. ``landed`` is called when they are stored."""

    turn_id: str
    text: str
    landed: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Wanted(Message[None]):
    """Event: a step this turn has come to; ``done`` has its reply when it is stored. None only waits its turn."""

    turn_id: str
    make: Callable[[int, datetime], Step[Any]] | None
    done: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Ended(Message[None]):
    """Event: the pass has come to its ``final``; ``state`` is where it left the turn.

    ``read`` are the approvals whose decisions it has carried out or told.
    """

    turn_id: str
    state: str
    read: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Interrupt(Message[bool]):
    """End the pass where it stands, with ``error``; a supplier's write under way is awaited first.

    Answers whether it will: a pass that has come to its ``final`` is over.
    """

    error: str
    by: Author


class Upwards:
    """A turn's way to its session's log: words gather while earlier ones are being stored."""

    def __init__(self, session: Asks, turn_id: str) -> None:
        self._session = session
        self._turn_id = turn_id
        self._unsaid: list[str] = []
        self._size = 0
        self._flying = False
        self._waiting: asyncio.Future[None] | None = None
        self._wanted: set[asyncio.Future[Any]] = set()
        self._closed = False

    async def say(self, text: str) -> None:
        self._unsaid.append(text)
        self._size += len(text)
        if not self._flying:
            self._fly()
        while self._size > UNSAID_LIMIT and not self._closed:
            await self._flown()

    def _fly(self) -> None:
        said, self._unsaid, self._size, self._flying = self._unsaid, [], 0, True
        try:
            self._session.tell(Said(self._turn_id, said[0] if len(said) == 1 else "".join(said), self._landed))
        except MailboxFull:
            self._unsaid, self._size, self._flying = said, sum(map(len, said)), False
            raise

    def _landed(self) -> None:
        self._flying = False
        if self._unsaid and not self._closed:
            with suppress(MailboxFull):  # whoever comes next tries again, and hears of it
                self._fly()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        self._waiting = None

    async def _flown(self) -> None:
        """Have what is unsaid fly, and wait for what flies to land."""
        if not self._flying:
            self._fly()
        if self._flying:
            self._waiting = self._waiting or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiting)

    async def write(self, make: Callable[[int, datetime], Step[R]]) -> R:
        await self._all_landed()
        reply: R = await self._want(make)
        return reply

    async def landed(self) -> None:
        await self._all_landed()
        await self._want(None)

    async def _all_landed(self) -> None:
        while (self._flying or self._unsaid) and not self._closed:
            await self._flown()

    async def _want(self, make: Callable[[int, datetime], Step[R]] | None) -> Any:
        if self._closed:
            raise ActorDead
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._wanted.add(done)
        done.add_done_callback(self._wanted.discard)
        self._session.tell(Wanted(self._turn_id, make, done))
        return await done

    def close(self) -> None:
        """The pass is over, or its session is: whoever still waits would wait for ever."""
        self._closed = True
        self._wake()
        for done in list(self._wanted):
            if not done.done():
                done.set_exception(ActorDead())
                done.exception()  # seen: the asker may be gone


class TurnActor(Actor):
    """Runs one pass and ends with it."""

    def __init__(self, *, session: Asks, task: Task, ports: Ports, seconds: float) -> None:
        super().__init__()
        self.session = session
        self.task = task
        self.work = Pass(task, ports)
        self.seconds = seconds
        self.interrupted: Interrupt | None = None
        self.inner: asyncio.Task[str] | None = None

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        self.spawn(self._run(), name="pass")

    async def receive(self, message: Interrupt) -> bool:
        match message:
            case Interrupt():
                return self._interrupt(message)
            case _:
                assert_never(message)

    async def _run(self) -> None:
        self.inner = running = asyncio.get_running_loop().create_task(
            run_within(self.work, self.seconds), name="pass.work"
        )
        if self.interrupted is not None:
            running.cancel()
        try:
            state = await asyncio.shield(running)
        except asyncio.CancelledError:
            if self.interrupted is None or not running.cancelled():
                self.work.abandoned = True
                running.cancel()
                raise
            state = await self.work.stop("cancelled", self.interrupted.error, by=self.interrupted.by)
        self.session.tell(Ended(self.task.turn_id, state, self.work.read))
        self.ref.stop_soon()

    async def on_end(self, failure: BaseException | None) -> None:  # noqa: ARG002 -- the hook's own
        self.work.ports.recorder.close()
        if self.work.spending is not None:
            self.work.spending.finish(None, "failed")

    def _interrupt(self, wanted: Interrupt) -> bool:
        if self.inner is not None and self.inner.done():
            return False
        if self.interrupted is None:
            self.interrupted = wanted
            if self.inner is not None:
                self.inner.cancel()
        return True
