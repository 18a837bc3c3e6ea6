"""A day over the real HTTP surface, from the enquiry to the refund, on each supplier: reports show each step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.actors.suppliers.duffel.standin import Standin
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Make, Person, Running

TODAY = datetime.now(UTC).date()
DAY = TODAY + timedelta(days=60)
WHO = "for Ms Asha Rao, born 1990-04-02, female, asha.rao@example.com, +919820012345"
ENQUIRY = {"customer_name": "Asha Rao", "customer_phone": "+91 98200 12345", "origin": "Mumbai", "destination": "Dubai"}
TOKEN = "duffel_test_day"
EVER = f"from={TODAY - timedelta(days=40)}&to={TODAY + timedelta(days=2)}"
SIDES = ("receivables", "payables")


@pytest.fixture(params=["house", "duffel"])
async def running(
    request: pytest.FixtureRequest, settings_for: Make, rehearsal: Any, running_class: type[Running]
) -> AsyncIterator[Running]:
    """A service whose one supplier is the embedded inventory or the stand-in for Duffel."""
    standin = Standin()
    url = await standin.start()
    duffel = {"VOYAGENT_DUFFEL_TOKEN": TOKEN, "VOYAGENT_DUFFEL_BASE_URL": url}
    settings = settings_for(VOYAGENT_SUPPLIERS=request.param, **duffel)
    rehearsal[0].reset()
    async with Service(settings) as service, aiohttp.ClientSession() as http:
        yield running_class(service, rehearsal[0], http, settings)
    await standin.stop()


@dataclass(slots=True)
class Day:
    """Somebody's conversation, and what every report says after each step of it."""

    person: Person
    enquiry: str
    session: str

    async def does(self, words: str, tool: str, *shown: str) -> dict[str, Any]:
        """Say it, and grant the one approval it leads to; the tool's output."""
        events = await self.person.say(self.session, words)
        assert [each.kind for each in events[-2:]] == ["approval_request", "final"], [each.data for each in events[-4:]]
        asked = events[-2].data
        assert asked["tool_name"] == tool
        assert [part for part in shown if part not in asked["approval_summary"]] == [], asked["approval_summary"]
        path = f"/approvals/{asked['approval_id']}/resolve"
        assert (await self.person.call("POST", path, json={"granted": True}))[0] == 200
        rest = await self.person.replay(self.session, events[-1].id or 0)
        return dict(next(each.data["tool_output"] for each in rest if each.kind == "tool_result"))

    async def trip(self) -> tuple[list[str], str, list[str]]:
        """The itinerary's flights by status, its cost, and the bookings of the enquiry by status."""
        report = await self.person.get("/reports/itinerary", params={"session_id": self.session})
        bookings = (await self.person.get(f"/enquiries/{self.enquiry}"))["bookings"]
        cost = report["total_cost"]
        flights = sorted({each["status"] for each in report["flights"]})
        return flights, f"{cost['currency']} {cost['amount']}", [each["status"] for each in bookings]

    async def books(self, currency: str) -> tuple[str, str, dict[str, str]]:
        """What is receivable and payable in a currency, and the balances of its accounts, which all agree."""
        balance = await self.person.get("/reports/trial-balance")
        blocks = [{"currency": "INR", **balance}, *balance["other_currencies"]]
        assert all(each["in_balance"] for each in blocks)
        assert {each[side]["difference"] for each in balance["reconciliation"] for side in SIDES} == {"0.00"}
        own = next((each["accounts"] for each in blocks if each["currency"] == currency), [])
        accounts = {each["code"]: each["balance"] for each in own if Decimal(each["balance"])}
        due = [await self._due(side, currency) for side in SIDES]
        return due[0], due[1], accounts

    async def _due(self, side: str, currency: str) -> str:
        report = await self.person.get(f"/reports/{side}?{EVER}")
        blocks = [report, *report["other_currencies"]]
        assert {each["reconciliation"]["difference"] for each in blocks} == {"0.00"}
        own = (each["total_outstanding"] for each in blocks if each["total_outstanding"]["currency"] == currency)
        return next((each["amount"] for each in own), "0.00")

    async def audited(self) -> list[str]:
        """The kinds of audit events, oldest first; of a tool its end."""
        page = await self.person.get("/audit?limit=200")
        kept = [each for each in page["items"] if "(started)" not in each["summary"]]
        assert {each["status"] for each in kept} == {"ok"}
        return [each["kind"] for each in reversed(kept)]


@pytest.fixture
async def day(running: Running) -> Day:
    """A conversation that an enquiry was promoted to."""
    person = await running.sign_up()
    status, enquiry = await person.call("POST", "/enquiries", json=ENQUIRY)
    assert (status, enquiry["possible_duplicates"]) == (201, [])
    status, promoted = await person.call("POST", f"/enquiries/{enquiry['id']}/promote-to-session")
    assert status == 200
    return Day(person, enquiry["id"], promoted["session_id"])


