"""The orchestrator's calls: handoffs to desks, questions to the user, and invalid calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ..domain import transcript
from ..domain.masking import without_passports
from ..domain.outcomes import Failed, InvalidInput, Succeeded
from ..domain.turns import MESSAGE_LIMIT, Brief
from .desks import SPECIALISTS
from .llm.model import Answer
from .tools.schema import explained
from .tools.tool import ToolInput

DESK_NAMES = frozenset(desk.name for desk in SPECIALISTS)

Words = Annotated[str, Field(min_length=1, max_length=MESSAGE_LIMIT, pattern=r"\S")]


class Handoff(ToolInput):
    """The desk to hand over to, and its goal."""

    domain: Annotated[str, Field(min_length=1, max_length=64)]
    goal: Words


class Clarify(ToolInput):
    """One question to the user."""

    question: Words


FORMS: Mapping[str, type[Handoff | Clarify]] = {"handoff": Handoff, "clarify": Clarify}


@dataclass(frozen=True, slots=True)
class OrchestratorCall:
    """A call of the orchestrator, which needs no tool to run, or ``flaw``: why it is not made."""

    id: str
    name: str
    input: dict[str, Any]
    parsed: Handoff | Clarify | None = None
    flaw: Failed | InvalidInput | None = None

    def result(self) -> Mapping[str, Any]:
        """The result block for the transcript."""
        return transcript.tool_result(self.id, self.name, self.flaw or Succeeded({"accepted": True}))


@dataclass(frozen=True, slots=True)
class OrchestratorCalls:
    """All calls of one answer."""

    calls: tuple[OrchestratorCall, ...]

    @property
    def handoffs(self) -> list[Brief]:
        """What desks are told to do. Passport numbers are in the user's own words, which they read as well."""
        made = (each.parsed for each in self.calls)
        return [Brief(each.domain, without_passports(each.goal)) for each in made if isinstance(each, Handoff)]

    @property
    def questions(self) -> list[str]:
        return [each.parsed.question for each in self.calls if isinstance(each.parsed, Clarify)]

    @property
    def unknown_desk(self) -> str | None:
        return next((brief.domain for brief in self.handoffs if brief.domain not in DESK_NAMES), None)

    @property
    def refused(self) -> bool:
        """Whether the model has to be sent the error of an invalid call."""
        return any(each.flaw is not None for each in self.calls)


def read(answer: Answer) -> OrchestratorCalls:
    """The calls of an answer, each validated. A repeated call is made once."""
    calls: list[OrchestratorCall] = []
    for at in answer.calls:
        call = _read(answer.blocks[at], answer.flaws.get(at))
        twice = call.parsed is not None and any(each.parsed == call.parsed for each in calls)
        again = Failed("duplicate_call", "this answer asks for the same already; it is done once")
        calls.append(OrchestratorCall(call.id, call.name, call.input, flaw=again) if twice else call)
    return OrchestratorCalls(tuple(calls))


def _read(block: Mapping[str, Any], flaw: str | None) -> OrchestratorCall:
    call_id, name, given = block["id"], block["name"], block["input"]
    form = FORMS.get(name)
    if form is None:
        return OrchestratorCall(call_id, name, given, flaw=Failed("unknown_tool", name))
    if flaw is None:
        try:
            return OrchestratorCall(call_id, name, given, form.model_validate(given))
        except ValidationError as invalid:
            flaw = explained(invalid, frozenset(form.model_fields))
    return OrchestratorCall(call_id, name, given, flaw=InvalidInput(name, flaw))
