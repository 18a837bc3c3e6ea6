"""Supplier writes without outcome: each is looked up, what is found is stored, and one's failure is its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.actors.agent.stand import Stand
from tests.fakes.tools import FakeSupplierTool, Record, tools
from voyagent.actors.agent import settling
from voyagent.actors.agent.settling import settle_writes
from voyagent.actors.agent.tools.supplier_tool import Executed
from voyagent.actors.agent.tools.tool import ToolContext
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.domain.outcomes import Succeeded
from voyagent.actors.domain.turns import ToolCall
from voyagent.actors.runtime.actor import ActorFailed
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.storage.conversation import unsettled_writes
from voyagent.storage.conversation.unsettled_writes import Settle, Unsettled

AGENCY, DELETED = "a-1", "s-deleted"


class Agency(Stand):
    """An agency whose tools are fakes, with calls to settle."""

    def __init__(self) -> None:
        super().__init__()
        self.tool = FakeSupplierTool()
        self.tool.found = lambda key: Executed(Record(tenant_id=AGENCY, order_id=key))
        self.unsettled: list[tuple[ToolCall, str | None]] = []
        self.store.on(Unsettled, lambda _: self.unsettled)
        self.store.on(Settle, lambda _: Succeeded({"done": True}))

    def call(self, call_id: str, session_id: str | None = "s-1", **changes: Any) -> None:
        call = ToolCall(
            id=call_id,
            turn_id="t-1",
            call_id="toolu_1",
            tool="pay_order",
            desk="ticketing_visa",
            input={"order_id": f"order of {call_id}"},
            effect="irreversible",
            user_id="asha",
            position=0,
            state="unknown",
            bound={"order": call_id},
        )
        self.unsettled.append((replace(call, **changes), session_id))

    def context(self, call: ToolCall, session_id: str | None) -> ToolContext:
        task = replace(self.task, session_id=session_id or DELETED, turn_id=call.turn_id, user_id=call.user_id)
        return self.ports.context(task)

    async def settle(self) -> list[str]:
        """Settle the writes; the ids of those that were stored."""
        await settle_writes(AGENCY, self.store, self.clock, self.context)
        return [settle.call.id for settle in self.store.of(Settle)]


@pytest.fixture
def agency(monkeypatch: pytest.MonkeyPatch) -> Agency:
    made = Agency()
    monkeypatch.setattr(settling, "CATALOGUE", {tool.name: tool for tool in tools(made.tool)})
    return made


def raises(error: Exception) -> Any:
    raise error


async def test_what_a_supplier_has_done_is_stored_with_the_call_it_belongs_to(agency: Agency) -> None:
    agency.call("c-1")
    assert await agency.settle() == ["c-1"]
    [asked] = agency.store.of(Unsettled)
    assert (asked.tenant_id, asked.now) == (AGENCY, agency.clock.now())
    assert agency.tool.looked_up == [("order of c-1", {"order": "c-1"}, "c-1")]
    [settle] = agency.store.of(Settle)
    assert (settle.record, settle.session_id) == (Record(tenant_id=AGENCY, order_id="c-1"), "s-1")
    assert (settle.tenant_id, settle.now) == (AGENCY, agency.clock.now())


async def test_what_a_supplier_does_not_find_stays_without_outcome(agency: Agency) -> None:
    agency.tool.found = lambda _: None
    agency.call("c-1")
    assert await agency.settle() == []
    assert len(agency.tool.looked_up) == 1


async def test_a_write_whose_session_was_deleted_is_settled_too(agency: Agency) -> None:
    agency.call("c-1", session_id=None)
    assert await agency.settle() == ["c-1"]
    [settle] = agency.store.of(Settle)
    assert settle.session_id == DELETED


async def test_a_write_that_was_approved_without_anything_bound_is_looked_up(agency: Agency) -> None:
    agency.call("c-1", bound=None)
    assert await agency.settle() == ["c-1"]
    assert agency.tool.looked_up == [("order of c-1", {}, "c-1")]


@pytest.mark.parametrize("tool", ["close_order", "read_order", "of_an_older_release"])
async def test_only_a_tool_that_writes_at_a_supplier_is_asked(tool: str, agency: Agency) -> None:
    agency.call("c-1", tool=tool)
    agency.call("c-2")
    assert await agency.settle() == ["c-2"]


@pytest.mark.parametrize(
    "error",
    [SupplierError("timeout", "no answer"), Unavailable("overloaded"), ActorFailed()],
    ids=["the supplier", "its actor is suspended", "its actor fails"],
)
async def test_a_failing_look_up_is_that_write_s_alone(error: Exception, agency: Agency) -> None:
    agency.tool.found = lambda key: raises(error) if key == "c-1" else Executed(Record(tenant_id=AGENCY, order_id=key))
    agency.call("c-1")
    agency.call("c-2")
    assert await agency.settle() == ["c-2"]


async def test_a_write_whose_input_this_release_cannot_read_is_passed_over(agency: Agency) -> None:
    agency.call("c-1", input={"seat": "12A"})
    agency.call("c-2")
    assert await agency.settle() == ["c-2"]
    assert [key for *_, key in agency.tool.looked_up] == ["c-2"]


async def test_an_outcome_that_cannot_be_stored_is_that_write_s_alone(agency: Agency) -> None:
    refused = iter([Unavailable("storage_unavailable")])
    agency.store.on(Settle, lambda _: raises(error) if (error := next(refused, None)) else None)
    agency.call("c-1")
    agency.call("c-2")
    assert await agency.settle() == ["c-1", "c-2"]


async def test_a_defect_is_logged_as_one_and_ends_neither_the_agency_nor_the_other_writes(agency: Agency) -> None:
    defect = ValueError("a defect")
    agency.tool.found = lambda key: raises(defect) if key == "c-1" else Executed(Record(tenant_id=AGENCY, order_id=key))
    agency.call("c-1")
    agency.call("c-2")
    with capture_logs() as lines:
        assert await agency.settle() == ["c-2"]
    [failed] = [line for line in lines if line["event"] == "write_settlement_failed"]
    assert (failed["log_level"], failed["call_id"], failed["exc_info"]) == ("error", "c-1", defect)


async def test_without_storage_nothing_is_looked_up_and_the_next_round_tries_again(agency: Agency) -> None:
    agency.call("c-1")
    agency.store.on(unsettled_writes.Unsettled, lambda _: raises(Unavailable("storage_unavailable")))
    assert await agency.settle() == []
    assert agency.tool.looked_up == []
    agency.store.on(unsettled_writes.Unsettled, lambda _: agency.unsettled)
    assert await agency.settle() == ["c-1"]
