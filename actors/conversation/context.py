"""What the sessions of the process share, and what each is lent by its agency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..agent.run import PassLog, Ports, Task
from ..agent.tools.tool import ToolContext
from ..domain.settings import TenantSettings
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Recipient


class AgencyQuota(Protocol):
    """What a session needs from its agency: settings in force, and the turn limits and token budget."""

    settings: TenantSettings

    def admit(self) -> str | None:
        """None, or ``rate_limited: …`` or ``daily_budget_exceeded: …``; a turn that may start is counted."""

    def give_back(self) -> None:
        """A turn that was counted did not come to be."""

    def reserve(self, tokens: int) -> str | None: ...
    def settle(self, reserved: int, used: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionServices:
    """What every session of the process shares."""

    store: Recipient
    clock: Clock
    settings: Settings
    ports: Callable[[PassLog, AgencyQuota], Ports]
    tools: Callable[[Task], ToolContext]
    """What tools reach the world by, outside of any pass."""
    stopping: Callable[[], bool]
    is_leader: Callable[[], bool]
    on_storage_lost: Callable[[], None] = lambda: None
    """Called when storage's absence has ended a session: its work is due as soon as storage is back."""
