"""The accounting desk's documents: drafted, issued, paid, voided, listed, and the journals they post."""

from __future__ import annotations

import asyncio
import json
from datetime import date, timedelta
from typing import Any

import pytest

from tests.actors.agent.tools.documents import (
    at,
    billed,
    both,
    created,
    drafted,
    entry_date,
    issued,
    item,
    journal,
    paid,
    received,
    today,
)
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.tool import ApprovalProposal
from voyagent.actors.domain.audit import canonical
from voyagent.actors.domain.ids import uuid7


async def test_an_invoice_is_drafted_issued_paid_in_parts_and_listed(desk: Any) -> None:
    gate = await desk.bind("draft_invoice", **drafted(desk, item("1000"), item("45.5", quantity=2)))
    assert isinstance(gate, ApprovalProposal)
    due = today(desk) + timedelta(days=30)
    assert gate.summary == (
        f"Draft invoice with the next number: INR 1091.00, dated {today(desk)}, due {due}; for Asha Rao;"
        " 1 x INR 1000.00 Travel services, 2 x INR 45.50 Travel services"
    )
    assert json.loads(canonical(gate.bound)) == gate.bound
    draft = await desk.plan("draft_invoice", **drafted(desk, item("1000"), item("45.5", quantity=2)))
    assert draft == {
        "drafted": True,
        "invoice_id": draft["invoice_id"],
        "number": "INV-000001",
        "total_amount": "1091.00",
        "currency": "INR",
        "status": "draft",
    }
    assert await desk.count("journals") == 0

    gate = await desk.bind("issue_invoice", invoice_id=draft["invoice_id"])
    assert gate.summary.startswith(f"Issue invoice INV-000001: INR 1091.00, dated {today(desk)}, due {due}; for Asha")
    done = await desk.plan("issue_invoice", invoice_id=draft["invoice_id"].upper())
    assert list(done) == ["issued", "invoice_id", "number", "status", "total_amount", "currency", "journal_id"]
    assert await journal(desk, done["journal_id"]) == [("Dr", "1100", "1091"), ("Cr", "4200", "1091")]
    assert await both(desk, "issue_invoice", invoice_id=draft["invoice_id"]) == "invalid_status"

    payment = received(desk, draft["invoice_id"], "91.00", reference="UTR-1")
    gate = await desk.bind("record_payment", **payment)
    assert gate.summary == (
        f"Record payment of INR 91.00 on invoice INV-000001, received {today(desk)} by upi,"
        " of INR 1091.00 due; from Asha Rao; reference UTR-1"
    )
    first = await desk.plan("record_payment", **payment)
    assert first["invoice_status"] == "partially_paid"
    assert first["amount_due"] == "1000.00"
    assert await journal(desk, first["journal_id"]) == [("Dr", "1000", "91"), ("Cr", "1100", "91")]
    assert await both(desk, "record_payment", **payment) == "duplicate"
    assert (await desk.read("list_invoices"))["invoices"] == [
        {
            "number": "INV-000001",
            "party_name": "Asha Rao",
            "issue_date": today(desk).isoformat(),
            "due_date": due.isoformat(),
            "total_amount": "1091.00",
            "amount_due": "1000.00",
            "currency": "INR",
            "invoice_id": draft["invoice_id"],
            "status": "partially_paid",
        }
    ]
    last = await desk.plan("record_payment", **received(desk, draft["invoice_id"], "1000"))
    assert (last["invoice_status"], last["amount_due"]) == ("paid", "0.00")
    assert (await desk.read("list_invoices"))["count"] == 0
    assert (await desk.read("list_invoices", status="paid"))["count"] == 1
    assert await both(desk, "record_payment", **received(desk, draft["invoice_id"], "1")) == "invalid_status"
    assert await both(desk, "void_invoice", invoice_id=draft["invoice_id"], reason="x") == "has_payments"
    balance = await desk.read("read_account_balance", account_id="1100", as_of=today(desk).isoformat())
    assert balance["balance"] == "INR 0.00"


