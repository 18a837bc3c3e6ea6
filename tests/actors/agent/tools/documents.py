"""Inputs of the tools of documents, and what the books say of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, cast

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
