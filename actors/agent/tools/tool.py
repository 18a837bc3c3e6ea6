"""The kinds of tools: a tool has a name, an input, an output, its approvers, and a way to execute.

A ``ReadTool`` only reads. A ``DatabaseTool`` writes our own tables: it returns a storage command that runs in one
transaction with the update of the tool call's row. A ``SupplierTool`` (``supplier_tool``) writes at a supplier, between
two transactions.
No tool has access to a connection.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from ....storage.engine.operations import Command, Operation
from ....storage.engine.sealing import Sealing
from ...domain.audit import canonical
from ...domain.business_date import business_date
from ...domain.hotels import HotelOffer
from ...domain.identity import Role
from ...domain.outcomes import Failed, InvalidInput, Outcome, Refused, Succeeded
from ...domain.settings import TenantSettings
from ...domain.travel import FlightOffer
from ...domain.turns import Effect
from ...foundation import log
from ...foundation.clock import Clock
from ...runtime.actor import Recipient
from ...suppliers.protocols import SupplierError, Suppliers
from .schema import explained, plain_schema
from .summary import code

if TYPE_CHECKING:
    from ....storage.engine.connection import Connection

I = TypeVar("I", bound="ToolInput")  # noqa: E741  # as in input
R = TypeVar("R")
S = TypeVar("S")
_log = log.get(__name__)

INVALID_OUTPUT = "tool_output_invalid"
"""Code of a read whose output does not fit its schema."""

ALL_ACCOUNTING = frozenset({Role.AGENCY_ADMIN, Role.ACCOUNTING_LEAD})
"""Roles that approve postings to the books (business 5.6)."""

ALL_TRAVEL = frozenset({Role.AGENCY_ADMIN, Role.TICKETING_LEAD})
"""Roles that approve bookings (business 5.6)."""


class Offers(Protocol):
    """Cache of search results, for as long as they can be booked."""

    async def keep(self, tenant_id: str, offers: Sequence[FlightOffer | HotelOffer]) -> None:
        """Cache the offers."""

    async def find(self, tenant_id: str, offer_id: str) -> FlightOffer | None:
        """The agency's fare if it is cached; it may have expired."""

    async def find_rate(self, tenant_id: str, rate_key: str) -> HotelOffer | None:
        """The agency's hotel rate if it is cached; it may have expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """The agency, user and session of a call, and the ports a tool may use."""

    tenant_id: str
    session_id: str
    turn_id: str
    user_id: str
    settings: TenantSettings
    clock: Clock
    store: Recipient
    offers: Offers
    suppliers: Suppliers
    sealing: Sealing
    """Seals and opens what a tool alone may read."""
    allowed_differences: Mapping[str, int] = field(default_factory=dict)
    """By currency, in minor units: how far a statement may differ from our own and still match. 0 for any other."""

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def today(self) -> date:
        """The agency's business date."""
        return business_date(self.settings, self.now)


@dataclass(frozen=True, slots=True)
class ApprovalProposal:
    """An approval request for a call that could succeed now.

    ``bound`` is all that the summary shows, as JSON; it is computed again before the call runs. The approval expires at
    ``expires_at`` at the latest.
    """

    summary: str
    bound: dict[str, Any]
    expires_at: datetime | None


class InputInvalid(Exception):
    """The model's input is invalid; ``outcome`` says why."""

    def __init__(self, tool: str, flaws: str) -> None:
        self.outcome = InvalidInput(tool, flaws)
        super().__init__(self.outcome.error)