async def test_a_bill_is_recorded_planned_paid_in_parts_and_listed(desk: Any) -> None:
    gate = await desk.bind("record_bill", **billed(desk) | {"desk": "ticketing_visa"})
    due = today(desk) + timedelta(days=15)
    assert gate.summary == (
        f"Record bill of INR 5000.00, dated {today(desk)}, due {due}, desk ticketing_visa; from Emirates;"
        " vendor reference EK/2026/77"
    )
    bill = await desk.plan("record_bill", **billed(desk) | {"desk": "ticketing_visa"})
    assert (bill["number"], bill["status"]) == ("BILL-000001", "received")
    assert await journal(desk, bill["journal_id"]) == [("Dr", "5000", "5000"), ("Cr", "2000", "5000")]
    assert await both(desk, "record_bill", **billed(desk)) == "duplicate_reference"

    later = today(desk) + timedelta(days=3)
    gate = await desk.bind("pay_bill", **paid(desk, bill["bill_id"], paid_on=later.isoformat()))
    assert gate.summary == (
        f"Plan to pay INR 5000.00 on bill BILL-000001 on {later} by bank_transfer,"
        f" of INR 5000.00 due on {due}; to Emirates"
    )
    assert await desk.plan("pay_bill", **paid(desk, bill["bill_id"], paid_on=later.isoformat())) == {
        "paid": False,
        "scheduled": True,
        "bill_id": bill["bill_id"],
        "bill_status": "scheduled",
        "pay_on": later.isoformat(),
    }
    assert await desk.count("payments") == 0
    part = await desk.plan("pay_bill", **paid(desk, bill["bill_id"], amount="2000.5"))
    assert (part["bill_status"], part["amount_due"]) == ("scheduled", "2999.50")
    assert (await desk.read("list_bills"))["bills"][0]["vendor_reference"] == "EK/2026/77"
    rest = await desk.plan("pay_bill", **paid(desk, bill["bill_id"]))
    assert (rest["bill_status"], rest["amount_due"]) == ("paid", "0.00")
    assert await journal(desk, rest["journal_id"]) == [("Dr", "2000", "2999.5"), ("Cr", "1000", "2999.5")]
    assert (await desk.read("list_bills"))["count"] == 0
    assert await both(desk, "pay_bill", **paid(desk, bill["bill_id"])) == "invalid_status"
    assert await both(desk, "void_bill", bill_id=bill["bill_id"], reason="x") == "has_payments"


async def test_a_void_takes_back_what_was_posted_and_keeps_its_number(desk: Any) -> None:
    invoice, bill = await issued(desk), await desk.plan("record_bill", **billed(desk))
    gate = await desk.bind("void_invoice", invoice_id=invoice["invoice_id"], reason="Wrong: customer; total INR 1")
    assert gate.summary == (
        f"Void invoice INV-000001: INR 1000.00, issued, void on {today(desk)}; for Asha Rao;"
        " reason “Wrong: customer; total INR 1”"
    )
    void = await desk.plan("void_invoice", invoice_id=invoice["invoice_id"], reason="Wrong customer")
    assert void["status"] == "void"
    assert await journal(desk, void["journal_id"]) == [("Cr", "1100", "1000"), ("Dr", "4200", "1000")]
    assert await both(desk, "void_invoice", invoice_id=invoice["invoice_id"], reason="again") == "invalid_status"
    assert await both(desk, "issue_invoice", invoice_id=invoice["invoice_id"]) == "invalid_status"
    back = await desk.plan("void_bill", bill_id=bill["bill_id"], reason="Twice")
    assert await journal(desk, back["journal_id"]) == [("Cr", "5200", "5000"), ("Dr", "2000", "5000")]
    draft = await desk.plan("draft_invoice", **drafted(desk))
    assert draft["number"] == "INV-000002"
    nothing = await desk.plan("void_invoice", invoice_id=draft["invoice_id"], reason="Not needed")
    assert nothing == {"voided": True, "invoice_id": draft["invoice_id"], "status": "void", "journal_id": None}
    voids = (await desk.read("list_invoices", status="void"))["invoices"]
    assert [each["number"] for each in voids] == ["INV-000001", "INV-000002"]


