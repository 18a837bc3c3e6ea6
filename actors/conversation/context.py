"""Services that all sessions share, and the agency's quota as a session uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..agent.ports import PassLog, Ports, Task
from ..agent.tools.tool import ToolContext
from ..domain.settings import TenantSettings
from ..domain.turns import TurnError
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Recipient


class AgencyQuota(Protocol):
    """The agency's quota as a session uses it: current settings, turn limits and token budget."""

    settings: TenantSettings

    def admit(self) -> TurnError | None:
        """None, or ``rate_limited`` or ``daily_budget_exceeded``; a turn that may start is counted."""

    def give_back(self) -> None:
        """Uncount an admitted turn that was not started."""

    def reserve(self, tokens: int) -> TurnError | None: ...
    def settle(self, reserved: int, used: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionServices:
    """Services that every session of the process uses."""

    store: Recipient
    clock: Clock
    settings: Settings
    ports: Callable[[PassLog, AgencyQuota], Ports]
    tools: Callable[[Task], ToolContext]
    """Makes the context of tools that run outside of a pass."""
    stopping: Callable[[], bool]
    is_leader: Callable[[], bool]
    on_storage_lost: Callable[[], None] = lambda: None
    """Called when unavailable storage ended a session: its work is due once storage is available again."""
