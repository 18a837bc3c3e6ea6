"""A pass over fakes: no database, no model, no supplier."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tests.fakes.pass_ports import FakeBudget, FakeModel, FakePassLog
from tests.fakes.services import FakeServices
from tests.fakes.store import FakeStore
from tests.manual_clock import ManualClock
from voyagent.actors.agent.llm.accumulator import Usage
from voyagent.actors.agent.llm.model import Answer, ModelFailed
from voyagent.actors.agent.ports import Ports, Task
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.domain.turns import Brief, LoopState, Message, Spoken, ToolCall
from voyagent.storage.conversation import model_calls, pass_context
from voyagent.storage.conversation.endings import FollowUp
from voyagent.storage.conversation.pass_context import PassContext

MODEL = "claude-sonnet-5-5"
NOON = ManualClock().now()
FLIGHTS = LoopState(desk="ticketing_visa", brief=Brief("ticketing_visa", "Fly to Goa"), brief_after=1)


def text(*said: str) -> Answer:
    """An answer of text."""
    return Answer([{"type": "text", "text": each} for each in said], "end_turn", Usage(10, 5))


def calls(*made: tuple[str, dict[str, Any]], flaws: dict[int, str] | None = None) -> Answer:
    """An answer of tool calls."""
    blocks = [
        {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": given} for at, (name, given) in enumerate(made)
    ]
    return Answer(blocks, "tool_use", Usage(10, 5), flaws or {})


def user(said: str, sequence: int = 1) -> Message:
    content = [{"type": "text", "text": said}]
    return Message(f"m-{sequence}", sequence, "t-1", "user", content, "asha", NOON)


def context(
    *,
    state: LoopState | None = None,
    calls: Sequence[ToolCall] = (),
    follow_up: FollowUp | None = None,
    own: Sequence[Spoken] = (Spoken("user", 1),),
    cut: bool = False,
) -> PassContext:
    """What a pass starts from; unless said otherwise a user's first message."""
    return PassContext(
        messages=(user("Hello"),),
        own=tuple(own),
        calls=tuple(calls),
        pending={},
        state=state or LoopState(),
        follow_up=follow_up,
        pass_no=1,
        ran_ms=0,
        cut=cut,
        user_active=True,
    )


class Stand:
    """The ports of one pass, and its task."""

    def __init__(self, *answers: Answer | ModelFailed, loaded: PassContext | None = None, rounds: int = 4) -> None:
        self.clock = ManualClock()
        self.model = FakeModel(*answers)
        self.log = FakePassLog()
        self.budget = FakeBudget()
        self.store = FakeStore()
        self.loaded = loaded or context()
        self.store.on(pass_context.LoadPass, lambda _: self.loaded)
        self.store.on(pass_context.MayAct, lambda _: True)
        self.store.on(model_calls.Begin, lambda _: None)
        self.task = Task(
            tenant_id="a-1",
            session_id="s-1",
            turn_id="t-1",
            user_id="asha",
            settings=TenantSettings(tenant_id="a-1"),
            model_name=MODEL,
            max_tokens=1024,
            approval_ttl=timedelta(minutes=15),
            max_rounds=rounds,
        )
        self.ports = Ports(
            model=self.model,
            recorder=self.log,
            store=self.store,
            budget=self.budget,
            clock=self.clock,
            prices={},
            context=lambda task: FakeServices(self.store, self.clock).tools(task, self.store),
        )