async def test_a_journal_is_reversed_once_and_a_documents_never(desk: Any) -> None:
    lines = [
        {"account_id": "1000", "currency": "INR", "debit_amount": "1200.50"},
        {"account_id": "3000", "currency": "INR", "credit_amount": "1200.50"},
    ]
    posted = await desk.plan("post_journal_entry", entry={"narration": "Capital", "lines": lines})
    given = {"journal_id": posted["journal_id"], "narration": "Wrong account"}
    gate = await desk.bind("reverse_journal_entry", **given)
    assert gate.summary == (
        f"Reverse journal {posted['journal_id']} by a journal of {today(desk)}: INR 1200.50; Wrong account;"
        " credit 1000 Cash and bank INR 1200.50, debit 3000 Equity INR 1200.50"
    )
    early = (today(desk) - timedelta(days=1)).isoformat()
    assert await both(desk, "reverse_journal_entry", **given, entry_date=early) == "invalid_date"
    key = uuid7()
    done = await desk.plan("reverse_journal_entry", key=key, **given)
    assert done == {"reversed": True, "journal_id": done["journal_id"]}
    assert await desk.plan("reverse_journal_entry", key=key, **given) == done
    assert await journal(desk, done["journal_id"]) == [("Cr", "1000", "1200.5"), ("Dr", "3000", "1200.5")]
    assert await both(desk, "reverse_journal_entry", **given) == "already_reversed"
    assert await both(desk, "reverse_journal_entry", **given | {"journal_id": uuid7()}) == "not_found"
    assert await both(desk, "reverse_journal_entry", **given | {"journal_id": "j-1"}) == "not_found"
    invoice = await issued(desk)
    owned = given | {"journal_id": invoice["journal_id"]}
    assert await both(desk, "reverse_journal_entry", **owned) == "owned_by_document"


@pytest.mark.parametrize(
    ("moment", "zone", "day", "why"),
    [
        ("2026-03-31T20:00:00+00:00", "Asia/Kolkata", "2026-04-01", None),
        ("2026-03-31T20:00:00+00:00", "Asia/Dubai", "2026-04-01", None),
        ("2026-04-01T02:00:00+00:00", "America/New_York", "2026-04-01", "validation_failed"),
    ],
)
async def test_t10_the_future_begins_at_the_agencys_midnight(
    desk: Any, moment: str, zone: str, day: str, why: str | None
) -> None:
    at(desk, moment, zone)
    given = created(desk, issue_date=day)
    if why is not None:
        assert await both(desk, "create_invoice", **given) == why
        return
    made = await desk.plan("create_invoice", **given)
    posted = await desk.agency.db.fetchval("SELECT id FROM journals")
    assert await entry_date(desk, posted) == date.fromisoformat(day)
    payment = await desk.plan("record_payment", **received(desk, made["invoice_id"], "10", received_on=day))
    assert await entry_date(desk, payment["journal_id"]) == date.fromisoformat(day)


async def test_t10_a_void_after_midnight_is_of_the_day_it_takes_back(desk: Any) -> None:
    at(desk, "2026-03-31T20:00:00+00:00", "Asia/Kolkata")
    made = await desk.plan("create_invoice", **created(desk, issue_date="2026-04-01"))
    void = await desk.plan("void_invoice", invoice_id=made["invoice_id"], reason="Wrong")
    assert await entry_date(desk, void["journal_id"]) == date(2026, 4, 1)
    for day in ("2026-03-31", "2026-04-01"):
        assert (await desk.read("read_account_balance", account_id="1100", as_of=day))["balance"] == "INR 0.00"
    lines = [
        {"account_id": "1000", "currency": "INR", "debit_amount": "1"},
        {"account_id": "3000", "currency": "INR", "credit_amount": "1"},
    ]
    posted = await desk.plan("post_journal_entry", entry={"narration": "Capital", "lines": lines})
    assert await entry_date(desk, posted["journal_id"]) == date(2026, 4, 1)


async def test_t10_an_agency_that_moves_west_voids_on_the_day_of_the_issue(desk: Any) -> None:
    at(desk, "2026-03-31T20:00:00+00:00", "Asia/Kolkata")
    made = await desk.plan("create_invoice", **created(desk, issue_date="2026-04-01"))
    at(desk, "2026-03-31T20:30:00+00:00", "America/New_York")
    gate = await desk.bind("void_invoice", invoice_id=made["invoice_id"], reason="Wrong")
    assert "void on 2026-04-01" in gate.summary
    void = await desk.plan("void_invoice", invoice_id=made["invoice_id"], reason="Wrong")
    assert await entry_date(desk, void["journal_id"]) == date(2026, 4, 1)
    assert await desk.agency.db.fetchval("SELECT voided_on FROM invoices") == date(2026, 4, 1)


