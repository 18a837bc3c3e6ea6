"""Cancelling a hold whose payment has no known outcome: it is looked up first, and nobody cancels blindly."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from tests.actors.agent.tools.office import Office
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.supplier_tool import Executed, SupplierTool
from voyagent.actors.domain.audit import canonical

UNKNOWN = "UPDATE tool_calls SET state = $2, driver = $3, bound = $4, input = $5, started_at = now() WHERE id = $1"


class Payment:
    """A hold, and a payment of it whose outcome nobody knows."""

    def __init__(self, desk: Any, booking_id: str, driver: str) -> None:
        self.desk, self.booking_id, self.driver = desk, booking_id, driver
        self.key = ""

    async def stored(self, bound: dict[str, Any], state: str = "unknown") -> None:
        given = {"booking_id": self.booking_id}
        row = (self.key, state, self.driver, canonical(bound).decode(), json.dumps(given))
        await self.desk.agency.db.execute(UNKNOWN, *row)

    async def state(self) -> Any:
        return await self.desk.agency.db.fetchval("SELECT state FROM tool_calls WHERE id = $1", self.key)

    async def status(self) -> Any:
        return await self.desk.agency.db.fetchval("SELECT status FROM bookings WHERE id = $1", self.booking_id)


async def unclear(office: Office, row: str) -> Payment:
    """A hold at duffel, whose payment was sent and never answered nor found."""
    payment = Payment(office.desk, (await office.held(row))["booking_id"], "duffel")
    gate = await office.do(office.desk.gate(booking_id=payment.booking_id))
    payment.key = await office.desk.agency.call("book_flight")
    output = await office.place(bound=gate.bound, key=payment.key, booking_id=payment.booking_id)
    assert output.state == "unknown"
    await payment.stored(gate.bound)
    return payment


def goes_through(office: Office, payment: Payment) -> None:
    """The supplier executes the payment after all."""
    (order,) = office.account.orders.values()
    order["payment_status"] |= {"awaiting_payment": False}
    order["metadata"]["voyagent_payment"] = payment.key
    office.account.payments += 1


async def test_whoever_cancels_a_hold_is_told_of_a_payment_without_outcome(office: Office) -> None:
    payment = await unclear(office, "Q33")
    gate = await office.do(office.desk.gate("cancel_flight_order", booking_id=payment.booking_id))
    assert "; not paid, but a payment of GBP 100.00 has no known outcome; " in gate.summary
    assert (gate.bound["paid"], gate.bound["payment_unclear"]) == (None, True)
    done = await office.place("cancel_flight_order", bound=gate.bound, booking_id=payment.booking_id)
    assert (done["cancelled"], done["refund"]) == (True, "GBP 0.00")
    assert (office.account.payments, await payment.state()) == (0, "unknown")


async def test_a_payment_that_is_found_is_recorded_before_the_cancellation_is_quoted(office: Office) -> None:
    payment = await unclear(office, "Q33")
    goes_through(office, payment)
    gate = await office.do(office.desk.gate("cancel_flight_order", booking_id=payment.booking_id))
    assert (await payment.state(), await payment.status()) == ("succeeded", "confirmed")
    assert "refund GBP 70.00; to balance; paid GBP 100.00; " in gate.summary
    done = await office.place("cancel_flight_order", bound=gate.bound, booking_id=payment.booking_id)
    assert (done["cancelled"], done["refund"]) == (True, "GBP 70.00")


async def test_a_payment_that_goes_through_after_the_approval_keeps_its_order(office: Office) -> None:
    payment = await unclear(office, "Q33")
    gate = await office.do(office.desk.gate("cancel_flight_order", booking_id=payment.booking_id))
    goes_through(office, payment)
    output = await office.place("cancel_flight_order", bound=gate.bound, booking_id=payment.booking_id)
    assert output["reason"] == "changed_since_approval"
    assert [order["cancelled_at"] for order in office.account.orders.values()] == [None]
    assert (await payment.state(), await payment.status()) == ("succeeded", "confirmed")


async def test_an_order_somebody_else_paid_is_cancelled_as_a_paid_one(office: Office) -> None:
    held = {"booking_id": (await office.held())["booking_id"]}
    (order,) = office.account.orders.values()
    order["payment_status"] |= {"awaiting_payment": False}
    gate = await office.do(office.desk.gate("cancel_flight_order", **held))
    assert "refund GBP 70.00; to balance; paid GBP 100.00; " in gate.summary


@pytest.mark.parametrize("supplier", ["house", "duffel"])
async def test_a_hold_that_is_being_paid_is_not_cancelled_meanwhile(supplier: str, desk: Any, office: Office) -> None:
    payment = await unclear(office, "Q33")
    payment.driver = supplier
    await payment.stored({"booking_id": payment.booking_id}, "executing")
    output = await office.check("cancel_flight_order", booking_id=payment.booking_id)
    assert (output["reason"], output["detail"]) == (
        "not_cancellable",
        "It is being paid; wait for the outcome of that.",
    )


async def test_a_payment_that_cannot_be_looked_up_keeps_the_hold(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await unclear(office, "Q33")
    await office.standin.stop()
    output = await office.check("cancel_flight_order", booking_id=payment.booking_id)
    assert output.state == "failed"
    assert str(output["error"]).startswith(("transient: ", "breaker_open: "))


async def test_a_payment_that_this_release_cannot_read_is_told_as_unclear(office: Office) -> None:
    payment = await unclear(office, "Q33")
    of_another_release = """UPDATE tool_calls SET input = '{"seat": "12A"}' WHERE id = $1"""
    await office.desk.agency.db.execute(of_another_release, payment.key)
    gate = await office.do(office.desk.gate("cancel_flight_order", booking_id=payment.booking_id))
    assert gate.bound["payment_unclear"] is True


async def at_the_house(desk: Any, *, paid: bool) -> Payment:
    """A hold of the embedded inventory and a payment of it, made or not, of which nothing was recorded."""
    fare = await desk.fare(hold=True)
    held = await desk.place("hold_flight", fare_id=fare["fare_id"], passenger_ids=[await desk.person()])
    payment = Payment(desk, held["booking_id"], "house")
    gate = await desk.gate(booking_id=payment.booking_id)
    payment.key = await desk.agency.call("book_flight")
    if paid:
        tool = cast("SupplierTool[Any]", CATALOGUE["book_flight"])
        given = tool.parse({"booking_id": payment.booking_id})
        assert isinstance(await tool.place(given, gate.bound, payment.key, desk.context), Executed)
    await payment.stored(gate.bound)
    return payment


async def test_the_house_finds_what_was_paid_before_it_quotes(desk: Any) -> None:
    payment = await at_the_house(desk, paid=True)
    gate = await desk.gate("cancel_flight_order", booking_id=payment.booking_id)
    assert (await payment.state(), await payment.status()) == ("succeeded", "confirmed")
    assert "; to balance; paid INR " in gate.summary
    done = await desk.place("cancel_flight_order", bound=gate.bound, booking_id=payment.booking_id)
    assert (done["cancelled"], done["refund_to"]) == (True, "balance")
    states = await desk.agency.db.fetch("SELECT state FROM house_orders ORDER BY created_at, state")
    assert sorted(row["state"] for row in states) == ["cancelled", "taken"]


async def test_the_house_cancels_a_hold_nobody_paid_and_says_that_a_payment_was_tried(desk: Any) -> None:
    payment = await at_the_house(desk, paid=False)
    gate = await desk.gate("cancel_flight_order", booking_id=payment.booking_id)
    assert "; not paid, but a payment of INR " in gate.summary
    done = await desk.place("cancel_flight_order", bound=gate.bound, booking_id=payment.booking_id)
    assert (done["cancelled"], done["refund_to"]) == (True, "awaiting_payment")
