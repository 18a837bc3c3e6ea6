"""An actor's lifecycle as its supervisor sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from .envelope import Envelope

State = Literal["starting", "running", "stopping", "ended"]


class Lifecycle:
    """An actor's state and counters as seen from outside, and the callbacks of its supervisor."""

    __slots__ = (
        "activity",
        "describe_children",
        "failure",
        "finishing",
        "halt",
        "handle_inline",
        "handled",
        "on_idle",
        "on_terminated",
        "on_unread",
        "started",
        "state",
        "stopping",
        "task",
    )

    def __init__(self) -> None:
        self.state: State = "starting"
        self.started = False
        self.handled = 0
        self.activity = 0
        """Messages and signals begun so far: either may leave the actor with something to await."""
        self.failure: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self.on_terminated: Callable[[BaseException | None], None] | None = None
        self.stopping = False
        """A stop was requested; messages before it are still handled."""
        self.finishing = False
        """Stopped, and still completing pending replies."""
        self.on_unread: Callable[[list[Envelope]], bool] | None = None
        """Called with the unread envelopes; returns whether the next incarnation takes them."""
        self.on_idle: Callable[[int], None] | None = None
        """Called when the actor requests passivation, with its ``activity`` until then."""
        self.handle_inline: Callable[[Envelope], None] | None = None
        """Handles an envelope in the sender's task; set while the actor runs and does not do so already."""
        self.describe_children: Callable[[], dict[str, Any]] | None = None
        """Describes a supervisor's children as data."""
        self.halt: Callable[[], None] | None = None
        """Stops the temporary children below a supervisor, without waiting."""
