"""The kinds of tools: a tool has a name, an input, an output, its approvers, and a way to execute.

A ``ReadTool`` only reads. A ``DatabaseTool`` writes our own tables: it returns a storage command that runs in one
transaction with the update of the tool call's row. A ``SupplierTool`` writes at a supplier, between two transactions.
No tool has access to a connection.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from ....storage.conversation import unsettled_writes
from ....storage.engine.operations import Command, Operation
from ....storage.engine.sealing import Sealing
from ...domain.audit import canonical
from ...domain.business_date import business_date
from ...domain.hotels import HotelOffer
from ...domain.identity import Role
from ...domain.outcomes import Failed, InvalidInput, Outcome, Refused, Succeeded, Unknown
from ...domain.settings import TenantSettings
from ...domain.travel import FlightOffer
from ...domain.turns import Effect, ToolCall
from ...foundation import log
from ...foundation.clock import Clock
from ...runtime.actor import Recipient
from ...suppliers.protocols import Driver, SupplierError, Suppliers
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


@dataclass(frozen=True, slots=True)
class Executed:
    """The supplier has executed the write; ``record`` stores it and returns the outcome."""

    record: Operation[Outcome]


class SupplierTool(Tool[I]):
    """Writes at a supplier, with the tool call's id as idempotency key."""

    unsupported: ClassVar[str] = "capability_not_supported"
    """The reason returned when the supplier does not support the operation."""

    async def place(
        self, given: I, bound: Mapping[str, Any], key: str, context: ToolContext, *, again: bool = False
    ) -> Executed | Outcome:
        """Execute the write, once per ``key``, if everything approved still holds.

        ``again``: the call was interrupted before, so its outcome is looked up first. A refusal without that might deny
        a write that was executed.
        """
        if again:
            return await self._resume(given, bound, key, context)
        try:
            return await self.execute(given, bound, key, context)
        except Objection as no:
            return self.refuse(no)
        except SupplierError as failure:
            return self.unreached(failure)

    async def _resume(self, given: I, bound: Mapping[str, Any], key: str, context: ToolContext) -> Executed | Outcome:
        """The outcome of an interrupted call; it is repeated where the supplier's writes are idempotent.

        Only a look-up without a match proves that nothing was done: a refusal of the second attempt does not.
        """
        supplier = self.counter(await self.driver(given, bound, context), context)
        try:
            found = await self.find_previous(given, bound, key, context)
        except SupplierError as failure:
            return _unknown(failure)
        if found is not None:
            return found
        if supplier is None or not supplier.capabilities.honours_keys:
            return Unknown(f"{self.name} was under way when the service stopped; look it up by hand")
        try:
            return await self.execute(given, bound, key, context)
        except Objection as no:
            if supplier.capabilities.looks_up:
                return self.refuse(no)
            return Unknown(f"{self.name} was under way when the service stopped, and now: {no.detail}")
        except SupplierError as failure:
            return self.unreached(failure) if supplier.capabilities.looks_up else _unknown(failure)

    def output_invalid(self) -> Outcome:
        """The write has been executed, so this is no failure."""
        return Unknown("the order is entered; read the booking before it is tried again")

    def record(self, given: I, placed: Executed, call: ToolCall, context: ToolContext) -> Operation[Outcome]:
        """The operation that records the write in the transaction that ends the call; returns the outcome."""
        del given, call, context
        return placed.record

    def unreached(self, failure: SupplierError) -> Outcome:
        """A supplier's failure as outcome. If it may have acted nevertheless, the outcome is unknown, not failed."""
        if failure.unclear:
            return _unknown(failure)
        if failure.reason in self.reasons:
            return self.refuse(Objection(failure.reason, f"{failure.text[:1].upper()}{failure.text[1:]}."))
        match failure.supplier_code:
            case "capability_not_supported":
                return self.refuse(Objection(self.unsupported, failure.text))
            case "validation_failed" | "permanent" | "not_found" | "conflict":
                return self.refuse(Objection("supplier_refused", failure.text))
            case _:
                return Failed(failure.supplier_code, failure.text)

    @abstractmethod
    async def driver(self, given: I, bound: Mapping[str, Any], context: ToolContext) -> str:
        """The supplier's name, for the tool call and the audit."""

    def counter(self, name: str, context: ToolContext) -> Driver | None:
        """The supplier of that name, with the protocol this tool needs."""
        return context.suppliers.named(name)

    @abstractmethod
    async def execute(self, given: I, bound: Mapping[str, Any], key: str, context: ToolContext) -> Executed:
        """As ``place``, but raises ``Objection`` to refuse."""

    @abstractmethod
    async def find_previous(
        self, given: I, bound: Mapping[str, Any], key: str, context: ToolContext
    ) -> Executed | None:
        """The order that an earlier attempt with this key created, if any."""

    async def settle(self, call: ToolCall, session_id: str | None, context: ToolContext) -> bool:
        """Look up a write without outcome; whether the supplier has executed it, which is stored then.

        Raises ``InputInvalid`` if this release cannot read the call, and ``SupplierError`` if nobody can be asked.
        """
        given = self.parse(call.input)
        found = await self.find_previous(given, call.bound or {}, call.id, context)
        if found is None:
            return False
        settle = unsettled_writes.Settle(
            tenant_id=context.tenant_id,
            call=call,
            record=self.record(given, found, call, context),
            session_id=session_id,
            now=context.now,
        )
        if await context.store.ask(settle) is not None:
            _log.info("write_settled", tool=call.tool, call_id=call.id)
        return True


class GatedSupplierTool(SupplierTool[I]):
    """Writes at a supplier once it is approved."""

    async def check(self, given: I, context: ToolContext) -> ApprovalProposal | Outcome:
        """The approval proposal, or why the call cannot succeed now."""
        try:
            return await self.precheck(given, context)
        except Objection as no:
            return self.refuse(no)
        except SupplierError as failure:
            return self.unreached(failure)

    @abstractmethod
    async def precheck(self, given: I, context: ToolContext) -> ApprovalProposal:
        """As ``check``, but raises ``Objection`` to refuse."""


GATED: Final = (GatedDatabaseTool, GatedSupplierTool)
"""The kinds of tools whose calls wait for an approval."""


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


def _unknown(failure: SupplierError) -> Unknown:
    return Unknown(f"{failure.text}; the supplier has to be asked before this is tried again")


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
