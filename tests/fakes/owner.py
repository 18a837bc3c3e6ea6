"""A session's actor, as its parts see it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Self, TypeVar

from voyagent.actors.conversation import decisions, expiry, intake, log_writer, passes
from voyagent.actors.runtime.actor import Actor, Outcome
from voyagent.actors.runtime.ref import Ref
from voyagent.actors.runtime.supervisor import Child

R = TypeVar("R")

SETTLING = 12
"""Iterations of the event loop after which work that waits for nothing has come back."""


class Inbox(Actor[Any]):
    """An actor that keeps what it is sent."""

    def __init__(self, received: list[Any]) -> None:
        super().__init__()
        self.received = received

    async def receive(self, message: Any) -> Any:
        self.received.append(message)
        return True


class FakeOwner:
    """Continuations wait in ``mailbox`` and run one at a time, as messages of an actor do.

    An error in one fails the owner. ``calls`` has the names of what was requested of the session. To be used as a
    context manager: its children are actors, and they stop with it.
    """

    ref: Ref

    def __init__(self) -> None:
        self.mailbox: deque[Callable[[], None]] = deque()
        self.failures: list[BaseException] = []
        self.calls: list[str] = []
        self.deleting = False
        self.received: list[Any] = []
        """Messages to the session itself."""
        self.children: dict[str, list[Any]] = {}
        """Messages to each child, by the child's name."""
        self._refs: list[Ref] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self.ref = self._start(self.received)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for ref in self._refs:
            await ref.stop_and_wait(5.0)

    def _start(self, received: list[Any]) -> Ref:
        self._refs.append(Inbox.start(received))
        return self._refs[-1]

    def run_soon(self, then: Callable[[], None]) -> None:
        self.mailbox.append(then)

    def when_done(self, reply: asyncio.Future[R], then: Callable[[Outcome[R]], None]) -> None:
        reply.add_done_callback(lambda done: self.run_soon(partial(then, Outcome.of(done))))

    def pipe(self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.when_done(task, then)

    def start_new(self, child: Child) -> Ref:
        received = self.children[child.name] = []
        return self._start(received)

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)

    def rearm(self) -> None:
        self.calls.append("rearm")

    def expire(self) -> None:
        self.calls.append("expire")

    def reconcile(self) -> None:
        self.calls.append("reconcile")

    def refused(self) -> None:
        self.calls.append("refused")

    async def settle(self) -> None:
        """Handle messages until none comes any more."""
        for _ in range(SETTLING):
            await asyncio.sleep(0)
        while self.mailbox:
            self.handle()
            for _ in range(SETTLING):
                await asyncio.sleep(0)

    def handle(self) -> None:
        """Handle the oldest message."""
        try:
            self.mailbox.popleft()()
        except Exception as error:  # noqa: BLE001 -- an actor fails with any error of its message
            self.fail(error)


def owner(
    fake: FakeOwner,
) -> tuple[log_writer.Owner, passes.Owner, decisions.Owner, expiry.Owner, intake.Owner]:
    """The type checker compares the fake with each part's protocol here."""
    return fake, fake, fake, fake, fake
