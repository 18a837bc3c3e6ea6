"""Tools that write at a supplier, between two transactions: once, whatever is lost between them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ....storage.conversation import unsettled_writes
from ....storage.engine.operations import Operation
from ...domain.outcomes import Failed, Outcome, Unknown
from ...domain.turns import ToolCall
from ...foundation import log
from ...suppliers.protocols import Driver, SupplierError
from .tool import ApprovalProposal, GatedDatabaseTool, I, Objection, Tool, ToolContext

_log = log.get(__name__)


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


def _unknown(failure: SupplierError) -> Unknown:
    return Unknown(f"{failure.text}; the supplier has to be asked before this is tried again")
