"""One pass of a turn as an actor: it runs the agent loop, reports to its session, and stops.

Its text and steps are sent to the session as messages, which are answered when they are durable.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, assert_never

from ...storage.conversation.steps import Step
from ..agent.ports import Ports, Task
from ..agent.run import Pass, run_within
from ..domain.audit import Author
from ..domain.turns import TurnError
from ..foundation import log
from ..runtime.actor import Actor, ActorDead, MailboxFull, Message, Recipient
from ..runtime.reply import refuse
from .log_writer import AppendText, Flush, StoreStep

R = TypeVar("R")

UNSENT_LIMIT = 16 * 1024
"""Characters of model output that may wait for the log before the turn stops reading from the model."""


@dataclass(frozen=True, slots=True)
class PassEnded(Message[None]):
    """Event: the pass has stored its ``final``; ``state`` is the turn's state then.

    ``read`` are the approvals whose decisions it has carried out or reported to the model.
    """

    turn_id: str
    state: str
    read: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Interrupt(Message[bool]):
    """End the running pass with ``error``; a supplier write in progress is awaited first.

    Replies whether it will: a pass that has stored its ``final`` is over.
    """

    error: TurnError
    by: Author


class TurnLog:
    """Sends a turn's output to its session's log; text is buffered while earlier text is being stored."""

    def __init__(self, session: Recipient, turn_id: str) -> None:
        self._session = session
        self._turn_id = turn_id
        self._buffer: list[str] = []
        self._size = 0
        self._pending: set[asyncio.Future[Any]] = set()
        """Requests in progress, without the append."""
        self._append: asyncio.Future[None] | None = None
        """The append in progress."""
        self._failure: BaseException | None = None
        self._closed = False

    async def append_text(self, text: str) -> None:
        self._buffer.append(text)
        self._size += len(text)
        if self._append is None:
            self._send()
        while self._size > UNSENT_LIMIT:
            await self._stored()

    def _send(self) -> None:
        """Append the buffered text. Raises ``MailboxFull`` and keeps it; ``ActorDead`` once closed."""
        self._check()
        reply = self._sent(AppendText(self._turn_id, "".join(self._buffer)))
        if reply.done() and (refused := reply.exception()) is not None:
            raise refused
        self._buffer, self._size, self._append = [], 0, reply
        reply.add_done_callback(self._appended)

    def _appended(self, reply: asyncio.Future[None]) -> None:
        self._append = None
        self._failure = reply.exception()
        if self._buffer and self._failure is None:
            with suppress(MailboxFull, ActorDead):  # the next text or step tries again and reports it
                self._send()

    async def _stored(self) -> None:
        """Send the buffered text, or wait for the append in progress and what ``_appended`` makes of it."""
        if self._append is None:
            self._send()
        if self._append is not None:
            await asyncio.wait({self._append})
        self._check()

    def _check(self) -> None:
        """Raise the failure of an earlier append: nothing is stored behind it."""
        if self._failure is not None:
            raise self._failure

    async def write(self, step: Step[R]) -> R:
        await self._all_stored()
        reply: R = await self._request(StoreStep(step))
        return reply

    async def flush(self) -> None:
        await self._all_stored()
        await self._request(Flush())

    async def _all_stored(self) -> None:
        self._check()
        while self._append is not None or self._buffer:
            await self._stored()

    def _sent(self, message: Message[R]) -> asyncio.Future[R]:
        if self._closed:
            raise ActorDead
        return self._session.request(message)

    def _request(self, message: Message[R]) -> asyncio.Future[R]:
        reply = self._sent(message)
        self._pending.add(reply)
        reply.add_done_callback(self._pending.discard)
        return reply

    def close(self) -> None:
        """Close the log when the pass or its session ends; pending requests fail."""
        self._closed = True
        for reply in [self._append, *self._pending]:
            refuse(reply, ActorDead())


class TurnActor(Actor[Interrupt]):
    """Runs one pass and stops after it."""

    def __init__(self, *, session: Recipient, task: Task, ports: Ports, seconds: float) -> None:
        super().__init__()
        self.log_scope = log.Scope(task.request_id, task.tenant_id, task.session_id, task.turn_id)
        self.session = session
        self.task = task
        self.work = Pass(task, ports)
        self.seconds = seconds
        self.interrupted: Interrupt | None = None
        self.inner: asyncio.Task[str] | None = None

    async def initialise(self) -> None:
        work = run_within(self.work, self.seconds)
        self.inner = asyncio.get_running_loop().create_task(work, name="pass.work")
        self.inner.add_done_callback(lambda _: work.close())
        self.spawn(self._report_end(self.inner), name="pass")

    async def receive(self, message: Interrupt) -> bool:
        match message:
            case Interrupt():
                return self._interrupt(message)
            case _:
                assert_never(message)

    async def _report_end(self, running: asyncio.Task[str]) -> None:
        """Report the end of the pass; an interrupted one is stopped first."""
        try:
            state = await asyncio.shield(running)
        except asyncio.CancelledError:
            if self.interrupted is None or not running.cancelled():
                self.work.abandon()
                running.cancel()
                raise
            state = await self.work.stop("cancelled", self.interrupted.error, by=self.interrupted.by)
        self.session.tell(PassEnded(self.task.turn_id, state, self.work.read))
        self.ref.stop_soon()

    async def terminate(self, _failure: BaseException | None) -> None:
        if self.inner is not None and not self.inner.done():  # the stop came before the pass began
            self.work.abandon()
            self.inner.cancel()
        self.work.close()

    def _interrupt(self, interrupt: Interrupt) -> bool:
        if self.inner is None or self.inner.done():
            return False
        if self.interrupted is None:
            self.interrupted = interrupt
            self.inner.cancel()
        return True
