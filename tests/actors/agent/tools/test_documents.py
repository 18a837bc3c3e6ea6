"""The accounting desk's documents: drafted, issued, paid, voided, and the journals they post."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, cast

import pytest

from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.tool import ApprovalProposal
from voyagent.actors.domain.audit import canonical
from voyagent.actors.domain.ids import uuid7

JOURNAL = """
SELECT a.code, l.debit, l.credit FROM journal_lines l JOIN ledger_accounts a ON a.id = l.account_id
 WHERE l.journal_id = $1 ORDER BY l.line_no
"""


def today(desk: Any) -> date:
    return cast("date", desk.context.today)


def at(desk: Any, moment: str, zone: str) -> None:
    """Move the clock, perhaps back, and the agency."""
    desk.context = replace(desk.context, settings=replace(desk.context.settings, timezone=zone))
    desk.clock.skip((datetime.fromisoformat(moment) - desk.clock.now()).total_seconds())


def item(price: str = "1000", **given: Any) -> dict[str, Any]:
    return {"description": "Travel services", "quantity": 1, "unit_price": price, "currency": "INR", **given}


def drafted(desk: Any, *items: dict[str, Any], **given: Any) -> dict[str, Any]:
    days = {"issue_date": today(desk).isoformat(), "due_date": (today(desk) + timedelta(days=30)).isoformat()}
    return {"customer_name": "Asha Rao", **days, "line_items": list(items) or [item()], **given}


def created(desk: Any, *lines: dict[str, Any], **given: Any) -> dict[str, Any]:
    invoice = {
        "invoice_number": "26-27/0001",
        "client_id": "client-1",
        "issue_date": today(desk).isoformat(),
        "currency": "INR",
        "lines": list(lines) or [{"description": "Ticket", "unit_price": "1000"}],
        "billing_address": {"attention": "Asha Rao"},
    }
    return {"invoice": invoice | given}


def billed(desk: Any, **given: Any) -> dict[str, Any]:
    bill = {
        "vendor_name": "Emirates",
        "vendor_reference": "EK/2026/77",
        "issue_date": today(desk).isoformat(),
        "due_date": (today(desk) + timedelta(days=15)).isoformat(),
        "amount": "5000.00",
        "currency": "INR",
    }
    return bill | given


def received(desk: Any, invoice_id: str, amount: str, **given: Any) -> dict[str, Any]:
    payment = {"amount": amount, "currency": "INR", "received_on": today(desk).isoformat(), "method": "upi"}
    return payment | {"invoice_id": invoice_id} | given


def paid(desk: Any, bill_id: str, **given: Any) -> dict[str, Any]:
    return {
        "bill_id": bill_id,
        "currency": "INR",
        "method": "bank_transfer",
        "paid_on": today(desk).isoformat(),
        **given,
    }


def reason(output: Any, key: str = "reason") -> str:
    assert isinstance(output, dict), output
    assert output.state == "failed"
    assert output["detail"]
    return cast("str", output[key])


async def both(desk: Any, tool: str, **given: Any) -> str:
    """Why nobody is asked, which is also why it would not be done."""
    key = "error_code" if tool == "draft_invoice" else "reason"
    before = [await desk.count(table) for table in ("journals", "payments", "invoices", "bills")]
    asked = reason(await desk.bind(tool, **given), key)
    assert reason(await desk.plan(tool, **given), key) == asked
    assert [await desk.count(table) for table in ("journals", "payments", "invoices", "bills")] == before
    return asked


async def issued(desk: Any, *items: dict[str, Any], **given: Any) -> Any:
    draft = await desk.plan("draft_invoice", **drafted(desk, *items, **given))
    assert draft.state == "succeeded", draft
    return await desk.plan("issue_invoice", invoice_id=draft["invoice_id"])


async def journal(desk: Any, journal_id: str) -> list[tuple[str, str, str]]:
    """Side, account and amount of each line."""
    rows = await desk.agency.db.fetch(JOURNAL, journal_id)
    return [
        ("Dr" if row["debit"] else "Cr", row["code"], f"{(row['debit'] or row['credit']).normalize():f}")
        for row in rows
    ]


async def entry_date(desk: Any, journal_id: str) -> date:
    return cast("date", await desk.agency.db.fetchval("SELECT entry_date FROM journals WHERE id = $1", journal_id))


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


YESTERDAY = timedelta(days=-1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"line_items": [item(), item(currency="USD")]}, "mixed_currency"),
        ({"due_date": "2000-01-01"}, "invalid_date"),
        ({"issue_date": "2026-02-30"}, "invalid_date"),
        ({"issue_date": "next week"}, "invalid_date"),
        ({"issue_date": "2099-01-01", "due_date": "2099-02-01"}, "invalid_date"),
        ({"line_items": [item("-5")]}, "invalid_amount"),
        ({"line_items": [item("5.00001")]}, "invalid_amount"),
        ({"line_items": [item("1e3")]}, "invalid_amount"),
        ({"line_items": [item("0.00")]}, "invalid_amount"),
        ({"line_items": [item("99999999999999", quantity=2)]}, "invalid_amount"),
        ({"line_items": [item(booking_id="b-1")]}, "booking_not_found"),
    ],
)
async def test_b50_a_draft_that_cannot_stand_is_refused(desk: Any, change: dict[str, Any], why: str) -> None:
    assert await both(desk, "draft_invoice", **drafted(desk) | change) == why


async def test_b50_a_draft_keeps_its_lines_and_notes(desk: Any) -> None:
    given = drafted(desk, item("26.0347", quantity=95, desk="ticketing_visa"), item("1"), notes="Net 30")
    made = await desk.plan("draft_invoice", **given)
    row = await desk.agency.db.fetchrow("SELECT notes, total FROM invoices WHERE id = $1", made["invoice_id"])
    assert (row["notes"], f"{row['total']:f}") == ("Net 30", "2474.3000")
    lines = await desk.agency.db.fetch("SELECT * FROM invoice_lines ORDER BY line_no")
    assert [(line["desk"], f"{line['quantity'].normalize():f}", f"{line['subtotal']:f}") for line in lines] == [
        ("ticketing_visa", "95", "2473.2965"),
        ("other", "1", "1.0000"),
    ]


async def test_t6_the_total_that_is_printed_can_be_paid(desk: Any) -> None:
    invoice = await issued(desk, item("26.0347", quantity=95))
    assert invoice["total_amount"] == "2473.30"
    for amount, why in (("2473.2965", "invalid_amount"), ("2473.31", "overpayment")):
        assert await both(desk, "record_payment", **received(desk, invoice["invoice_id"], amount)) == why
    done = await desk.plan("record_payment", **received(desk, invoice["invoice_id"], "2473.30"))
    assert (done["invoice_status"], done["amount_due"]) == ("paid", "0.00")


def tax(amount: str, bps: int = 1960, taxable: str = "70.06", **given: Any) -> dict[str, Any]:
    name = {"regime": "gst_india", "code": "IGST"}
    return {**name, "rate_bps": bps, "taxable_amount": taxable, "tax_amount": amount, **given}


async def test_t6_a_tax_exact_to_four_decimals_is_paid_in_minor_units(desk: Any) -> None:
    line = {"description": "Fee", "unit_price": "70.06", "taxes": [tax("13.7318")]}
    made = await desk.plan("create_invoice", **created(desk, line | {"subtotal": "70.06", "total": "83.7918"}))
    assert made == {"created": True, "invoice_id": made["invoice_id"], "invoice_number": "26-27/0001"}
    posted = await desk.agency.db.fetchval("SELECT id FROM journals")
    assert await journal(desk, posted) == [("Dr", "1100", "83.79"), ("Cr", "2130", "13.73"), ("Cr", "4200", "70.06")]
    done = await desk.plan("record_payment", **received(desk, made["invoice_id"], "83.79"))
    assert done["invoice_status"] == "paid"


async def test_t6_what_rounding_leaves_goes_to_its_own_account(desk: Any) -> None:
    halves = [item("10.005", desk="ticketing_visa"), item("10.005", desk="hotels_holidays")]
    invoice = await issued(desk, *halves)
    assert invoice["total_amount"] == "20.01"
    assert await journal(desk, invoice["journal_id"]) == [
        ("Dr", "1100", "20.01"),
        ("Dr", "7000", "0.01"),
        ("Cr", "4000", "10.01"),
        ("Cr", "4100", "10.01"),
    ]


@pytest.mark.parametrize(
    ("currency", "price", "total"), [("KWD", "1.0005", "1.001"), ("JPY", "1239.7", "1240"), ("USD", "1.005", "1.01")]
)
async def test_t6_a_total_has_its_currencys_decimals(desk: Any, currency: str, price: str, total: str) -> None:
    assert (await issued(desk, item(price, currency=currency)))["total_amount"] == total


@pytest.mark.parametrize(
    ("cgst", "sgst", "taxable", "bps", "journals"),
    [
        ("2.53", "2.53", "101.00", 250, [("2110", "2.53"), ("2120", "2.53"), ("4200", "101")]),
        ("292.0950", "292.0950", "3245.50", 900, [("2110", "292.1"), ("2120", "292.1"), ("4200", "3245.5")]),
        ("292.10", "292.10", "3245.50", 900, [("2110", "292.1"), ("2120", "292.1"), ("4200", "3245.5")]),
        ("2.53", "2.52", "101.00", 250, None),
        ("2.54", "2.54", "101.00", 250, None),
    ],
)
async def test_t8_the_halves_of_a_tax_are_equal_and_right(
    desk: Any, cgst: str, sgst: str, taxable: str, bps: int, journals: Any
) -> None:
    halves = [tax(cgst, bps, taxable, code="CGST"), tax(sgst, bps, taxable, code="SGST")]
    given = created(desk, {"description": "Fee", "unit_price": taxable, "taxes": halves})
    if journals is None:
        assert await both(desk, "create_invoice", **given) == "validation_failed"
        return
    assert (await desk.plan("create_invoice", **given)).state == "succeeded"
    posted = await journal(desk, await desk.agency.db.fetchval("SELECT id FROM journals"))
    assert [(code, amount) for side, code, amount in posted if side == "Cr"] == journals


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ({"subtotal": "999"}, {}),
        ({"total": "1000.01"}, {}),
        ({"currency": "USD"}, {}),
        ({"booking_id": "b-1"}, {}),
        ({}, {"due_date": "2000-01-01"}),
        ({}, {"issue_date": "2099-01-01"}),
        ({"unit_price": "0"}, {}),
    ],
)
async def test_an_invoice_whose_sums_are_wrong_is_not_created(desk: Any, line: Any, given: Any) -> None:
    wrong = created(desk, {"description": "Ticket", "unit_price": "1000"} | line, **given)
    assert await both(desk, "create_invoice", **wrong) == "validation_failed"


@pytest.mark.parametrize(
    ("given", "party"),
    [
        ({"client_name": "Rao & Sons"}, "Rao & Sons"),
        ({}, "Asha Rao"),
        ({"billing_address": {"street": "1 Fort Road"}}, "client-1"),
    ],
)
async def test_the_party_of_an_invoice_is_the_best_name_there_is(desk: Any, given: Any, party: str) -> None:
    made = await desk.plan("create_invoice", **created(desk, **given))
    name = "SELECT party_name FROM invoices WHERE id = $1"
    assert await desk.agency.db.fetchval(name, made["invoice_id"]) == party


async def test_the_party_of_an_invoice_is_the_passenger_with_that_id(desk: Any) -> None:
    person = await desk.person("Meera Iyer")
    made = await desk.plan("create_invoice", **created(desk, client_id=person, billing_address={}))
    name = "SELECT party_name FROM invoices WHERE id = $1"
    assert await desk.agency.db.fetchval(name, made["invoice_id"]) == "Meera Iyer"


async def test_t9_fifty_drafts_at_once_have_consecutive_numbers(desk: Any) -> None:
    good, bad = drafted(desk), drafted(desk, item(), item(booking_id=uuid7()))
    made = await asyncio.gather(
        *(desk.plan("draft_invoice", **(bad if place % 10 == 3 else good)) for place in range(50))
    )
    numbers = sorted(each["number"] for each in made if each["drafted"])
    assert numbers == [f"INV-{count:06}" for count in range(1, 46)]
    assert await desk.count("invoices") == 45


async def test_t9_a_number_given_by_hand_is_skipped_and_never_given_twice(desk: Any) -> None:
    by_hand = drafted(desk, number="INV-000002")
    assert (await desk.plan("draft_invoice", **drafted(desk)))["number"] == "INV-000001"
    assert (await desk.plan("draft_invoice", **by_hand))["number"] == "INV-000002"
    assert (await desk.plan("draft_invoice", **drafted(desk)))["number"] == "INV-000003"
    assert await both(desk, "draft_invoice", **by_hand) == "invoice_number_conflict"
    assert await both(desk, "create_invoice", **created(desk, invoice_number="INV-000003")) == "invoice_number_conflict"


async def test_t9_a_financial_year_begins_its_own_series(desk: Any) -> None:
    await desk.agency.db.execute(
        "INSERT INTO tenant_settings (tenant_id, invoice_series, created_at) VALUES ($1, '{fy}/{n:04}', now())"
        " ON CONFLICT (tenant_id) DO UPDATE SET invoice_series = '{fy}/{n:04}'",
        desk.agency.tenant_id,
    )
    at(desk, "2027-03-30T12:00:00+00:00", "Asia/Kolkata")
    numbers = []
    for day in ("2027-03-31", "2027-03-31", "2027-04-01", "2027-03-31", "2027-04-02"):
        made = await desk.plan("draft_invoice", **drafted(desk, issue_date=day, due_date="2027-05-01"))
        numbers.append(made["number"])
    assert numbers == ["26-27/0001", "26-27/0002", "27-28/0001", "26-27/0003", "27-28/0002"]


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
