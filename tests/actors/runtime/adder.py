"""An actor for tests that adds, fails, holds and answers later, as its messages say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, assert_never

from tests.waiting import Event
from voyagent.actors.foundation import log
from voyagent.actors.runtime.actor import (
    Actor,
    Message,
    Ref,
)


@dataclass(frozen=True, slots=True)
class Add(Message[int]):
    amount: int


@dataclass(frozen=True, slots=True)
class Break(Message[None]):
    error: BaseException


@dataclass(frozen=True, slots=True)
class Hold(Message[str]):
    """Stay in the handler until the gate opens."""


@dataclass(frozen=True, slots=True)
class Slowly(Message[int]):
    """Answer later, when the gate opens."""

    amount: int
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class PassOn(Message[int]):
    amount: int


@dataclass(frozen=True, slots=True)
class SpawnAndBreak(Message[None]):
    error: BaseException


@dataclass(frozen=True, slots=True)
class WhoAsks(Message[str | None]):
    """The request on whose behalf the handler runs."""


@dataclass(frozen=True, slots=True)
class AskYourself(Message[int]):
    pass


Known = Add | Break | Hold | Slowly | PassOn | SpawnAndBreak | WhoAsks | AskYourself


class Adder(Actor):
    def __init__(self, *, behind: Ref | None = None) -> None:
        super().__init__()
        self.total = 0
        self.behind = behind
        self.holding = Event()
        self.gate = Event()
        self.end: list[BaseException | None] = []
        self.idler: asyncio.Task[Any] | None = None

    async def receive(self, message: Known) -> Any:
        match message:
            case Add(amount):
                self.total += amount
                return self.total
            case Break(error):
                raise error
            case Hold():
                return await self._hold()
            case Slowly():
                return self.reply_later(self._slowly(message))
            case PassOn(amount):
                assert self.behind is not None
                return self.forward(self.behind, Add(amount))
            case SpawnAndBreak(error):
                return self._spawn(error)
            case WhoAsks():
                return log.SCOPE.get().request_id
            case AskYourself():
                return await self.ref.ask(Add(1))
            case _:
                assert_never(message)

    async def _hold(self) -> str:
        self.holding.set()
        await self.gate.wait()
        return "held"

    async def _slowly(self, message: Slowly) -> int:
        await self._hold()
        if message.error is not None:
            raise message.error
        return message.amount

    def _spawn(self, error: BaseException) -> None:
        async def work() -> None:
            raise error

        async def idle() -> None:
            await asyncio.Event().wait()

        self.idler = self.spawn(idle(), name="idle")
        self.spawn(work(), name="work")

    async def terminate(self, failure: BaseException | None) -> None:
        self.end.append(failure)
