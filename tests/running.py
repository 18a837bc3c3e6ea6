"""Actors themselves, behind their refs: Pykka hands out refs alone, and its names for the rest begin with a line."""

from __future__ import annotations

from typing import TypeVar

from voyagent.actors.runtime.actor import Actor, Ref

A = TypeVar("A", bound=Actor)


def run_actor(actor: A) -> A:
    """An actor that a test has made, running."""
    actor._start_actor_loop()
    return actor


def actor_of(ref: Ref, kind: type[A]) -> A:
    """The actor behind a ref."""
    actor = ref._actor_weakref()
    assert isinstance(actor, kind)
    return actor
