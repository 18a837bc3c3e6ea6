"""An actor's mailbox, and the signals that an actor sends itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..foundation import log
from .envelope import Envelope


@dataclass(frozen=True, slots=True)
class Signal:
    """A callable the actor runs between two messages; accepted even by a full mailbox."""

    act: Callable[[], Awaitable[None] | None]
    finish: bool = False
    """Needed for a pending reply, so it also runs after a stop."""


class Inbox:
    """An actor's mailbox: envelopes in order, read by the actor alone."""

    __slots__ = ("__weakref__", "_envelopes", "_reader")

    def __init__(self) -> None:
        self._envelopes: deque[Envelope] = deque()
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._envelopes)

    def empty(self) -> bool:
        return not self._envelopes

    @property
    def idle(self) -> bool:
        """Whether the actor awaits an envelope and none has come."""
        return self._reader is not None and not self._reader.done()

    def get(self) -> Any:
        """Not supported: Pykka's own loop would block here."""
        raise RuntimeError("an inbox on the loop is read with take()")

    def put(self, envelope: Any) -> None:
        """Accept Pykka's envelopes, which carry what is no ``Message``, such as a stop."""
        reply = envelope.reply_to
        self.add(Envelope(envelope.message, None if reply is None else reply.inner, log.SCOPE.get()))

    def add(self, envelope: Envelope, *, first: bool = False) -> None:
        if first:
            self._envelopes.appendleft(envelope)
        else:
            self._envelopes.append(envelope)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def take(self) -> Envelope:
        while not self._envelopes:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._envelopes.popleft()

    def newest_first(self) -> None:
        """Move the newest envelope to the front."""
        self._envelopes.rotate(1)

    def drain(self) -> list[Envelope]:
        """Remove and return all unread envelopes."""
        unread = list(self._envelopes)
        self._envelopes.clear()
        return unread