class Objection(Exception):
    """A tool's refusal; becomes its `Refused`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class ToolInput(BaseModel):
    """Input of a tool: exactly the declared fields, of exactly their types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ToolOutput(BaseModel):
    """Output of a tool that has succeeded."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tool(Generic[I]):
    """Base of all tools. ``verb`` is the output key that states whether a tool with refusals acted."""

    name: ClassVar[str]
    description: ClassVar[str]
    Input: ClassVar[type[ToolInput]]
    Output: ClassVar[type[ToolOutput]]
    desks: ClassVar[frozenset[str]]
    verb: ClassVar[str] = ""
    reason_key: ClassVar[str] = "reason"
    reasons: ClassVar[frozenset[str]] = frozenset()
    effect: ClassVar[Effect] = "read"
    approvers: ClassVar[frozenset[Role]] = frozenset()
    sensitive: ClassVar[frozenset[str]] = frozenset()
    """Fields of the input that nobody but the tool reads: masked in events, transcript and audit, sealed in the row."""

    def schema(self) -> dict[str, Any]:
        """The tool's definition for the Messages API."""
        return {"name": self.name, "description": self.description, "input_schema": plain_schema(self.Input)}

    def parse(self, given: Mapping[str, Any]) -> I:
        """The input parsed; raises ``InputInvalid``."""
        try:
            return self.Input.model_validate(dict(given))  # type: ignore[return-value]  # Input is this tool's own I
        except ValidationError as invalid:
            raise InputInvalid(self.name, explained(invalid, frozenset(self.Input.model_fields))) from None

    def likeness(self, given: I) -> bytes:
        """Key of equal calls in one answer: ids in any letter case, persons in any order, amounts by their value.

        The buyer's reference is not part of it.
        """
        parts = given.model_dump()
        parts.pop("buyer_reference", None)
        return canonical({"input": _alike(parts)})

    def repeats(
        self,
        given: I,
        bound: Mapping[str, Any],
        find_previous: Mapping[str, Any],
        earlier_bound: Mapping[str, Any] | None,
    ) -> bool:
        """Whether this call would repeat the effect of the earlier call."""
        del bound, earlier_bound
        try:
            return self.likeness(given) == self.likeness(self.parse(find_previous))
        except InputInvalid:  # the earlier input was of another version of the tool
            return False

    def done_already(self, output: Mapping[str, Any] | None) -> str:
        """The start of the summary of a repeated call; without ``output`` the earlier outcome is unknown."""
        done = self.verb or "done"
        if output is None:
            return f"Possibly {done} already, the outcome of an equal call is unknown: "
        named = [output.get("locator"), *(value for name, value in output.items() if name.endswith("_id"))]
        known = next((code(str(each)) for each in named if each), "")
        return f"Already {done} {known}".rstrip() + ": "

    def succeed(self, **values: Any) -> Outcome:
        """Success, with an output that fits its schema; failure if it does not."""
        try:
            return Succeeded(self.Output(**values).model_dump(mode="json"))
        except ValidationError as invalid:
            _log.error("tool_output_invalid", tool=self.name, fields=explained(invalid, frozenset(values)))
            return self.output_invalid()

    def output_invalid(self) -> Outcome:
        """The outcome of a call whose output does not fit its schema."""
        return Failed(INVALID_OUTPUT, f"the answer of '{self.name}' is not what was agreed")

    def refuse(self, no: Objection) -> Refused:
        """A refusal as outcome."""
        if no.reason not in self.reasons:
            raise AssertionError(f"{self.name} does not declare the reason {no.reason}")
        return Refused(self.verb, no.reason, no.detail, self.reason_key)


class ReadTool(Tool[I]):
    """Reads only, and is not audited."""

    async def read(self, given: I, context: ToolContext) -> Outcome:
        """The outcome, read once more if the output was invalid. A supplier's error is returned by its code."""
        try:
            outcome = await self.look(given, context)
            invalid = isinstance(outcome, Failed) and outcome.code == INVALID_OUTPUT
            return await self.look(given, context) if invalid else outcome
        except SupplierError as failure:
            return Failed(failure.supplier_code, failure.text)

    @abstractmethod
    async def look(self, given: I, context: ToolContext) -> Outcome:
        """The outcome, or a ``SupplierError``."""


class DatabaseTool(Tool[I]):
    """Writes our own tables. Planning reads nothing; what depends on stored rows is decided in the command."""

    @abstractmethod
    def plan(self, given: I, context: ToolContext, key: str) -> Operation[Outcome]:
        """The command that executes the call and returns the outcome. ``key`` is the tool call's id."""


class GatedDatabaseTool(DatabaseTool[I]):
    """Writes our own tables once it is approved."""

    @abstractmethod
    def gate(self, given: I, context: ToolContext) -> Operation[ApprovalProposal | Outcome]:
        """The operation that returns the approval proposal, or why the call cannot succeed."""


def _alike(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {key: _alike(each, key) for key, each in value.items()}
        case list() | tuple():
            parts = [_alike(each, name) for each in value]
            return sorted(parts) if name.endswith("_ids") else parts
        case str():
            return value.lower() if name.endswith(("_id", "_ids")) else value
        case Decimal():
            return f"{value.normalize():f}"
        case SecretStr():
            return value.get_secret_value()
        case date():
            return value.isoformat()
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Then(Command[S], Generic[R, S]):
    """A storage operation whose result is mapped to a tool's outcome, in the transaction that stores it."""

    first: Operation[R]
    then: Callable[[R], S]

    async def run(self, db: Connection) -> S:
        return self.then(await self.first.run(db))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Command[Outcome]):
    """A plan with a fixed outcome that needs no storage, such as a refusal."""

    outcome: Outcome

    async def run(self, db: Connection) -> Outcome:
        del db
        return self.outcome