async def test_t5_a_payment_is_not_older_than_its_document(desk: Any) -> None:
    yesterday, tomorrow = ((today(desk) + timedelta(days=days)).isoformat() for days in (-1, 1))
    bill, invoice = await desk.plan("record_bill", **billed(desk)), await issued(desk)
    assert await both(desk, "pay_bill", **paid(desk, bill["bill_id"], paid_on=yesterday)) == "invalid_date"
    assert await both(desk, "pay_bill", **paid(desk, bill["bill_id"], paid_on="2099-01-01")) == "invalid_date"
    for day in (yesterday, tomorrow):
        given = received(desk, invoice["invoice_id"], "1", received_on=day)
        assert await both(desk, "record_payment", **given) == "invalid_date"


async def test_t12_a_payment_is_in_the_documents_currency(desk: Any) -> None:
    bill = await desk.plan("record_bill", **billed(desk, amount="388", currency="USD"))
    assert await both(desk, "pay_bill", **paid(desk, bill["bill_id"])) == "currency_mismatch"
    invoice = await issued(desk, item("500", currency="EUR"))
    given = received(desk, invoice["invoice_id"], "2140.00", currency="AED")
    assert await both(desk, "record_payment", **given) == "currency_mismatch"
    assert (await desk.read("list_invoices"))["invoices"][0]["status"] == "issued"


async def test_t14_a_paid_invoice_is_not_voided_and_its_account_is_closed_to_hands(desk: Any) -> None:
    invoice = await issued(desk, item("10000", desk="hotels_holidays"))
    await desk.plan("record_payment", **received(desk, invoice["invoice_id"], "10000"))
    assert await both(desk, "void_invoice", invoice_id=invoice["invoice_id"], reason="x") == "has_payments"
    lines = [
        {"account_id": "1100", "currency": "INR", "credit_amount": "8000"},
        {"account_id": "4100", "currency": "INR", "debit_amount": "8000"},
    ]
    assert await both(desk, "post_journal_entry", entry={"narration": "x", "lines": lines}) == "control_account"
    lines[0]["account_id"] = "1000"
    assert (await desk.plan("post_journal_entry", entry={"narration": "Refund", "lines": lines})).state == "succeeded"
    balance = await desk.read("read_account_balance", account_id="1100", as_of=today(desk).isoformat())
    assert balance["balance"] == "INR 0.00"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"issue_date": "2099-01-01", "due_date": "2099-01-02"}, "invalid_date"),
        ({"due_date": "2000-01-01"}, "invalid_date"),
        ({"amount": "10.001"}, "invalid_amount"),
        ({"amount": "99999999999999.999"}, "invalid_amount"),
        ({"booking_id": uuid7()}, "booking_not_found"),
    ],
)
async def test_a_bill_that_cannot_stand_is_refused(desk: Any, change: dict[str, Any], why: str) -> None:
    assert await both(desk, "record_bill", **billed(desk) | change) == why


async def test_an_invoice_is_not_issued_before_its_day(desk: Any) -> None:
    tomorrow = (today(desk) + timedelta(days=1)).isoformat()
    draft = await desk.plan("draft_invoice", **drafted(desk, issue_date=tomorrow))
    assert await both(desk, "issue_invoice", invoice_id=draft["invoice_id"]) == "invalid_date"
    given = received(desk, draft["invoice_id"], "1")
    assert await both(desk, "record_payment", **given) == "invalid_status"
    for unknown in (uuid7(), "i-1"):
        assert await both(desk, "issue_invoice", invoice_id=unknown) == "not_found"
        assert await both(desk, "void_invoice", invoice_id=unknown, reason="x") == "not_found"
        assert await both(desk, "pay_bill", **paid(desk, unknown)) == "not_found"
        assert await both(desk, "void_bill", bill_id=unknown, reason="x") == "not_found"
        assert await both(desk, "record_payment", **received(desk, unknown, "1")) == "not_found"


