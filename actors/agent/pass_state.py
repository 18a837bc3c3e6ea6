"""What a pass knows while it runs: the turn's calls, where its loop stands, and the model call under way."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...storage.conversation.pass_context import LoadPass, PassContext
from ..domain.events import Event
from ..domain.turns import LoopState, ToolCall
from .ports import Ports, Task
from .usage import UsageReservation

WINDOW = 200_000
"""The context window in tokens; all models on offer have at least this one."""


def token_limit_of(task: Task) -> int:
    """Tokens of a conversation to send, by our estimate: a third is left for what the estimate misses."""
    return max(WINDOW - task.max_tokens, WINDOW // 10) * 2 // 3


class PassState:
    """The state of one pass, shared by the parts that run it; nothing outside the pass holds it."""

    def __init__(self, task: Task, ports: Ports) -> None:
        self.task = task
        self.ports = ports
        self.tools = ports.context(task)
        self.began = ports.clock.monotonic()
        self.loop = LoopState()
        self.calls: list[ToolCall] = []
        self.uses: Counter[str] = Counter()
        """How often each tool's approval was asked for in this turn."""

        self.partial: list[str] = []
        """Text of the answer under way."""

        self.reservation: UsageReservation | None = None
        """The model call whose usage is not stored yet."""

        self.token_limit: int | None = None
        """Tokens of a conversation the model accepts, once it has refused more."""

        self.plain = False
        self.reprompted = False
        self.spoken = False
        self.user_active = True
        self.abandoned = False
        """Whether the actor of the pass is stopped: a supplier's write is then looked up later."""

    @property
    def ran_ms(self) -> int:
        """How long this pass has run."""
        return int((self.ports.clock.monotonic() - self.began) * 1000)

    async def load(self) -> PassContext:
        """Load the stored conversation, as much of it as a model is sent."""
        load = LoadPass(
            tenant_id=self.task.tenant_id,
            session_id=self.task.session_id,
            turn_id=self.task.turn_id,
            token_limit=token_limit_of(self.task),
        )
        loaded = await self.ports.store.ask(load)
        self.user_active = loaded.user_active
        return loaded

    def event(self, kind: Any, tool: str, call_id: str, **more: Any) -> Event:
        """An event about one call of this turn."""
        return Event(kind=kind, turn_id=self.task.turn_id, tool_name=tool, tool_call_id=call_id, **more)
