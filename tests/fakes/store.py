"""An actor's port to another one, mostly to ``StorageActor``: no actor and no database behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from voyagent.actors.runtime.actor import MailboxFull, Message, Recipient
from voyagent.actors.runtime.reply import refuse

M = TypeVar("M", bound=Message[Any])
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Held:
    """A message without its reply yet."""

    message: Message[Any]
    reply: asyncio.Future[Any]


class FakeStore:
    """Answers each type of message with a function of it, or holds it until the test answers it.

    A function that raises is a refusal. A message of a type without a function fails the test.
    """

    def __init__(self) -> None:
        self.received: list[Message[Any]] = []
        """All messages, oldest first."""
        self.held: list[Held] = []
        self.full = 0
        """How many messages are refused before the next is taken: the mailbox is full."""
        self._replies: dict[type[Message[Any]], Callable[[Any], Any] | None] = {}

    def on(self, kind: type[M], reply: Callable[[M], Any]) -> None:
        """Answer messages of this type with what ``reply`` returns or raises."""
        self._replies[kind] = reply

    def hold(self, *kinds: type[Message[Any]]) -> None:
        """Hold messages of these types."""
        self._replies.update(dict.fromkeys(kinds))

    def of(self, kind: type[M]) -> list[M]:
        """The messages received of this type."""
        return [message for message in self.received if isinstance(message, kind)]

    def tell(self, message: Message[Any]) -> None:
        if self.full:
            self.full -= 1
            raise MailboxFull
        self.received.append(message)

    async def ask(self, message: Message[R], within: float = 10.0) -> R:
        async with asyncio.timeout(within):
            return await self.request(message)

    def request(self, message: Message[R]) -> asyncio.Future[R]:
        self.received.append(message)
        reply: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        answer = self._replies[type(message)]
        if answer is None:
            self.held.append(Held(message, reply))
            return reply
        try:
            reply.set_result(answer(message))
        except Exception as error:  # noqa: BLE001 -- the asker's, as an actor's refusal is
            refuse(reply, error)
        return reply


def recipient(store: FakeStore) -> Recipient:
    """The type checker compares the fake with the protocol here."""
    return store
