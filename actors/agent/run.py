"""One pass of a turn: execute decided calls, then run the model and its tools until it is done or has to wait.

A pass that starts, one that resumes after a decision and one that resumes after a crash are the same code: all it
needs is read from storage, and all it does is a step that is stored before it is published.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from ...storage.conversation import answers, endings, pass_context, turns
from ...storage.conversation.steps import Step
from ..domain import ids
from ..domain.audit import Author
from ..domain.events import Event
from ..domain.masking import hidden
from ..domain.outcomes import Outcome
from ..domain.settings import TenantSettings
from ..domain.turns import MAX_ROUNDS, LoopState, ToolCall, TurnError
from ..foundation import log, metrics
from ..foundation.clock import Clock
from ..runtime.actor import Recipient
from . import asking, finish, orchestration, proposing, tool_execution, usage
from .asking import PassAborted
from .llm.model import Answer, Model
from .tools.tool import ToolContext

R = TypeVar("R")
_log = log.get(__name__)


class PassLog(Protocol):
    """The pass's port to its session: publishes text and stores steps."""

    async def say(self, text: str) -> None:
        """Publish text of the model. Waits only while the log is far behind."""

    async def write(self, step: Step[R]) -> R:
        """Store a step and publish its events."""

    async def landed(self) -> None:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of a pass: model, log, storage, budget, clock, tools."""

    model: Model
    recorder: PassLog
    store: Recipient
    budget: TokenBudget
    clock: Clock
    prices: usage.Prices
    context: Callable[[Task], ToolContext]


class Pass:
    """One pass of a turn. ``run`` returns when its ``final`` is stored."""

    def __init__(self, task: Task, ports: Ports) -> None:
        self.task = task
        self.ports = ports
        self.began = ports.clock.monotonic()
        self.partial: list[str] = []
        self.spoken = False
        self.abandoned = False
        self.read: frozenset[str] = frozenset()
        self.ran_before = 0.0
        self.reservation: usage.UsageReservation | None = None
        self.user_active = True
        self.room: int | None = None
        self.plain = False
        self.nudged = False
        self.state = LoopState()
        self.calls: list[ToolCall] = []
        self.tools = ports.context(task)
        self.uses: Counter[str] = Counter()

    @property
    def ran_ms(self) -> int:
        return int((self.ports.clock.monotonic() - self.began) * 1000)

    async def run(self) -> str:
        """Run the turn to its next ``final``; returns the turn's state."""
        await self.ports.recorder.landed()  # the turn's start is a step, too: it is read below
        loaded = await self.load()
        self.ran_before = loaded.ran_ms / 1000
        self.state = loaded.state
        self.calls = list(loaded.calls)
        asked = [call for call in self.calls if call.approval_id is not None]
        self.uses = Counter(call.tool for call in asked)
        self.read = frozenset(str(call.approval_id) for call in asked if not call.undecided)
        try:
            return await self._advance(loaded)
        except PassAborted as broken:
            return await self.stop("failed", broken.error, keep_pending_approvals=True)

    async def load(self) -> pass_context.PassContext:
        """Load the stored conversation, as much of it as a model is sent."""
        load = pass_context.LoadPass(
            tenant_id=self.task.tenant_id,
            session_id=self.task.session_id,
            turn_id=self.task.turn_id,
            room=asking.room_of(self.task),
        )
        loaded = await self.ports.store.ask(load)
        self.user_active = loaded.user_active
        return loaded

    async def _advance(self, loaded: pass_context.PassContext) -> str:
        decided = [call for call in self.calls if not call.reported and not call.undecided]
        unchanged = not decided and loaded.follow_up is None
        for call in decided:
            await self._settle(call)
        undecided = any(call.undecided for call in self.calls)
        if loaded.follow_up is not None:
            await self._add_follow_up(loaded.follow_up)
        elif _unanswered(loaded.own) and (self.task.again or any(call.error != "expired" for call in decided)):
            pass
        elif undecided:
            return await self._end("waiting")
        elif self._expired():
            return await self._end("completed")
        elif not decided and self._finished(loaded.own):
            if not self.state.handoffs:
                return await self._end("completed")
            await self._next_desk()
            unchanged = False
        if loaded.cut and self.task.again:
            await self._restart_answer()
            unchanged = False
        return await self._converse(loaded if unchanged else await self.load())

    def _expired(self) -> bool:
        """The latest decision is an expiry and no approved call was executed: the model learns of it next turn."""
        gated = [call for call in self.calls if call.approval_id is not None and call.decided_at is not None]
        if not gated or any(call.state in ("succeeded", "unknown") for call in gated):
            return False
        newest = max(call.decided_at for call in gated if call.decided_at is not None)
        return any(call.error == "expired" for call in gated if call.decided_at == newest)

    def _finished(self, own: Sequence[pass_context.Spoken]) -> bool:
        """The current desk has answered without a tool call: only another desk can be left to run."""
        answered = bool(own) and own[-1].role == "assistant" and own[-1].sequence > self.state.brief_after
        return answered and self.task.again

    async def _add_follow_up(self, follow_up: endings.FollowUp) -> None:
        task = self.task
        message_id = ids.uuid7()
        await self.ports.recorder.write(
            turns.AddFollowUp(
                tenant_id=task.tenant_id,
                session_id=task.session_id,
                turn_id=task.turn_id,
                user_id=follow_up.user_id,
                text=follow_up.text,
                message_id=message_id,
            )
        )

    async def _restart_answer(self) -> None:
        """Report that the published text of an interrupted answer is void."""
        task = self.task
        await self.ports.recorder.write(
            answers.RestartAnswer(tenant_id=task.tenant_id, session_id=task.session_id, turn_id=task.turn_id)
        )
        await self.ports.recorder.say("\n\n")

    async def _converse(self, loaded: pass_context.PassContext) -> str:
        rounds = self.task.max_rounds
        for left in reversed(range(rounds)):
            answer = await asking.ask(self, loaded, last=left == 0)
            if left == 0 and answer.calls:
                await self._store_answer(replace(answer, blocks=answer.words, flaws={}), (), None, ())
                break
            state = await self._take(answer)
            if state is not None:
                return state
            loaded = await self.load()
        raise PassAborted(TurnError("tool_rounds_exceeded", str(rounds)))

    async def _take(self, answer: Answer) -> str | None:
        """Store an answer and do what it asks for; the turn's state if the pass is over."""
        if not answer.calls and not answer.says_something:
            return await self._take_empty_answer(answer)
        self.nudged = False
        if self.state.desk is None:
            return await self._take_from_orchestrator(answer)
        proposals = await proposing.propose(self, answer)
        asks = [each.ask for each in proposals if each.ask is not None]
        waits = bool(asks) and len(asks) == len(proposals)
        ending = endings.Ending(state="waiting", ran_ms=self.ran_ms) if waits else None
        if not proposals and not self.state.handoffs:
            still = any(call.undecided for call in self.calls)  # a follow-up message came with one of several decisions
            ending = endings.Ending(state="waiting" if still else "completed", ran_ms=self.ran_ms)
        await self._store_answer(answer, [event for each in proposals for event in each.events], ending, proposals)
        if ending is not None:
            return ending.state
        if not proposals:
            return await self._next_desk()
        for each in proposals:
            if each.ask is None:
                await self._settle(each.call, each.outcome)
        return await self._end("waiting") if asks else None

    async def _take_empty_answer(self, answer: Answer) -> str | None:
        """Handle an answer without text: the model is asked once more, then the pass fails."""
        await self._store_answer(answer, (), None, ())
        if self.nudged:
            raise PassAborted(TurnError("model_silent", "the model ended without an answer; please ask again"))
        self.nudged = True
        return None

    async def _take_from_orchestrator(self, answer: Answer) -> str | None:
        asked = orchestration.read(answer)
        events = [self.event("tool_use", each.name, each.id, tool_input=hidden(each.input)) for each in asked.calls]
        events += [Event(kind="text_delta", turn_id=self.task.turn_id, text=text) for text in asked.questions]
        own = [(ids.uuid7(), each.result()) for each in asked.calls]
        if asked.handoffs and asked.unknown_desk is None:
            first, *others = asked.handoffs
            self.state = LoopState(desk=first.domain, brief=first, brief_after=-1, handoffs=tuple(others))
        over = not asked.refused and (not asked.handoffs or bool(asked.questions)) and asked.unknown_desk is None
        ending = endings.Ending(state="completed", ran_ms=self.ran_ms) if over else None
        sequence = await self._store_answer(answer, events, ending, (), own)
        if asked.unknown_desk is not None:
            raise PassAborted(TurnError("desk_unknown", asked.unknown_desk))
        if self.state.brief is not None:
            self.state = replace(self.state, brief_after=sequence)
        return None if ending is None else ending.state

    async def _store_answer(
        self,
        answer: Answer,
        events: Sequence[Event],
        ending: endings.Ending | None,
        proposals: Sequence[proposing.Proposal],
        own: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> int:
        await self.ports.recorder.landed()  # a cancel meanwhile still finds the text and its cost
        task, usage_of_call = self.task, None if self.reservation is None else self.reservation.spent()
        published = [*events, *([Event(kind="final", turn_id=task.turn_id)] if ending is not None else [])]
        message_id = ids.uuid7()
        self.partial, self.reservation = [], None
        sequence = await self.ports.recorder.write(
            answers.Answer(
                tenant_id=task.tenant_id,
                session_id=task.session_id,
                turn_id=task.turn_id,
                message_id=message_id,
                content=[_shown(block) for block in answer.blocks],
                events=tuple(published),
                state=self.state,
                calls=tuple(each.call for each in proposals),
                asks=tuple(each.ask for each in proposals if each.ask is not None),
                own=tuple(own),
                spent=usage_of_call,
                ending=ending,
            )
        )
        self.calls += [each.call for each in proposals]
        metrics.APPROVALS_TOTAL.labels(outcome="requested").inc(sum(each.ask is not None for each in proposals))
        return sequence

    async def _next_desk(self) -> str | None:
        if not self.state.handoffs:
            return None
        task, brief = self.task, self.state.handoffs[0]
        messages = (await self.load()).messages
        self.state = LoopState(
            desk=brief.domain, brief=brief, brief_after=messages[-1].sequence, handoffs=self.state.handoffs[1:]
        )
        await self.ports.recorder.write(
            answers.NextDesk(
                tenant_id=task.tenant_id,
                session_id=task.session_id,
                turn_id=task.turn_id,
                state=self.state,
            )
        )
        return None

    async def _settle(self, call: ToolCall, outcome: Outcome | None = None) -> None:
        """Execute a call, or store its known outcome, and mark it as reported."""
        came = await tool_execution.settle(self, call, outcome)
        ended = replace(call, reported=True, state=came.state)
        self.calls = [ended if each.id == call.id else each for each in self.calls]

    async def _end(self, state: Any) -> str:
        return await self.stop(state, None)

    async def stop(
        self, state: Any, error: TurnError | None, *, keep_pending_approvals: bool = False, by: Author | None = None
    ) -> str:
        """End the pass: the error if there is one, and ``final``. Failing or cancelling leaves no call open.

        With ``keep_pending_approvals`` a turn with undecided approvals waits for them too. ``by`` is who cancelled.
        Returns the turn's state, which differs from ``state`` if the pass had its ``final`` already.
        """
        if state in ("failed", "cancelled"):
            await self.ports.recorder.landed()
        return await self.ports.recorder.write(
            finish.ending(self, state, error, keep_pending_approvals=keep_pending_approvals, by=by)
        )

    def event(self, kind: Any, tool: str, call_id: str, **more: Any) -> Event:
        """An event about one call of this turn."""
        return Event(kind=kind, turn_id=self.task.turn_id, tool_name=tool, tool_call_id=call_id, **more)


def _unanswered(own: Sequence[pass_context.Spoken]) -> bool:
    """Whether a user's message follows the model's last one."""
    spoken = [message.role for message in own if message.role != "tool"]
    return bool(spoken) and spoken[-1] == "user"


def _shown(block: Mapping[str, Any]) -> dict[str, Any]:
    """An answer's block for the transcript, with secret input masked."""
    return {**block, "input": hidden(block["input"])} if block["type"] == "tool_use" else dict(block)


async def run_within(work: Pass, seconds: float) -> str:
    """Run a pass within the turn's remaining time; past it the turn ends with ``turn_timeout``."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            return await work.run()
    except TimeoutError:
        return await work.stop("failed", TurnError("turn_timeout", f"{round(seconds + work.ran_before)}s"))
