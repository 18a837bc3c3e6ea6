"""Watches every write to the state of actors and their parts: attributes, and containers in them."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from collections import OrderedDict, deque
from enum import Enum
from typing import Any

import pytest

from voyagent.actors.runtime.actor import Actor
from voyagent.actors.runtime.actor_loop import ActorLoop
from voyagent.actors.runtime.envelope import Envelope
from voyagent.actors.runtime.supervisor import Supervisor

MODULES = (
    "root",
    "tenant",
    "database",
    "mail",
    "housekeeping",
    "suppliers.supplier",
    "domain.throttles",
    "runtime.supervisor",
    "runtime.children",
    "runtime.cache",
)
PACKAGES = ("accounts", "conversation", "throttling")

SHARED = {
    "HashQueue": "a queue that tasks wait in",
    "Passwords": "a pool of threads that tasks share",
    "AccessWatch": "its stream says whom to call",
    "Subscription": "its viewer's, who reads the log",
    "_WriteOutcome": "the task's that runs the write",
    "TurnLog": "the task's that runs the pass",
}
"""Classes whose objects belong to tasks, or keep themselves consistent between them."""
SHARED_CONTAINERS = {
    "EventLog.subscriptions": "a viewer that leaves removes its own",
    "Slot.held": "a child that ends leaves its unread envelopes there at once",
    "AccessWatches._held": "weak references: a stream that ends drops its own",
}

CHANGES = {
    "__setitem__",
    "__delitem__",
    "__ior__",
    "__iadd__",
    "add",
    "append",
    "appendleft",
    "clear",
    "discard",
    "extend",
    "insert",
    "move_to_end",
    "pop",
    "popitem",
    "popleft",
    "remove",
    "setdefault",
    "update",
}


def classes() -> list[type]:
    """Every class of an actor and of its parts that has state."""
    names = [f"voyagent.actors.{name}" for name in MODULES]
    for package in PACKAGES:
        found = importlib.import_module(f"voyagent.actors.{package}")
        names += [f"{found.__name__}.{module.name}" for module in pkgutil.iter_modules(found.__path__)]
    kinds = [
        kind
        for name in names
        for kind in vars(importlib.import_module(name)).values()
        if inspect.isclass(kind) and kind.__module__ == name and kind.__name__ not in SHARED
    ]
    return [kind for kind in kinds if _has_state(kind)]


def _has_state(kind: type) -> bool:
    frozen = getattr(kind, "__dataclass_params__", None)
    return not (
        issubclass(kind, BaseException | Enum | tuple)
        or getattr(kind, "_is_protocol", False)
        or (frozen is not None and frozen.frozen)
    )


MACHINERY = frozenset(vars(Actor()))  # type: ignore[abstract]  # never started
"""What the runtime itself keeps of an actor."""


class StateWatch:
    """Every class of ``classes()`` is watched while it lasts."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.written: set[str] = set()
        self.outside: set[str] = set()
        self._actors = {kind.__name__ for kind in classes() if issubclass(kind, Actor)} - {Supervisor.__name__}
        self._containers: dict[type, type] = {}
        self._inline: list[str] = []
        """Actors that handle a message in the task of its sender, the innermost last."""
        for kind in classes():
            self._watch(kind, patch)
        self._follow(patch)

    def _follow(self, patch: pytest.MonkeyPatch) -> None:
        original = ActorLoop._handle_inline

        def handle(actor: ActorLoop, envelope: Envelope) -> None:
            assert actor.actor_inbox.idle, f"{type(actor).__name__} is not idle"
            self._inline.append(type(actor).__name__)
            try:
                original(actor, envelope)
            finally:
                self._inline.pop()

        patch.setattr(ActorLoop, "_handle_inline", handle)

    def _watch(self, kind: type, patch: pytest.MonkeyPatch) -> None:
        original = kind.__setattr__

        def watched(this: Any, name: str, value: Any) -> None:
            if not (isinstance(this, Actor) and name in MACHINERY):
                if hasattr(this, name):
                    self.note(this, name)
                value = self._wrapped(this, name, value)
            original(this, name, value)

        patch.setattr(kind, "__setattr__", watched)

    def note(self, this: Any, name: str) -> None:
        """A write to an attribute, or to the container in it, of an object that was made before."""
        field = f"{type(this).__name__}.{name}"
        self.written.add(field)
        task = asyncio.current_task()
        writer = "no task" if task is None else task.get_name()
        if self._inline:
            writer = self._inline[-1]
        if isinstance(this, Actor):
            allowed = this._life.task is None or writer == type(this).__name__
        else:
            allowed = writer in self._actors
        if not allowed:
            self.outside.add(f"{field} by {writer}")

    def _wrapped(self, this: Any, name: str, value: Any) -> Any:
        if f"{type(this).__name__}.{name}" in SHARED_CONTAINERS:
            return value
        if type(value) not in (dict, list, set, OrderedDict, deque):
            return value
        kind = self._containers.setdefault(type(value), self._container(type(value)))
        made = kind(value) if type(value) is not deque else kind(value, value.maxlen)
        made.place = (this, name)
        return made

    def _container(self, base: type) -> type:
        def changing(method: str) -> Any:
            original = getattr(base, method)

            def change(container: Any, *args: Any, **kwargs: Any) -> Any:
                place = getattr(container, "place", None)
                if place is not None:
                    self.note(*place)
                return original(container, *args, **kwargs)

            return change

        return type(base.__name__, (base,), {name: changing(name) for name in CHANGES if hasattr(base, name)})
