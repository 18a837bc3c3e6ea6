"""A supervisor and its children for tests: what they are told, what they did, and what is to befall them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, assert_never

from tests.manual_clock import ManualClock
from tests.waiting import Event
from voyagent.actors.runtime.actor import Actor, Message, Ref
from voyagent.actors.runtime.supervisor import Child, Restart, Supervisor


@dataclass
class Observed:
    """What the actors of one test did, in order, and what is to befall them."""

    lines: list[str] = field(default_factory=list)
    start_errors: list[BaseException] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=Event)
    holding: asyncio.Event = field(default_factory=Event)
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Number(Message[int]):
    """Which incarnation answers."""


@dataclass(frozen=True, slots=True)
class Break(Message[None]):
    error: BaseException = field(default_factory=lambda: ValueError("broken"))


@dataclass(frozen=True, slots=True)
class Hold(Message[int]):
    pass


@dataclass(frozen=True, slots=True)
class Tire(Message[None]):
    """Ask to sleep."""


class Worker(Actor):
    def __init__(self, observed: Observed, name: str = "worker") -> None:
        super().__init__()
        self.observed = observed
        self.name = name

    async def initialise(self) -> None:
        await asyncio.sleep(0)
        if self.observed.start_errors:
            raise self.observed.start_errors.pop(0)
        self.observed.starts += 1
        self.number = self.observed.starts
        self.observed.lines.append(f"{self.name} up")

    async def receive(self, message: Number | Break | Hold | Tire) -> Any:
        match message:
            case Number():
                return self.number
            case Break(error):
                raise error
            case Hold():
                self.observed.holding.set()
                await self.observed.gate.wait()
                return self.number
            case Tire():
                return self.request_passivation()
            case _:
                assert_never(message)

    async def terminate(self, _failure: BaseException | None) -> None:
        await asyncio.sleep(0)
        self.observed.lines.append(f"{self.name} down")


@dataclass(frozen=True, slots=True)
class StartOne(Message[Ref]):
    child: Child


@dataclass(frozen=True, slots=True)
class To(Message[Any]):
    child: Child
    message: Message[Any]


@dataclass(frozen=True, slots=True)
class Look(Message[Ref | None]):
    name: str


@dataclass(frozen=True, slots=True)
class Passivate(Message[None]):
    name: str


@dataclass(frozen=True, slots=True)
class Stop(Message[None]):
    name: str


@dataclass(frozen=True, slots=True)
class Tree(Message[dict[str, Any]]):
    pass


@dataclass(frozen=True, slots=True)
class Fail(Message[None]):
    pass


@dataclass(frozen=True, slots=True)
class Ends(Message[list[tuple[str, BaseException | None]]]):
    """The ends the hook heard of; answered after all that came before."""


class Parent(Supervisor):
    def __init__(self, clock: ManualClock, children: tuple[Child, ...] = ()) -> None:
        super().__init__(clock=clock)
        self.children = children
        self.ends: list[tuple[str, BaseException | None]] = []

    async def initialise(self) -> None:
        for child in self.children:
            await self.start_child(child)

    async def receive(self, message: StartOne | To | Look | Passivate | Stop | Tree | Fail | Ends) -> Any:
        match message:
            case StartOne(child):
                return await self.start_child(child)
            case To(child, inner):
                return self.route(child, inner)
            case Look(name):
                return self.child(name)
            case Passivate(name):
                return self.passivate(name)
            case Stop(name):
                return await self.stop_child(name)
            case Tree():
                return self.tree()
            case Fail():
                raise ValueError("the parent")
            case Ends():
                return self.ends
            case _:
                assert_never(message)

    async def child_ended(self, name: str, failure: BaseException | None) -> None:
        self.ends.append((name, failure))


def worker(observed: Observed, restart: Restart = Restart.TRANSIENT, **kwargs: Any) -> Child:
    return Child("worker", lambda: Worker.start(observed), restart, **kwargs)


async def broken(ref: Ref, parent: Ref) -> None:
    """Fail a child, and return when its supervisor has noted it."""
    ref.tell(Break())
    await ref.ended()
    await parent.ask(Ends())


async def living(parent: Ref) -> Ref:
    ref = await parent.ask(Look("worker"))
    assert ref is not None
    return ref


async def break_again(parent: Ref, clock: ManualClock) -> None:
    ref = await living(parent)
    await broken(ref, parent)
    await clock.advance(2.0)


async def childless(parent: Ref) -> None:
    """Return when the supervisor has no child any more."""
    async with asyncio.timeout(5.0):
        while (await parent.ask(Tree()))["children_total"]:
            pass
