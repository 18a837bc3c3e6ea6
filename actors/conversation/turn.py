"""One pass of a turn as an actor: it runs the loop, tells its session what comes of it, and dies.

What it wants written goes up as messages, which are answered when it is durable.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, assert_never

from ...storage.conversation.steps import Step
from ..agent.run import Pass, Ports, Task, run_within
from ..domain.audit import Author
from ..runtime.actor import Actor, ActorDead, MailboxFull, Message, Recipient
from ..runtime.ref import refuse
from .log_writer import AppendText, Flush, StoreStep

R = TypeVar("R")

UNSAID_LIMIT = 16 * 1024
"""Characters of the model's words that may wait for the log before the turn stops reading the model."""


@dataclass(frozen=True, slots=True)
class PassEnded(Message[None]):
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


class TurnLog:
    """A turn's way to its session's log: words gather while earlier ones are being stored."""

    def __init__(self, session: Recipient, turn_id: str) -> None:
        self._session = session
        self._turn_id = turn_id
        self._gathered: list[str] = []
        self._size = 0
        self._pending: set[asyncio.Future[Any]] = set()
        self._append: asyncio.Future[None] | None = None
        """The append under way."""
        self._failure: BaseException | None = None
        self._closed = False

    async def say(self, text: str) -> None:
        self._gathered.append(text)
        self._size += len(text)
        if self._append is None:
            self._send()
        while self._size > UNSAID_LIMIT:
            await self._stored()

    def _send(self) -> None:
        """Have all that has gathered appended. Raises ``MailboxFull`` and keeps it; ``ActorDead`` at the end."""
        if self._failure is not None:
            raise self._failure
        append = AppendText(self._turn_id, "".join(self._gathered))
        reply = self._request(append)
        if reply.done() and (refused := reply.exception()) is not None:
            raise refused
        self._gathered, self._size, self._append = [], 0, reply
        reply.add_done_callback(self._appended)

    def _appended(self, reply: asyncio.Future[None]) -> None:
        self._append = None
        self._failure = reply.exception()
        if self._gathered and self._failure is None:
            with suppress(MailboxFull):  # the next words try again, and are told of it
                self._send()

    async def _stored(self) -> None:
        """Have what has gathered sent, and wait for what is under way."""
        if self._append is None:
            self._send()
        if self._append is not None and self._append.done():
            await asyncio.sleep(0)  # its callback is on its way
        elif self._append is not None:
            await asyncio.shield(self._append)

    async def write(self, step: Step[R]) -> R:
        await self._all_stored()
        reply: R = await self._request(StoreStep(step))
        return reply

    async def landed(self) -> None:
        await self._all_stored()
        await self._request(Flush())

    async def _all_stored(self) -> None:
        while self._append is not None or self._gathered:
            await self._stored()

    def _request(self, message: Message[R]) -> asyncio.Future[R]:
        if self._closed:
            raise ActorDead
        reply = self._session.request(message)
        self._pending.add(reply)
        reply.add_done_callback(self._pending.discard)
        return reply

    def close(self) -> None:
        """The pass is over, or its session is: whoever still waits would wait for ever."""
        self._closed = True
        for reply in list(self._pending):
            refuse(reply, ActorDead())


class TurnActor(Actor):
    """Runs one pass and ends with it."""

    def __init__(self, *, session: Recipient, task: Task, ports: Ports, seconds: float) -> None:
        super().__init__()
        self.session = session
        self.task = task
        self.work = Pass(task, ports)
        self.seconds = seconds
        self.interrupted: Interrupt | None = None
        self.inner: asyncio.Task[str] | None = None

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        self.spawn(self._run_pass(), name="pass")

    async def receive(self, message: Interrupt) -> bool:
        match message:
            case Interrupt():
                return self._interrupt(message)
            case _:
                assert_never(message)

    async def _run_pass(self) -> None:
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
        self.session.tell(PassEnded(self.task.turn_id, state, self.work.read))
        self.ref.stop_soon()

    async def terminate(self, failure: BaseException | None) -> None:  # noqa: ARG002 -- the hook's own
        self.work.ports.recorder.close()
        if self.work.reservation is not None:
            self.work.reservation.finish(None, "failed")

    def _interrupt(self, wanted: Interrupt) -> bool:
        if self.inner is not None and self.inner.done():
            return False
        if self.interrupted is None:
            self.interrupted = wanted
            if self.inner is not None:
                self.inner.cancel()
        return True
