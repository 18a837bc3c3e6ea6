"""Tools of each kind, and the operations they hand to storage: what they answer is the test's to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from voyagent.actors.agent.tools.supplier_tool import Executed, GatedSupplierTool
from voyagent.actors.agent.tools.tool import (
    ApprovalProposal,
    GatedDatabaseTool,
    ReadTool,
    Tool,
    ToolContext,
    ToolInput,
    ToolOutput,
)
from voyagent.actors.domain.identity import Role
from voyagent.actors.domain.outcomes import Outcome
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.operations import Command, Operation, Query

DESK = "ticketing_visa"


class OrderInput(ToolInput):
    order_id: str
    note: str | None = None


class Done(ToolOutput):
    done: Literal[True] = True
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate(Query[ApprovalProposal | Outcome]):
    """Asks storage what an approver is shown."""

    order_id: str

    async def run(self, db: Connection) -> ApprovalProposal | Outcome:
        raise AssertionError(db)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Command[Outcome]):
    """Records what a supplier has done."""

    order_id: str

    async def run(self, db: Connection) -> Outcome:
        raise AssertionError(db)


class FakeReadTool(ReadTool[OrderInput]):
    """Reads an order."""

    name = "read_order"
    description = "Reads an order."
    Input = OrderInput
    Output = Done
    desks = frozenset({DESK})

    async def look(self, given: OrderInput, context: ToolContext) -> Outcome:
        del context
        return self.succeed(order_id=given.order_id)


class FakeDatabaseTool(GatedDatabaseTool[OrderInput]):
    """Closes an order in our own tables."""

    name = "close_order"
    description = "Closes an order."
    Input = OrderInput
    Output = Done
    desks = frozenset({DESK})
    effect = "reversible"
    approvers = frozenset({Role.AGENCY_ADMIN})

    def plan(self, given: OrderInput, context: ToolContext, key: str) -> Operation[Outcome]:
        raise AssertionError(given, context, key)

    def gate(self, given: OrderInput, context: ToolContext) -> Operation[ApprovalProposal | Outcome]:
        return Gate(tenant_id=context.tenant_id, order_id=given.order_id)


class FakeSupplierTool(GatedSupplierTool[OrderInput]):
    """Pays an order at a supplier. ``checks`` and ``found`` answer a check and a look-up, or raise."""

    name = "pay_order"
    description = "Pays an order."
    Input = OrderInput
    Output = Done
    desks = frozenset({DESK})
    verb = "done"
    reasons = frozenset({"not_found"})
    effect = "irreversible"
    approvers = frozenset(Role)

    def __init__(self) -> None:
        self.checks: Callable[[OrderInput], ApprovalProposal] = lambda given: ApprovalProposal(
            f"Pay {given.order_id}", {"order": given.order_id}, None
        )
        self.found: Callable[[str], Executed | None] = lambda _: None
        self.looked_up: list[tuple[str, Mapping[str, Any], str]] = []
        """Order, what was approved, and key of each look-up."""

    async def driver(self, given: OrderInput, bound: Mapping[str, Any], context: ToolContext) -> str:
        raise AssertionError(given, bound, context)

    async def precheck(self, given: OrderInput, context: ToolContext) -> ApprovalProposal:
        del context
        return self.checks(given)

    async def execute(self, given: OrderInput, bound: Mapping[str, Any], key: str, context: ToolContext) -> Executed:
        raise AssertionError(given, bound, key, context)

    async def find_previous(
        self, given: OrderInput, bound: Mapping[str, Any], key: str, context: ToolContext
    ) -> Executed | None:
        del context
        self.looked_up.append((given.order_id, bound, key))
        return self.found(key)


def tools(supplier: FakeSupplierTool) -> list[Tool[Any]]:
    """One of each kind; the type checker compares the fakes with their kinds here."""
    return [FakeReadTool(), FakeDatabaseTool(), supplier]
