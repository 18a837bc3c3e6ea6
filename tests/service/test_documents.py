"""Invoices, bills and reversals over the real HTTP surface, each step approved by a person."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.rehearsal import ToolUse, Turn
from voyagent.actors.domain.numbers import Series

CAPITAL = "Post a journal: debit 1000 and credit 3000 with INR 1200.50"
BALANCE = """
SELECT coalesce(sum(l.debit), 0) - coalesce(sum(l.credit), 0) FROM journal_lines l
  JOIN ledger_accounts a ON a.id = l.account_id WHERE a.code = $1
"""


async def granted(person: Any, session: str, events: list[Any], tool: str, *shown: str) -> dict[str, Any]:
    """Grant the approval that waits; the tool's output."""
    assert [event.kind for event in events][-2:] == ["approval_request", "final"], events
    request = events[-2].data
    assert request["tool_name"] == tool
    for part in shown:
        assert part in request["approval_summary"]
    status, body = await person.call("POST", f"/approvals/{request['approval_id']}/resolve", json={"granted": True})
    assert (status, body["status"]) == (200, "granted"), body
    rest = await person.replay(session, events[-1].id)
    output: dict[str, Any] = next(each.data["tool_output"] for each in rest if each.kind == "tool_result")
    return output


async def does(person: Any, session: str, words: str, tool: str, *shown: str) -> dict[str, Any]:
    """Say it, and grant what it leads to."""
    return await granted(person, session, await person.say(session, words), tool, *shown)


async def test_b58_an_invoice_is_drafted_issued_and_paid_in_two_parts(asha: Any, admin: Any) -> None:
    session = await asha.session()
    words = "Draft an invoice for Acme Travels over INR 45,200.00"
    draft = await does(asha, session, words, "draft_invoice", "INR 45200.00", "Acme Travels", "due ")
    assert (draft["number"], draft["status"]) == ("INV-000001", "draft")
    issued = await does(asha, session, "Please issue it, the invoice", "issue_invoice", "INV-000001", "INR 45200.00")
    assert issued["status"] == "issued"
    assert await admin.value(BALANCE, "1100") == 45200

    words = "Record a payment of INR 5,200.00 by UPI on invoice INV-000001, reference UTR-77"
    part = await does(asha, session, words, "record_payment", "INR 5200.00", "of INR 45200.00 due", "UTR-77", "Acme")
    assert (part["invoice_status"], part["amount_due"]) == ("partially_paid", "40000.00")
    words = "Record a payment of INR 40,000.00 on invoice INV-000001"
    rest = await does(asha, session, words, "record_payment", "of INR 40000.00 due")
    assert (rest["invoice_status"], rest["amount_due"]) == ("paid", "0.00")
    assert await admin.value(BALANCE, "1100") == 0
    assert await admin.value(BALANCE, "1000") == 45200
    kinds = "SELECT count(*) FROM audit_events WHERE kind = 'record_payment' AND status = 'succeeded'"
    assert await admin.value(kinds) == 2


async def test_b58_an_invoice_with_a_number_given_by_hand_is_created_with_its_taxes(asha: Any, admin: Any) -> None:
    session = await asha.session()
    words = "Create invoice 26-27/0007 for Acme Travels over INR 1,000.00 with IGST 18 %"
    made = await does(
        asha, session, words, "create_invoice", "26-27/0007", "INR 1180.00", "IGST 180.00", "Acme Travels"
    )
    assert (made["created"], made["invoice_number"]) == (True, "26-27/0007")
    balances = [await admin.value(BALANCE, code) for code in ("1100", "2130", "4200")]
    assert balances == [1180, -180, -1000]


async def test_b58_a_bill_is_recorded_and_paid(asha: Any, admin: Any) -> None:
    session = await asha.session()
    words = "Record a bill from Emirates over INR 9,000.00, reference EK/77"
    bill = await does(asha, session, words, "record_bill", "INR 9000.00", "Emirates", "EK/77")
    assert bill["number"] == "BILL-000001"
    assert await admin.value(BALANCE, "2000") == -9000
    paid = await does(
        asha, session, "Pay the bill BILL-000001", "pay_bill", "Pay INR 9000.00", "BILL-000001", "Emirates"
    )
    assert (paid["paid"], paid["bill_status"], paid["amount_due"]) == (True, "paid", "0.00")
    assert await admin.value(BALANCE, "2000") == 0
    listed = await asha.say(session, "Which bills are open?")
    told = next(each.data["tool_output"] for each in listed if each.kind == "tool_result")
    assert told == {"count": 0, "bills": []}


