"""The script of the accounting desk, turn by turn."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.actors.agent.rehearsed.conversation import Conversation, asked


def test_a_document_may_be_dated_in_the_past() -> None:
    talk = Conversation("accounting", None, "Draft an invoice for Acme over INR 500.00 dated 2026-08-01 and issue it")
    [(_, draft)] = asked(talk.next()[1])
    assert (draft["issue_date"], draft["due_date"]) == ("2026-08-01", "2026-08-31")
    words = "Record a bill from Emirates over AED 900.00 reference EK-7 dated 2026-08-01 due 2026-08-11"
    [(tool, bill)] = asked(Conversation("accounting", None, words).next()[1])
    assert (tool, bill["vendor_name"], bill["vendor_reference"]) == ("record_bill", "Emirates", "EK-7")
    assert (bill["issue_date"], bill["due_date"]) == ("2026-08-01", "2026-08-11")


def test_an_invoice_is_drafted_and_then_issued() -> None:
    talk = Conversation("accounting", None, "Draft an invoice for Acme Travels over INR 45,200.00 and issue it")
    _, calls = talk.next()
    [(name, draft)] = asked(calls)
    assert name == "draft_invoice"
    assert draft["customer_name"] == "Acme Travels"
    assert (draft["issue_date"], draft["due_date"]) == ("2026-11-24", "2026-12-24")
    assert draft["line_items"][0]["unit_price"] == "45200.00"
    talk.results(
        {"drafted": True, "invoice_id": "i-1", "number": "INV-1", "total_amount": "45200.00", "currency": "INR"}
    )
    assert asked(talk.next()[1]) == [("issue_invoice", {"invoice_id": "i-1"})]
    talk.results({"issued": True, "number": "INV-1", "total_amount": "45200.00", "currency": "INR"})
    words, calls = talk.next()
    assert "Issued: INV-1" in words
    assert calls == []


@pytest.mark.parametrize(
    ("text", "call", "says"),
    [
        ("Which invoices are open?", ("list_invoices", {"status": "open"}), "There are 0 invoices"),
        ("Show the chart of accounts", ("list_ledger_accounts", {}), "There are 0 accounts"),
        (
            "What is the balance of account 1000 on 2026-11-20?",
            ("read_account_balance", {"account_id": "1000", "as_of": "2026-11-20"}),
            "The balance is INR 0.00.",
        ),
        (
            "Which tax rates hold on 2026-04-01?",
            ("list_tax_rates", {"on": "2026-04-01"}),
            "1 tax rates hold on 2026-04-01.\ngst_india IGST standard: 1800 basis points",
        ),
    ],
)
def test_accounting_lists_what_is_asked_for(text: str, call: tuple[str, dict[str, Any]], says: str) -> None:
    talk = Conversation("accounting", None, text)
    assert asked(talk.next()[1]) == [call]
    rate = {"regime": "gst_india", "code": "IGST", "supply": "standard", "rate_bps": 1800}
    lists = {"accounts": [], "invoices": [], "on": "2026-04-01", "rates": [rate]}
    talk.results({"count": len(lists["rates"]) if "tax" in text else 0, "balance": "INR 0.00", **lists})
    words, calls = talk.next()
    assert says in words
    assert calls == []


def test_a_journal_is_posted_with_what_was_said_and_asked_for_what_was_not() -> None:
    talk = Conversation("accounting", None, "Post a journal: debit 1000")
    words, calls = talk.next()
    assert "how much" in words
    assert calls == []
    talk.say("Credit 3000 with INR 500.00, as a journal")
    [(name, given)] = asked(talk.next()[1])
    assert name == "post_journal_entry"
    assert given["entry"]["lines"] == [
        {"account_id": "1000", "currency": "INR", "debit_amount": "500.00"},
        {"account_id": "3000", "currency": "INR", "credit_amount": "500.00"},
    ]
    talk.results({"posted": True, "journal_id": "j-1"})
    assert "Posted: journal j-1." in talk.next()[0]


def test_an_invoice_with_a_number_given_by_hand_is_created_with_its_taxes() -> None:
    words = "Create invoice 26-27/0007 for Acme Travels over INR 1,000.00 with CGST 9 % and SGST 9 %, due 24 December"
    talk = Conversation("accounting", None, words)
    [call] = talk.next()[1]
    taxes = [
        {"regime": "gst_india", "code": code, "rate_bps": 900, "taxable_amount": "1000.00"} for code in ("CGST", "SGST")
    ]
    invoice = call.input["invoice"]
    assert call.name == "create_invoice"
    assert [invoice[name] for name in ("invoice_number", "client_name", "issue_date", "due_date", "currency")] == [
        "26-27/0007",
        "Acme Travels",
        "2026-11-24",
        "2026-12-24",
        "INR",
    ]
    assert invoice["lines"] == [{"description": "Travel services", "unit_price": "1000.00", "taxes": taxes}]
    talk.results({"created": True, "invoice_id": "i-7", "invoice_number": "26-27/0007"})
    assert talk.next() == ("Created and issued: 26-27/0007.", [])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("over INR 9,154.00 less INR 873.34 commission", {"discount": "873.34", "discount_reason": "commission"}),
        ("over INR 9,154.00, less INR 1,873.34", {"discount": "1873.34"}),
        ("with a discount of INR 50 over INR 9,154.00", {"discount": "50"}),
        ("over INR 9,154.00 minus INR 0.5 and issue it", {"discount": "0.5"}),
        ("over INR 9,154.00, please do it in less than 20 minutes", {}),
    ],
)
def test_what_is_deducted_is_the_discount_of_the_line(words: str, line: dict[str, Any]) -> None:
    [(_, draft)] = asked(Conversation("accounting", None, f"Draft an invoice for Acme Travels {words}").next()[1])
    priced = {"description": "Travel services", "quantity": 1, "unit_price": "9154.00", "currency": "INR"}
    assert draft["line_items"] == [priced | line]
    words = f"Create invoice 26-27/0007 for Acme Travels {words} with IGST 18 %"
    [(_, created)] = asked(Conversation("accounting", None, words).next()[1])
    [made] = created["invoice"]["lines"]
    assert {name: made[name] for name in made if name.startswith("discount")} == line
    left = Decimal("9154.00") - Decimal(line.get("discount", "0"))
    assert [Decimal(tax["taxable_amount"]) for tax in made["taxes"]] == [left]


@pytest.mark.parametrize("words", ["Draft an invoice for Acme", "Create invoice 26-27/0007 for Acme"])
def test_a_discount_in_another_currency_is_asked_for_again(words: str) -> None:
    said, calls = Conversation("accounting", None, f"{words} over INR 9,154.00 less USD 10").next()
    assert ("in the currency of its invoice, INR" in said, calls) == (True, [])


def test_the_amount_of_an_invoice_is_asked_for() -> None:
    words, calls = Conversation("accounting", None, "Create invoice 26-27/0007 for Acme Travels").next()
    assert ("Over which amount" in words, calls) == (True, [])


def test_a_statement_is_fetched_and_reconciled() -> None:
    talk = Conversation(
        "accounting", None, "Fetch the BSP statement of IN from 2026-11-16 to 2026-11-22 and reconcile it"
    )
    period = {"country": "IN", "period_start": "2026-11-16", "period_end": "2026-11-22"}
    assert asked(talk.next()[1]) == [("fetch_bsp_statement", period)]
    statement = {"report_id": "r-1", "country": "IN", "transaction_count": 3, "net_remittance": "INR 44,326.66"}
    talk.results(statement)
    words, calls = talk.next()
    assert "to remit INR 44,326.66" in words
    assert asked(calls) == [("reconcile_bsp", {"report_id": "r-1"})]
    issue = {"outcome": "discrepancy", "evidence": "INR 300.00 more than expected."}
    talk.results({"reconciled": True, "summary": {"matched": 2, "matched_amount": "INR 9,000.00"}, "issues": [issue]})
    assert talk.next() == ("2 match (INR 9,000.00).\ndiscrepancy: INR 300.00 more than expected.", [])
    talk.say("Reconcile it again")
    assert asked(talk.next()[1]) == [("reconcile_bsp", {"report_id": "r-1"})]


def test_a_statement_that_is_not_there_is_told_and_not_reconciled() -> None:
    talk = Conversation("accounting", None, "Reconcile the BSP")
    words, calls = talk.next()
    assert ("which billing period" in words, calls) == (True, [])
    talk.say("of IN, 2026-11-16 to 2026-11-22 of the BSP, and reconcile")
    talk.next()
    talk.results({"fetched": False, "reason": "capability_not_supported", "detail": "No statements."})
    assert talk.next() == ("The BSP statement was refused: capability not supported (No statements.).", [])
