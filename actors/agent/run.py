"""One pass of a turn: execute decided calls, then run the model and its tools until it is done or has to wait.

A pass that starts, one that resumes after a decision and one that resumes after a crash are the same code: all it
needs is read from storage, and all it does is a step that is stored before it is published.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

from ...storage.conversation import answers, endings, pass_context, turns
from ..domain import ids
from ..domain.audit import Author
from ..domain.events import Event
from ..domain.masking import hidden
from ..domain.outcomes import Outcome
from ..domain.turns import LoopState, ToolCall, TurnError, next_action
from ..foundation import metrics
from . import asking, finish, orchestration, proposing, tool_execution
from .asking import PassAborted
from .llm.model import Answer
from .pass_state import PassState
from .ports import Ports, Task


class Pass:
    """One pass of a turn. ``run`` returns when its ``final`` is stored."""

    def __init__(self, task: Task, ports: Ports) -> None:
        self.work = PassState(task, ports)
        self.read: frozenset[str] = frozenset()
        """Approvals whose decisions this pass has read."""

        self.ran_before = 0.0
        """Seconds that earlier passes of the turn ran."""

    def abandon(self) -> None:
        """Wait for no supplier's write any longer: its outcome is looked up when the turn is resumed."""
        self.work.abandoned = True

    def close(self) -> None:
        """Write nothing more, and release the tokens reserved for a model call under way."""
        self.work.ports.recorder.close()
        if self.work.reservation is not None:
            self.work.reservation.finish(None, "failed")

    async def run(self) -> str:
        """Run the turn to its next ``final``; returns the turn's state."""
        await self.work.ports.recorder.flush()  # the turn's start is a step, too: it is read below
        loaded = await self.work.load()
        self.ran_before = loaded.ran_ms / 1000
        self.work.loop = loaded.state
        self.work.calls = list(loaded.calls)
        asked = [call for call in self.work.calls if call.approval_id is not None]
        self.work.uses = Counter(call.tool for call in asked)
        self.read = frozenset(str(call.approval_id) for call in asked if not call.undecided)
        try:
            return await self._advance(loaded)
        except PassAborted as broken:
            return await self.stop("failed", broken.error, keep_pending_approvals=True)

    async def _advance(self, loaded: pass_context.PassContext) -> str:
        decided = [call for call in self.work.calls if not call.reported and not call.undecided]
        unchanged = not decided and loaded.follow_up is None
        for call in decided:
            await self._settle(call)
        action = next_action(
            calls=self.work.calls,
            decided=decided,
            own=loaded.own,
            loop=self.work.loop,
            follow_up=loaded.follow_up is not None,
            again=self.work.task.again,
        )
        match action:
            case "wait":
                return await self._end("waiting")
            case "complete":
                return await self._end("completed")
            case "next_desk":
                await self._next_desk()
                unchanged = False
            case "converse":
                if loaded.follow_up is not None:
                    await self._add_follow_up(loaded.follow_up)
            case _:
                assert_never(action)
        if loaded.cut and self.work.task.again:
            await self._restart_answer()
            unchanged = False
        return await self._converse(loaded if unchanged else await self.work.load())

    async def _add_follow_up(self, follow_up: endings.FollowUp) -> None:
        task = self.work.task
        message_id = ids.uuid7()
        await self.work.ports.recorder.write(
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
        task = self.work.task
        await self.work.ports.recorder.write(
            answers.RestartAnswer(tenant_id=task.tenant_id, session_id=task.session_id, turn_id=task.turn_id)
        )
        await self.work.ports.recorder.append_text("\n\n")

    async def _converse(self, loaded: pass_context.PassContext) -> str:
        rounds = self.work.task.max_rounds
        for left in reversed(range(rounds)):
            answer = await asking.ask(self.work, loaded, last=left == 0)
            if left == 0 and answer.calls:
                await self._store_answer(replace(answer, blocks=answer.words, flaws={}), (), None, ())
                break
            state = await self._take(answer)
            if state is not None:
                return state
            loaded = await self.work.load()
        raise PassAborted(TurnError("tool_rounds_exceeded", str(rounds)))

    async def _take(self, answer: Answer) -> str | None:
        """Store an answer and do what it asks for; the turn's state if the pass is over."""
        if not answer.calls and not answer.says_something:
            return await self._take_empty_answer(answer)
        self.work.reprompted = False
        if self.work.loop.desk is None:
            return await self._take_from_orchestrator(answer)
        proposals = await proposing.propose(self.work, answer)
        asks = [each.ask for each in proposals if each.ask is not None]
        waits = bool(asks) and len(asks) == len(proposals)
        ending = endings.Ending(state="waiting", ran_ms=self.work.ran_ms) if waits else None
        if not proposals and not self.work.loop.handoffs:
            # undecided still: a follow-up message came with one of several decisions
            still = any(call.undecided for call in self.work.calls)
            ending = endings.Ending(state="waiting" if still else "completed", ran_ms=self.work.ran_ms)
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
        if self.work.reprompted:
            raise PassAborted(TurnError("model_silent", "the model ended without an answer; please ask again"))
        self.work.reprompted = True
        return None

    async def _take_from_orchestrator(self, answer: Answer) -> str | None:
        asked = orchestration.read(answer)
        events = [
            self.work.event("tool_use", each.name, each.id, tool_input=hidden(each.input)) for each in asked.calls
        ]
        events += [Event(kind="text_delta", turn_id=self.work.task.turn_id, text=text) for text in asked.questions]
        own = [(ids.uuid7(), each.result()) for each in asked.calls]
        if asked.handoffs and asked.unknown_desk is None:
            first, *others = asked.handoffs
            self.work.loop = LoopState(desk=first.domain, brief=first, brief_after=-1, handoffs=tuple(others))
        over = (bool(asked.questions) or not (asked.handoffs or asked.refused)) and asked.unknown_desk is None
        ending = endings.Ending(state="completed", ran_ms=self.work.ran_ms) if over else None
        sequence = await self._store_answer(answer, events, ending, (), own)
        if asked.unknown_desk is not None:
            raise PassAborted(TurnError("desk_unknown", asked.unknown_desk))
        if self.work.loop.brief is not None:
            self.work.loop = replace(self.work.loop, brief_after=sequence)
        return None if ending is None else ending.state

    async def _store_answer(
        self,
        answer: Answer,
        events: Sequence[Event],
        ending: endings.Ending | None,
        proposals: Sequence[proposing.Proposal],
        own: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> int:
        await self.work.ports.recorder.flush()  # a cancel meanwhile still finds the text and its cost
        task, usage_of_call = self.work.task, None if self.work.reservation is None else self.work.reservation.spent()
        published = [*events, *([Event(kind="final", turn_id=task.turn_id)] if ending is not None else [])]
        message_id = ids.uuid7()
        self.work.partial, self.work.reservation = [], None
        sequence = await self.work.ports.recorder.write(
            answers.Answer(
                tenant_id=task.tenant_id,
                session_id=task.session_id,
                turn_id=task.turn_id,
                message_id=message_id,
                content=[_shown(block) for block in answer.blocks],
                events=tuple(published),
                state=self.work.loop,
                calls=tuple(each.call for each in proposals),
                asks=tuple(each.ask for each in proposals if each.ask is not None),
                own=tuple(own),
                spent=usage_of_call,
                ending=ending,
            )
        )
        self.work.calls += [each.call for each in proposals]
        metrics.APPROVALS_TOTAL.labels(outcome="requested").inc(sum(each.ask is not None for each in proposals))
        return sequence

    async def _next_desk(self) -> str | None:
        if not self.work.loop.handoffs:
            return None
        task, brief = self.work.task, self.work.loop.handoffs[0]
        messages = (await self.work.load()).messages
        self.work.loop = LoopState(
            desk=brief.domain, brief=brief, brief_after=messages[-1].sequence, handoffs=self.work.loop.handoffs[1:]
        )
        await self.work.ports.recorder.write(
            answers.NextDesk(
                tenant_id=task.tenant_id,
                session_id=task.session_id,
                turn_id=task.turn_id,
                state=self.work.loop,
            )
        )
        return None

    async def _settle(self, call: ToolCall, outcome: Outcome | None = None) -> None:
        """Execute a call, or store its known outcome, and mark it as reported."""
        came = await tool_execution.settle(self.work, call, outcome)
        ended = replace(call, reported=True, state=came.state)
        self.work.calls = [ended if each.id == call.id else each for each in self.work.calls]

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
            await self.work.ports.recorder.flush()
        return await self.work.ports.recorder.write(
            finish.ending(self.work, state, error, keep_pending_approvals=keep_pending_approvals, by=by)
        )


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
