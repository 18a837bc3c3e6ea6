"""The accounting desk's script for documents: what it asks for, looks up and prepares."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from voyagent.actors.agent.desks import DESKS
from voyagent.actors.agent.rehearsed import accounting
from voyagent.actors.agent.rehearsed.talk import Talk
from voyagent.actors.agent.rehearsed.turns import ToolUse

TODAY = date(2026, 11, 24)
BILLS = '{"count": 2, "bills": [{"bill_id": "b-1", "number": "BILL-000001", "currency": "USD"}, \
{"bill_id": "b-2", "number": "BILL-000002", "currency": "AED"}]}'
INVOICES = '{"count": 2, "invoices": [{"invoice_id": "i-1", "number": "INV-000001"}, \
{"invoice_id": "i-2", "number": "INV-000002"}]}'


def plays(words: str, *calls: tuple[str, dict[str, Any], str]) -> list[Any]:
    """The script's next blocks after ``words`` and the calls that were answered since."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": words}]}]
    for place, (name, given, output) in enumerate(calls):
        use = {"type": "tool_use", "id": f"c-{place}", "name": name, "input": given}
        result = {"type": "tool_result", "tool_use_id": f"c-{place}", "content": output}
        messages += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    tools = [{"name": name} for name in DESKS["accounting"].tools]
    body = {"system": "Today is 2026-11-24, a Tuesday.", "tools": tools, "messages": messages}
    return list(accounting.reply(Talk(body, TODAY)).blocks)


def call(blocks: list[Any]) -> tuple[str, dict[str, Any]]:
    [use] = [block for block in blocks if isinstance(block, ToolUse)]
    return use.name, use.input


def text(blocks: list[Any]) -> str:
    assert not any(isinstance(block, ToolUse) for block in blocks)
    return "".join(block.text for block in blocks)


@pytest.mark.parametrize(
    ("words", "name", "given"),
    [
        (
            "Record a bill from Air India over INR 9,000.00, reference AI/7, due 2026-12-15",
            "record_bill",
            {"vendor_name": "Air India", "vendor_reference": "AI/7", "amount": "9000.00", "due_date": "2026-12-15"},
        ),
        (
            "Record a bill from Air India over INR 9,000.00, reference AI/7",
            "record_bill",
            {"issue_date": "2026-11-24", "due_date": "2026-12-24"},
        ),
        ("Which bills are open?", "list_bills", {"status": "open"}),
        ("Show me all bills", "list_bills", {"status": "all"}),
        ("Pay the bill BILL-000002", "list_bills", {"status": "all"}),
        ("Void the invoice INV-000001", "list_invoices", {"status": "all"}),
        ("Record a payment of INR 5.00 on invoice INV-000001", "list_invoices", {"status": "all"}),
    ],
)
def test_a_document_is_prepared_or_looked_up(words: str, name: str, given: dict[str, Any]) -> None:
    called, used = call(plays(words))
    assert called == name
    assert used | given == used


@pytest.mark.parametrize(
    ("words", "listed", "name", "given"),
    [
        (
            "Pay the bill BILL-000002 on 2026-12-01 by card",
            ("list_bills", BILLS),
            "pay_bill",
            {"bill_id": "b-2", "paid_on": "2026-12-01", "method": "card", "currency": "AED"},
        ),
        (
            "Pay AED 5.00 of the bill BILL-000002",
            ("list_bills", BILLS),
            "pay_bill",
            {"bill_id": "b-2", "amount": "5.00", "currency": "AED"},
        ),
        (
            "Record a payment of INR 5.00 in cash on invoice INV-000002",
            ("list_invoices", INVOICES),
            "record_payment",
            {"invoice_id": "i-2", "amount": "5.00", "method": "cash", "received_on": "2026-11-24"},
        ),
        (
            "Void the invoice INV-000002 because it is wrong",
            ("list_invoices", INVOICES),
            "void_invoice",
            {"invoice_id": "i-2", "reason": "it is wrong"},
        ),
        ("Void the bill BILL-000001", ("list_bills", BILLS), "void_bill", {"bill_id": "b-1"}),
    ],
)
def test_a_document_that_was_looked_up_is_the_one_that_is_named(
    words: str, listed: tuple[str, str], name: str, given: dict[str, Any]
) -> None:
    called, used = call(plays(words, (listed[0], {}, listed[1])))
    assert called == name
    assert used | given == used


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        ("Record a bill from Air India", "with which reference?"),
        ("Record a payment on the invoice", "How much has been paid"),
        ("Reverse the journal", "I have posted none"),
    ],
)
def test_what_is_missing_is_asked_for_and_never_invented(words: str, asks: str) -> None:
    assert asks in text(plays(words))


def test_a_document_that_does_not_exist_is_not_made_up() -> None:
    for listed in ('{"count": 0, "bills": []}', BILLS):
        assert "no such bill" in text(plays("Pay the bill BILL-9", ("list_bills", {}, listed)))
    assert "no such invoice" in text(plays("Void the invoice", ("list_invoices", {}, '{"count": 0, "invoices": []}')))
