"""open_visa_file: begin a visa file of a passenger, with its checklist."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ....storage.engine.operations import Operation
from ....storage.travel import visa_files
from ...domain import ids
from ...domain.outcomes import Outcome
from .schema import CountryCode, Day, Id, Said
from .tool import DatabaseTool, Objection, Planned, Then, ToolContext, ToolInput, ToolOutput


class OpenInput(ToolInput):
    """Input of the tool."""

    passenger_id: Id
    destination_country: CountryCode
    visa_category: Annotated[Said, Field(max_length=64, description="Such as tourist or business")]
    travel_date: Day | None = None


class ChecklistItem(ToolOutput):
    """A document that is asked for."""

    item: str
    required: bool
    collected: bool


class Opened(ToolOutput):
    """A new file."""

    opened: Literal[True] = True
    visa_file_id: str
    status: Literal["draft"]
    checklist: list[ChecklistItem]


class OpenVisaFile(DatabaseTool[OpenInput]):
    """Opens a file; one open file per passenger, country and category."""

    name = "open_visa_file"
    description = (
        "Open a visa file of a passenger on file. Answers the usual checklist of documents; what the consulate asks "
        "beyond it is for the agency to know."
    )
    Input = OpenInput
    Output = Opened
    desks = frozenset({"ticketing_visa"})
    verb = "opened"
    reasons = frozenset({"passenger_not_found", "already_open"})
    effect = "reversible"

    def plan(self, given: OpenInput, context: ToolContext, key: str) -> Operation[Outcome]:
        passenger_id = ids.parse_uuid(given.passenger_id)
        if passenger_id is None:
            return Planned(tenant_id=context.tenant_id, outcome=self._outcome(_NOBODY))
        opened = visa_files.Open(
            tenant_id=context.tenant_id,
            id=key,
            session_id=context.session_id,
            passenger_id=passenger_id,
            destination_country=given.destination_country,
            visa_category=given.visa_category.casefold(),
            travel_date=given.travel_date,
            now=context.now,
        )
        return Then(tenant_id=context.tenant_id, first=opened, then=self._outcome)

    def _outcome(self, done: visa_files.VisaFile | visa_files.Refused) -> Outcome:
        match done:
            case visa_files.Refused(reason="already_open"):
                detail = "This passenger has an open file for that country and category."
                return self.refuse(Objection("already_open", detail))
            case visa_files.Refused(reason=reason):
                return self.refuse(Objection(reason, "Nobody on file has this passenger_id."))
            case visa_files.VisaFile():
                return self.succeed(
                    visa_file_id=done.id, status=done.status, checklist=[each.model_dump() for each in done.checklist]
                )


_NOBODY = visa_files.Refused("passenger_not_found")
