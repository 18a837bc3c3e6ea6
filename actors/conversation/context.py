"""Services that all sessions share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...storage.engine.ownership import Ownership
from ..agent.ports import PassLog, Ports, Task
from ..agent.tools.tool import ToolContext
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..quota import Quota
from ..runtime.actor import Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionServices:
    """Services that every session of the process uses. ``store`` is the agency's, under its lease."""

    store: Recipient
    clock: Clock
    settings: Settings
    ports: Callable[[PassLog, Quota, Recipient], Ports]
    """Makes the ports of a pass, which writes to the store it is given."""
    tools: Callable[[Task, Recipient], ToolContext]
    """Makes the context of tools that run outside of a pass."""
    stopping: Callable[[], bool]
    ownership: Ownership
    on_storage_lost: Callable[[], None] = lambda: None
    """Called when unavailable storage ended a session: its work is due once storage is available again."""
