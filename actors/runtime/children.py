"""Children as data: their specifications, and what a supervisor knows of each across its incarnations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal

from ..domain.audit import wire_time
from ..foundation.clock import Timer
from ..foundation.metrics import ActorMeter
from .envelope import Envelope, undelivered
from .ref import Ref


class Restart(Enum):
    """When a child is restarted after its end (OTP's restart types)."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """After a failure; not after a stop, nor after a refused start."""
    TEMPORARY = "temporary"
    """Never."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child's specification. ``factory`` starts it, at first and at each restart.

    ``escalate`` is for permanent singletons: one that cannot start fails its supervisor. Others that keep failing are
    suspended for a minute.
    """

    name: str
    factory: Callable[[], Ref]
    restart: Restart = Restart.PERMANENT
    shutdown: float = 5.0
    """Seconds it may take to stop before it is cancelled."""
    escalate: bool = False
    serves: bool = False
    """Its siblings ask it for work, so it is stopped after all of them."""


@dataclass(slots=True, eq=False)
class Slot:
    """A supervisor's state of one child across its incarnations."""

    child: Child
    since: datetime
    phase: Literal["up", "stopping", "passivating", "backing_off", "suspended"] = "backing_off"
    ref: Ref | None = None
    meter: ActorMeter = field(default_factory=lambda: ActorMeter.of("none"))
    held: list[Envelope] = field(default_factory=list)
    """Envelopes for the next incarnation."""
    failures: list[float] = field(default_factory=list)
    false_starts: list[float] = field(default_factory=list)
    refusals: int = 0
    restarts: int = 0
    failed: int = 0
    timer: Timer | None = None
    until: float = 0.0

    @property
    def accepts_messages(self) -> bool:
        ref = self.ref
        return self.phase == "up" and ref is not None and ref.is_alive() and not ref.life.stopping

    def state(self) -> str:
        if self.phase == "up" and self.ref is not None:
            return self.ref.life.state
        return {
            "stopping": "stopping",
            "passivating": "stopping",
            "backing_off": "restarting",
            "suspended": "set_aside",
        }.get(self.phase, "ended")

    def keep_unread(self, unread: list[Envelope]) -> bool:
        """Keep unread envelopes for the next incarnation; after a failure they are refused and senders retry."""
        ref = self.ref
        orderly = ref is not None and ref.life.failure is None and self.child.restart is not Restart.TEMPORARY
        if orderly or self.phase == "passivating":
            self.held[:0] = unread
            return True
        return False

    def pop_held(self) -> list[Envelope]:
        held, self.held = self.held, []
        return held

    def refuse_held(self, why: BaseException) -> None:
        for envelope in self.pop_held():
            undelivered(envelope, self.meter, why)

    def describe(self) -> dict[str, Any]:
        """The child and all below it as data."""
        ref = self.ref
        describe_children = ref.life.describe_children if ref is not None else None
        return {
            "name": self.child.name,
            "class": self.meter.actor if ref is None else ref.meter.actor,
            "state": self.state(),
            "restarts": self.restarts,
            "mailbox": len(self.held) if ref is None else len(ref.inbox),
            "handled": 0 if ref is None else ref.life.handled,
            "failures": self.failed,
            "since": wire_time(self.since),
            **({"children": [], "children_total": 0} if describe_children is None else describe_children()),
        }
