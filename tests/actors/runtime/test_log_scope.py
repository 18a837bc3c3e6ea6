"""A line belongs to the request, agency, session and turn of its message, and to those of its actor."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import assert_never

import pytest

from voyagent.actors.foundation import log
from voyagent.actors.runtime.actor import Actor, Message

OWN = log.Scope(tenant="rao", session="s-1")


@dataclass(frozen=True, slots=True)
class Look(Message[log.Scope]):
    """Ask for the scope in which this is handled."""


class Watched(Actor[Look]):
    """Replies with its scope, and keeps that of its start."""

    def __init__(self, own: log.Scope = log.NOBODY) -> None:
        super().__init__()
        self.log_scope = own
        self.started_in: log.Scope | None = None

    async def initialise(self) -> None:
        self.started_in = log.SCOPE.get()

    async def receive(self, message: Look) -> log.Scope:
        match message:
            case Look():
                return log.SCOPE.get()
            case _:
                assert_never(message)


@pytest.mark.parametrize(
    ("own", "sent", "seen"),
    [
        (log.NOBODY, log.Scope("r-1", "rao"), log.Scope("r-1", "rao")),
        (OWN, log.Scope("r-1", "rao"), log.Scope("r-1", "rao", "s-1")),
        (OWN, log.Scope("r-1", "rao", "s-1", "t-1"), log.Scope("r-1", "rao", "s-1", "t-1")),
        (OWN, log.NOBODY, OWN),
        (OWN, log.Scope("r-1", "other", "s-2"), log.Scope("r-1", "rao", "s-1")),
        (log.Scope("r-0", "rao", "s-1", "t-0"), log.Scope("r-1"), log.Scope("r-0", "rao", "s-1", "t-0")),
    ],
)
async def test_a_message_is_handled_in_its_scope_within_that_of_the_actor(
    own: log.Scope, sent: log.Scope, seen: log.Scope
) -> None:
    ref = Watched.start(own)

    async def ask() -> log.Scope:
        log.SCOPE.set(sent)
        return await ref.ask(Look())

    assert await asyncio.create_task(ask()) == seen
    await ref.stop_and_wait(1.0)


async def test_the_scope_of_one_message_does_not_stay_for_the_next() -> None:
    ref = Watched.start(OWN)

    async def ask(request_id: str | None) -> log.Scope:
        log.SCOPE.set(log.Scope(request_id))
        return await ref.ask(Look())

    assert (await asyncio.create_task(ask("r-1"))).request_id == "r-1"
    assert await asyncio.create_task(ask(None)) == OWN
    await ref.stop_and_wait(1.0)


async def test_an_actor_starts_in_its_own_scope_and_not_in_that_of_who_starts_it() -> None:
    log.SCOPE.set(log.Scope("r-1", "other"))
    actor = Watched(OWN)
    actor._start_actor_loop()
    await actor.ref.ask(Look())
    assert actor.started_in == OWN
    await actor.ref.stop_and_wait(1.0)
    log.SCOPE.set(log.NOBODY)
