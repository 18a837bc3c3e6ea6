"""update_visa_file: move a visa file forward, and note documents, application and outcome."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from ....storage.engine.operations import Operation
from ....storage.travel import visa_files
from ...domain import ids
from ...domain.outcomes import Outcome
from ...domain.travel import to_utc
from ...domain.visas import VisaStatus, missing
from .schema import Day, Id, Reference, Said
from .tool import DatabaseTool, Objection, Planned, Then, ToolContext, ToolInput, ToolOutput


def _read_moment(value: Any) -> datetime:
    """A moment with its offset, in UTC; ValueError says what is wrong, without the value."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("must be a date and time with its UTC offset, such as 2026-12-05T09:30:00+05:30")
    return to_utc(moment)


Appointment = Annotated[
    datetime, BeforeValidator(_read_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]


class UpdateInput(ToolInput):
    """Input of the tool."""

    visa_file_id: Id
    status: Annotated[VisaStatus | None, Field(description="Only forward; statuses may be skipped")] = None
    collected: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        Field(default_factory=list, max_length=100, description="Items of the checklist that have been collected"),
    ]
    application_ref: Reference | None = None
    appointment_at: Appointment | None = None
    outcome_date: Day | None = None
    notes: Annotated[Said | None, Field(max_length=2000)] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.collected and all(value is None for value in (self.status, *self.others.values())):
            raise ValueError("nothing is to be changed")
        return self

    @property
    def others(self) -> dict[str, Any]:
        """The fields that are set as they are given."""
        return {name: getattr(self, name) for name in ("application_ref", "appointment_at", "outcome_date", "notes")}


class Updated(ToolOutput):
    """The file after the change; ``missing`` are required documents that have not been collected."""

    updated: Literal[True] = True
    visa_file_id: str
    status: VisaStatus
    missing: list[str]


class UpdateVisaFile(DatabaseTool[UpdateInput]):
    """Changes a file; its status only goes forward."""

    name = "update_visa_file"
    description = (
        "Change a visa file by its visa_file_id: its status (forward only; approved, rejected and withdrawn end it), "
        "the collected items of its checklist, application_ref, appointment_at, outcome_date, notes."
    )
    Input = UpdateInput
    Output = Updated
    desks = frozenset({"ticketing_visa"})
    verb = "updated"
    reasons = frozenset({"not_found", "invalid_status_transition", "item_unknown"})
    effect = "reversible"

    def plan(self, given: UpdateInput, context: ToolContext, key: str) -> Operation[Outcome]:
        del key  # repeated, it changes nothing more
        known = ids.parse_uuid(given.visa_file_id)
        if known is None:
            return Planned(tenant_id=context.tenant_id, outcome=self._outcome(visa_files.Refused("not_found")))
        change = visa_files.Change(
            tenant_id=context.tenant_id,
            id=known,
            status=given.status,
            collected=tuple(given.collected),
            given={name: value for name, value in given.others.items() if value is not None},
        )
        return Then(tenant_id=context.tenant_id, first=change, then=self._outcome)

    def _outcome(self, done: visa_files.VisaFile | visa_files.Refused) -> Outcome:
        match done:
            case visa_files.Refused(reason="invalid_status_transition", detail=before):
                return self.refuse(
                    Objection("invalid_status_transition", f"The file is {before}; it only goes forward.")
                )
            case visa_files.Refused(reason="item_unknown"):
                return self.refuse(Objection("item_unknown", "An item of collected is not in the file's checklist."))
            case visa_files.Refused(reason=reason):
                return self.refuse(Objection(reason, "No visa file of this agency has this visa_file_id."))
            case visa_files.VisaFile():
                return self.succeed(visa_file_id=done.id, status=done.status, missing=missing(done.checklist))