async def test_t35_what_is_left_after_a_commission_is_due_on_one_document(asha: Any, admin: Any) -> None:
    session = await asha.session()
    words = "Draft an invoice for Sub Agent over INR 9,154.00 less INR 873.34 commission"
    sums = "INR 8280.66 (gross 9154.00, discount -873.34)"
    own = "1 x INR 9154.00 discount -873.34 Travel services (commission)"
    draft = await does(asha, session, words, "draft_invoice", sums, own, "Sub Agent")
    assert (draft["total_amount"], draft["discount_amount"]) == ("8280.66", "873.34")
    issued = await does(asha, session, "Please issue it, the invoice", "issue_invoice", "INV-000001", sums, own)
    assert (issued["total_amount"], issued["discount_amount"]) == ("8280.66", "873.34")
    assert await admin.value("SELECT count(*) FROM bills") == 0
    day = await admin.value("SELECT issue_date FROM invoices")
    aging = await asha.get(f"/reports/receivables?from={day}&to={day}")
    assert aging["total_outstanding"] == {"amount": "8280.66", "currency": "INR"}
    assert aging["reconciliation"] == {"aging_total": "8280.66", "control_account": "8280.66", "difference": "0.00"}
    behind = await asha.get(f"/reports/receivables/invoices?from={day}&to={day}")
    assert [each["total"]["amount"] for each in behind["items"]] == ["8280.66"]
    trial = await asha.get("/reports/trial-balance")
    assert {row["code"]: row["balance"] for row in trial["accounts"]} == {"1100": "8280.66", "4200": "-8280.66"}
    assert trial["in_balance"] is True
    inputs = "SELECT inputs->'line_items'->0->>'discount' FROM audit_events WHERE kind = 'draft_invoice' LIMIT 1"
    assert await admin.value(inputs) == "873.34"
    words = "Record a payment of INR 8,280.66 on invoice INV-000001"
    paid = await does(asha, session, words, "record_payment", "of INR 8280.66 due")
    assert (paid["invoice_status"], paid["amount_due"]) == ("paid", "0.00")
    assert await admin.value(BALANCE, "1100") == 0


async def test_t35_taxes_of_a_discounted_invoice_are_on_what_is_left(asha: Any, admin: Any) -> None:
    session = await asha.session()
    words = (
        "Create invoice 26-27/0035 for Acme Travels over INR 9,154.00 with a discount of INR 873.34"
        " and CGST 9 % and SGST 9 %"
    )
    sums = "INR 9771.18 (gross 9154.00, discount -873.34, tax 1490.52)"
    made = await does(asha, session, words, "create_invoice", "26-27/0035", sums, "CGST 745.26", "SGST 745.26")
    assert (made["invoice_number"], made["discount_amount"]) == ("26-27/0035", "873.34")
    balances = [f"{await admin.value(BALANCE, code):.2f}" for code in ("1100", "2110", "2120", "4200")]
    assert balances == ["9771.18", "-745.26", "-745.26", "-8280.66"]


async def test_a_double_click_on_pay_pays_once(asha: Any, admin: Any) -> None:
    session = await asha.session()
    await does(asha, session, "Record a bill from Emirates over INR 9,000.00, reference EK/77", "record_bill")
    events = await asha.say(session, "Pay the bill BILL-000001")
    path = f"/approvals/{events[-2].data['approval_id']}/resolve"
    clicks = await asyncio.gather(*(asha.call("POST", path, json={"granted": True}) for _ in range(8)))
    assert sorted(status for status, _ in clicks) == [200, *[409] * 7]
    await asha.replay(session, events[-1].id)
    assert await admin.value("SELECT count(*) FROM payments") == 1
    assert await admin.value(BALANCE, "1000") == -9000
    assert await admin.value("SELECT status || amount_paid FROM bills") == "paid9000.0000"


async def test_t34_of_two_approved_payments_of_one_bill_one_is_made(asha: Any, admin: Any) -> None:
    first, second = await asha.session(), await asha.session()
    await does(asha, first, "Record a bill from Emirates over INR 9,000.00, reference EK/77", "record_bill")
    asked = [await asha.say(session, "Pay the bill BILL-000001") for session in (first, second)]
    done = await granted(asha, first, asked[0], "pay_bill")
    assert done["paid"] is True
    again = await granted(asha, second, asked[1], "pay_bill")
    assert again["error"].startswith("changed_since_approval")
    assert await admin.value("SELECT count(*) FROM payments") == 1


async def test_b58_a_void_takes_back_the_issue(asha: Any, admin: Any) -> None:
    session = await asha.session()
    await does(asha, session, "Draft an invoice for Acme Travels over INR 100.00", "draft_invoice")
    await does(asha, session, "Please issue it, the invoice", "issue_invoice")
    words = "Void the invoice INV-000001 because the customer is wrong"
    void = await does(asha, session, words, "void_invoice", "INV-000001", "the customer is wrong", "INR 100.00")
    assert void["status"] == "void"
    assert await admin.value(BALANCE, "1100") == 0
    assert await admin.value("SELECT reverses IS NOT NULL FROM journals WHERE id = $1", void["journal_id"])
    await does(asha, session, "Record a bill from Emirates over INR 9,000.00, reference EK/77", "record_bill")
    void = await does(asha, session, "Void the bill because it came twice", "void_bill", "BILL-000001", "Emirates")
    assert void["status"] == "void"
    assert await admin.value(BALANCE, "2000") == 0


