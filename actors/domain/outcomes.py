"""The outcomes of tool calls: each is a type, and becomes JSON for the model, the transcript and the row at the border.

No state is read back from that JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

FinalState = Literal["succeeded", "failed", "unknown"]
"""The states in which a call ends."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The tool has acted, or read, with this output."""

    state: ClassVar[FinalState] = "succeeded"
    is_error: ClassVar[bool] = False
    output: Mapping[str, Any]

    @property
    def error(self) -> None:
        """Nothing went wrong."""
        return

    def to_output(self) -> dict[str, Any]:
        """The output as JSON."""
        return dict(self.output)


@dataclass(frozen=True, slots=True)
class Refused:
    """The tool has not acted, for one of its declared reasons (business 10). ``verb`` tells what was not done."""

    state: ClassVar[FinalState] = "failed"
    is_error: ClassVar[bool] = False
    verb: str
    reason: str
    detail: str
    key: str = "reason"
    """Under which the output has the reason."""

    @property
    def error(self) -> str:
        """Why the call did not succeed, as stored in its row."""
        return self.reason

    def to_output(self) -> dict[str, Any]:
        """``{<verb>: false, reason, detail}``."""
        return {self.verb: False, self.key: self.reason, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Failed:
    """The call has failed or may not run; ``code`` is stable, ``text`` and ``detail`` are for readers."""

    state: ClassVar[FinalState] = "failed"
    is_error: ClassVar[bool] = True
    code: str
    text: str | None = None
    detail: str | None = None

    @property
    def error(self) -> str:
        """``"<code>: <text>"``."""
        return self.code if self.text is None else f"{self.code}: {self.text}"

    def to_output(self) -> dict[str, Any]:
        """``{error}``, with ``detail`` if there is one."""
        return {"error": self.error} if self.detail is None else {"error": self.error, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class InvalidInput:
    """The model's input is invalid. ``flaws`` names fields and reasons, never the given values."""

    state: ClassVar[FinalState] = "failed"
    is_error: ClassVar[bool] = True
    tool: str
    flaws: str

    @property
    def error(self) -> str:
        """One sentence for the model."""
        return f"Input validation failed for '{self.tool}': {self.flaws}"

    def to_output(self) -> dict[str, Any]:
        """``{error}``."""
        return {"error": self.error}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A person has rejected the approval, with a reason if one was given."""

    state: ClassVar[FinalState] = "failed"
    is_error: ClassVar[bool] = True
    tool: str
    reason: str | None

    @property
    def error(self) -> str:
        """One sentence for the model."""
        return f"Approval denied for tool '{self.tool}'."

    def to_output(self) -> dict[str, Any]:
        """``{error, reason}``."""
        return {"error": self.error, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Unknown:
    """The write may have been executed; ``text`` says what is to be done about it. It never runs again."""

    state: ClassVar[FinalState] = "unknown"
    is_error: ClassVar[bool] = True
    code: ClassVar[str] = "outcome_unknown"
    text: str

    @property
    def error(self) -> str:
        """``"outcome_unknown: <text>"``."""
        return f"{self.code}: {self.text}"

    def to_output(self) -> dict[str, Any]:
        """``{error}``."""
        return {"error": self.error}


Unsuccessful: TypeAlias = Refused | Failed | InvalidInput | Rejected | Unknown
Outcome: TypeAlias = Succeeded | Unsuccessful

NOT_PERMITTED = Failed("permission_denied", detail="The person who asked for this may not act any more.")
