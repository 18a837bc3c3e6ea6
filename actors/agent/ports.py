"""What a pass is given: its turn with the user and the limits, and its ports to everything outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from ...storage.conversation.steps import Step
from ..domain.settings import TenantSettings
from ..domain.turns import MAX_ROUNDS, TurnError
from ..foundation.clock import Clock
from ..foundation.config_values import ModelPrice
from ..runtime.actor import Recipient
from .llm.model import Model
from .tools.tool import ToolContext

R = TypeVar("R")

Prices = Mapping[str, ModelPrice]


class PassLog(Protocol):
    """The pass's port to its session: publishes text and stores steps."""

    async def append_text(self, text: str) -> None:
        """Publish text of the model. Waits only while the log is far behind."""

    async def write(self, step: Step[R]) -> R:
        """Store a step and publish its events."""

    async def flush(self) -> None:
        """Return when all text and steps before this call are stored."""

    def close(self) -> None:
        """Accept nothing more; calls still waiting are refused."""


class TokenBudget(Protocol):
    """The agency's token budget: reserved before a model call, settled after it."""

    def reserve(self, tokens: int) -> TurnError | None:
        """None, or the refusal."""

    def settle(self, reserved: int, used: int) -> None:
        """Release the reservation and count what was used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The turn of a pass, its user, and its limits."""

    tenant_id: str
    session_id: str
    turn_id: str
    user_id: str
    settings: TenantSettings
    model_name: str
    max_tokens: int
    approval_ttl: timedelta
    max_rounds: int = MAX_ROUNDS
    again: bool = False
    request_id: str | None = None
    """The request whose message began the turn, for the log; unknown after a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of a pass: model, log, storage, budget, clock, tools."""

    model: Model
    recorder: PassLog
    store: Recipient
    budget: TokenBudget
    clock: Clock
    prices: Prices
    context: Callable[[Task], ToolContext]