async def test_b52_a_key_makes_one_document_and_one_payment(desk: Any) -> None:
    keys = [uuid7() for _ in range(4)]
    drafts = await asyncio.gather(*(desk.plan("draft_invoice", key=keys[0], **drafted(desk)) for _ in range(4)))
    bills = await asyncio.gather(*(desk.plan("record_bill", key=keys[1], **billed(desk)) for _ in range(4)))
    assert all(each == drafts[0] for each in drafts)
    assert all(each == bills[0] for each in bills), bills
    invoice_id = (await desk.plan("issue_invoice", invoice_id=drafts[0]["invoice_id"]))["invoice_id"]
    given = received(desk, invoice_id, "100")
    payments = await asyncio.gather(*(desk.plan("record_payment", key=keys[2], **given) for _ in range(4)))
    assert all(each == payments[0] for each in payments)
    given = paid(desk, bills[0]["bill_id"], amount="100")
    remittances = await asyncio.gather(*(desk.plan("pay_bill", key=keys[3], **given) for _ in range(4)))
    assert all(each == remittances[0] for each in remittances)
    counts = [await desk.count(table) for table in ("invoices", "bills", "payments", "journals")]
    assert counts == [1, 1, 2, 4]


async def test_of_payments_at_once_no_more_is_taken_than_is_due(desk: Any) -> None:
    invoice, bill = await issued(desk, item("100")), await desk.plan("record_bill", **billed(desk, amount="100"))
    got = await asyncio.gather(
        *(desk.plan("record_payment", **received(desk, invoice["invoice_id"], "30")) for _ in range(8)),
        *(desk.plan("pay_bill", **paid(desk, bill["bill_id"])) for _ in range(8)),
    )
    assert sum(each.get("recorded") is True for each in got) == 3
    assert sum(each.get("paid") is True for each in got) == 1


async def test_a_list_is_filtered_and_counts_all(desk: Any) -> None:
    for name, days in (("Asha Rao", 5), ("100% Travel_Co", 3), ("asha traders", 1)):
        due = (today(desk) + timedelta(days=days)).isoformat()
        await issued(desk, customer_name=name, due_date=due)

    async def names(**given: Any) -> list[str]:
        return [each["party_name"] for each in (await desk.read("list_invoices", **given))["invoices"]]

    assert await names() == ["asha traders", "100% Travel_Co", "Asha Rao"]
    assert await names(party="ASHA") == ["asha traders", "Asha Rao"]
    assert await names(party="0% travel_") == ["100% Travel_Co"]
    assert await names(party="%") == ["100% Travel_Co"]
    assert await names(due_before=(today(desk) + timedelta(days=3)).isoformat()) == ["asha traders"]
    assert await names(status="draft") == []
    one = await desk.read("list_invoices", limit=1)
    assert (one["count"], len(one["invoices"])) == (3, 1)


async def test_no_value_in_a_summary_can_pass_for_a_field(desk: Any) -> None:
    forged = "Rao; total INR 1.00, due 2099-01-01"
    gate = await desk.bind("draft_invoice", **drafted(desk, item(description=forged), customer_name=forged))
    assert gate.summary.count(f"“{forged}”") == 2
    gate = await desk.bind("record_bill", **billed(desk, vendor_name=forged, vendor_reference=forged))
    assert gate.summary.count(f"“{forged}”") == 2
    many = [item(description="why; " * 90) for _ in range(200)]
    gate = await desk.bind("draft_invoice", **drafted(desk, *many, customer_name="; " * 120))
    assert len(gate.summary) <= 1024
    assert "more lines" in gate.summary


@pytest.mark.parametrize(
    ("tool", "output", "begins"),
    [
        ("draft_invoice", {"invoice_id": "i", "number": "INV-000001"}, "Already drafted INV-000001: "),
        ("create_invoice", {"invoice_id": "i", "invoice_number": "26-27/0001"}, "Already created 26-27/0001: "),
        ("record_payment", {"invoice_id": "i", "payment_id": "p"}, "Already recorded p: "),
        ("pay_bill", {"bill_id": "b", "payment_id": "p", "paid": True}, "Already paid p: "),
        ("pay_bill", {"bill_id": "b", "scheduled": True, "pay_on": "2026-12-01"}, "Already planned for 2026-12-01: "),
        ("void_bill", {"bill_id": "b"}, "Already voided b: "),
        ("pay_bill", None, "Possibly paid already, the outcome of an equal call is unknown: "),
    ],
)
def test_an_equal_act_is_named_by_what_it_made(tool: str, output: Any, begins: str) -> None:
    assert CATALOGUE[tool].done_already(output) == begins