async def test_b58_a_journal_is_reversed(asha: Any, admin: Any) -> None:
    session = await asha.session()
    posted = await does(asha, session, CAPITAL, "post_journal_entry")
    done = await does(
        asha, session, "Reverse the journal", "reverse_journal_entry", posted["journal_id"], "INR 1200.50"
    )
    assert done["reversed"] is True
    assert await admin.value(BALANCE, "1000") == 0
    again = await asha.say(session, "Reverse the journal")
    told = next(each.data["tool_output"] for each in again if each.kind == "tool_result")
    assert told["reason"] == "already_reversed"


async def test_t9_an_agency_sets_its_series_and_the_next_draft_is_of_it(asha: Any, admin: Any) -> None:
    status, _ = await asha.call("PATCH", "/tenant-settings", json={"invoice_series": "{fy}/{n:04}"})
    assert status == 200
    session = await asha.session()
    draft = await does(asha, session, "Draft an invoice for Acme Travels over INR 100.00", "draft_invoice")
    day = await admin.value("SELECT issue_date FROM invoices")
    assert draft["number"] == Series("{fy}/{n:04}").number(1, day)
    changed = "SELECT inputs->'after'->>'invoice_series' FROM audit_events WHERE kind = 'settings.changed'"
    assert await admin.value(changed) == "{fy}/{n:04}"
    status, body = await asha.call("PATCH", "/tenant-settings", json={"invoice_series": "INV_{n}"})
    assert (status, body["detail"][0]["ctx"]["code"]) == (422, "invalid_series")


async def test_t34_an_approved_payment_runs_once_whatever_is_said_later(asha: Any, admin: Any) -> None:
    session = await asha.session()
    await does(asha, session, "Draft an invoice for Acme Travels over INR 1,000.00", "draft_invoice")
    await does(asha, session, "Please issue it, the invoice", "issue_invoice")
    words = "Record a payment of INR 500.00 on invoice INV-000001"
    await does(asha, session, words, "record_payment")
    for words in ("Thanks", "Which invoices are open?", "Show me the ledger accounts"):
        await asha.say(session, words)
    assert await admin.value("SELECT count(*) FROM payments") == 1
    assert await admin.value("SELECT amount_paid FROM invoices") == 500
    events = await asha.say(session, "Record a payment of INR 200.00 on invoice INV-000001")
    path = f"/approvals/{events[-2].data['approval_id']}/resolve"
    assert (await asha.call("POST", path, json={"granted": False}))[0] == 200
    assert (await asha.call("POST", path, json={"granted": True}))[0] == 409
    assert await admin.value("SELECT count(*) FROM payments") == 1


async def test_t34_b3_the_stored_amount_is_paid_whatever_the_model_asks_for_when_it_is_resumed(
    asha: Any, running: Any, admin: Any
) -> None:
    session = await asha.session()
    await does(asha, session, "Draft an invoice for Acme Travels over INR 1,000.00", "draft_invoice")
    await does(asha, session, "Please issue it, the invoice", "issue_invoice")
    invoice_id, day = [str(await admin.value(f"SELECT {column} FROM invoices")) for column in ("id", "issue_date")]

    def pay(amount: str) -> Turn:
        received = {"amount": amount, "currency": "INR", "received_on": day, "method": "upi"}
        return Turn(ToolUse("record_payment", {"invoice_id": invoice_id, **received}))

    running.rehearsal.play(
        Turn(ToolUse("handoff", {"domain": "accounting", "goal": "the payment"})), pay("500.00"), pay("400.00")
    )
    events = await asha.say(session, "Acme has paid 500")
    await admin.close_actor(session)
    output = await granted(asha, session, events, "record_payment", "INR 500.00")
    assert (output["invoice_status"], output["amount_due"]) == ("partially_paid", "500.00")
    await admin.close_actor(session)
    waiting = "SELECT summary FROM pending_approvals WHERE status = 'pending'"
    assert "INR 400.00" in await admin.value(waiting)
    assert await admin.value("SELECT count(*) FROM payments") == 1
    assert await admin.value("SELECT amount_paid FROM invoices") == 500


async def test_an_equal_payment_says_first_that_one_was_made(asha: Any) -> None:
    session = await asha.session()
    await does(asha, session, "Draft an invoice for Acme Travels over INR 1,000.00", "draft_invoice")
    await does(asha, session, "Please issue it, the invoice", "issue_invoice")
    words = "Record a payment of INR 500.00 on invoice INV-000001"
    first = await does(asha, session, words, "record_payment")
    events = await asha.say(session, words)
    summary = events[-2].data["approval_summary"]
    assert summary.startswith(f"Already recorded {first['payment_id']}: Record payment of INR 500.00")


async def test_b5_only_who_keeps_the_books_decides_about_a_document(asha: Any, member: Any) -> None:
    session = await asha.session()
    events = await asha.say(session, "Draft an invoice for Acme Travels over INR 100.00")
    path = f"/approvals/{events[-2].data['approval_id']}/resolve"
    for role in ("agent", "ticketing_lead"):
        status, _ = await (await member(asha, role)).call("POST", path, json={"granted": True})
        assert status == 403, role
    status, _ = await (await member(asha, "accounting_lead")).call("POST", path, json={"granted": True})
    assert status == 200