async def test_b58_a_day_from_the_enquiry_to_the_refund(day: Day, running: Running) -> None:
    duffel = "duffel" in running.settings.suppliers
    supplier, bought = ("duffel", "ticketed") if duffel else ("house", "confirmed")
    assert await day.trip() == ([], "INR 0.00", [])

    events = await day.person.say(
        day.session, f"Find a flight from Mumbai to Dubai on {DAY} {WHO}, and book it on hold"
    )
    held = [each.data["tool_output"] for each in events if each.kind == "tool_result"][-1]
    assert (held["held"], held["status"]) == (True, "tentative")
    price, (currency, amount) = held["price"], held["price"].split()
    assert await day.trip() == (["tentative"], f"{currency} 0.00", ["tentative"])

    booked = await day.does(
        "Book the held flight", "book_flight", price, "Asha Rao", f"hold {held['locator']}", supplier
    )
    assert (booked["booking_id"], booked["status"]) == (held["booking_id"], bought)
    assert await day.trip() == ([bought], price, [bought])
    issued = await day.does("Please issue the ticket", "issue_ticket", held["locator"], "Asha Rao", supplier)
    assert len(issued["tickets"]) == 1
    assert await day.trip() == (["ticketed"], price, ["ticketed"])
    assert await day.books(currency) == ("0.00", "0.00", {})

    fee = f"{Decimal(amount) + 30:.2f}"
    draft = await day.does(f"Draft an invoice for Asha Rao over {currency} {fee}", "draft_invoice", fee, "Asha Rao")
    assert await day.books(currency) == ("0.00", "0.00", {})
    await day.does("Please issue it, the invoice", "issue_invoice", draft["number"], f"{currency} {fee}")
    assert await day.books(currency) == (fee, "0.00", {"1100": fee, "4200": f"-{fee}"})
    words = f"Record a payment of {currency} {fee} by UPI on invoice {draft['number']}, reference UTR-77"
    paid = await day.does(words, "record_payment", fee, draft["number"], "UTR-77", "Asha Rao")
    assert paid["invoice_status"] == "paid"
    assert await day.books(currency) == ("0.00", "0.00", {"1000": fee, "4200": f"-{fee}"})

    words = f"Record a bill from Skyways over {price}, reference {held['locator']}"
    bill = await day.does(words, "record_bill", price, "Skyways", held["locator"])
    assert await day.books(currency) == (
        "0.00",
        amount,
        {"1000": fee, "2000": f"-{amount}", "4200": f"-{fee}", "5200": amount},
    )
    settled = await day.does(f"Pay the bill {bill['number']}", "pay_bill", f"Pay {price}", bill["number"], "Skyways")
    assert settled["bill_status"] == "paid"
    assert await day.books(currency) == ("0.00", "0.00", {"1000": "30.00", "4200": f"-{fee}", "5200": amount})

    cancelled = await day.does(
        "Please cancel this flight", "cancel_flight_order", "to balance", f"paid {price}", "Asha Rao"
    )
    back = cancelled["refund"].split()[1]
    assert (cancelled["status"], cancelled["refund_to"]) == ("cancelled", "balance")
    assert Decimal(0) < Decimal(back) < Decimal(amount)
    assert await day.trip() == ([], "INR 0.00", ["cancelled"])
    for debit, credit in (("1200", "5200"), ("4200", "1000")):
        words = f"Post a journal: debit {debit} and credit {credit} with {currency} {back}"
        await day.does(words, "post_journal_entry", f"{currency} {back}", f"debit {debit}", f"credit {credit}")
    cost = f"{Decimal(amount) - Decimal(back):.2f}"
    assert await day.books(currency) == (
        "0.00",
        "0.00",
        {
            "1000": f"{30 - Decimal(back):.2f}",
            "1200": back,
            "4200": f"-{Decimal(cost) + 30:.2f}",
            "5200": cost,
        },
    )

    status, _ = await day.person.call("PATCH", f"/enquiries/{day.enquiry}", json={"status": "cancelled"})
    assert status == 200
    kinds = await day.audited()
    decided = ["approval.requested", "approval.granted"]
    gated = [
        "book_flight",
        "issue_ticket",
        "draft_invoice",
        "issue_invoice",
        "record_payment",
        "record_bill",
        "pay_bill",
    ]
    gated += ["cancel_flight_order", "post_journal_entry", "post_journal_entry"]
    expected = ["enquiry.created", "enquiry.promoted", "upsert_passenger", "hold_flight"]
    expected += [kind for tool in gated for kind in (*decided, tool)]
    assert kinds[-len(expected) - 1 :] == [*expected, "enquiry.changed"]
    verified = await day.person.get("/audit/verify")
    assert (verified["ok"], verified["broken"]) == (True, None)
