"""The accounting desk's script for documents: bills, payments, voids and reversals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from .outcomes import listed
from .talk import Call, Talk
from .turns import ToolUse, Turn
from .words import dated, dates, discount, has, money, newest, price

OTHER_CURRENCY = "A discount is in the currency of its invoice, {}: how much is it?"
CREDIT_DAYS = 30
"""Days from issue to due date, where the user names no due date."""

_VENDOR = re.compile(
    r"\bbill\s+(?:from|of|by)\s+(?P<name>[A-Z][\w&'\u2019. -]*?)"
    r"(?=\s+(?:over|of|for|on|due|dated|and|number|reference)\b|[,.;]|$)"
)
_REFERENCE = re.compile(r"\b(?:reference|ref|number|no)\.?\s+(?P<code>[A-Za-z0-9][\w/-]*)", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:invoice|bill)\s+(?P<number>(?=[\w/-]*\d)[A-Za-z0-9/-]+)", re.IGNORECASE)
_REASON = re.compile(r"\b(?:because|reason:?)\s+(?P<why>.+)$", re.IGNORECASE)
_NUMBERED = re.compile(
    r"\binvoice\s+(?P<number>(?=[A-Za-z/-]*\d)[A-Za-z0-9/-]{1,16})\s+(?:for|to)\s+(?P<name>[A-Z][\w&'\u2019. -]*?)"
    r"(?=\s+(?:over|of|on|due|dated|with|and)\b|[,.;]|$)"
)
_GST = re.compile(r"\b(?P<code>[CSI]GST)\s+(?:of\s+)?(?P<percent>\d{1,2})(?:\.(?P<hundredths>\d{2}))?\s*(?:%|percent)")
"""A tax and its rate: ``IGST 18 %``."""
_METHODS = {
    "upi": r"upi\b",
    "card": r"card\b",
    "cash": r"cash\b",
    "cheque": r"che(?:que|ck)\b",
    "bank_transfer": r"(?:bank|transfer|wire|neft|rtgs)",
}


def reply(talk: Talk, opening: str) -> Turn | None:
    """The next call for what the user wants done with a document; None if the request is another."""
    words = talk.latest_words
    for tool, applies, play in _SCRIPTS:
        if tool in talk.tools and applies(words):
            return play(talk, opening)
    return None


def needs_one(talk: Talk) -> bool:
    """Whether the user's latest text is about one document that had to be looked up first."""
    return any(tool in talk.tools and applies(talk.latest_words) for tool, applies, _ in _SCRIPTS[2:])


def told(call: Call) -> str | None:
    """What came of a call, in a sentence; None if there is nothing to say of it."""
    output = call.output
    match call.name:
        case "list_invoices" | "list_bills":
            kind = call.name.removeprefix("list_")
            found = listed(output, kind)
            lines = "".join(
                f"\n{one.get('number')} {one.get('party_name')}: {one.get('currency')} {one.get('amount_due')} due"
                for one in found[:10]
            )
            return f"There are {output.get('count', len(found))} {kind}.{lines}"
        case "record_payment":
            return f"Recorded: {output.get('currency')} {output.get('amount_due')} is still due."
        case "record_bill":
            return f"Recorded: {output.get('number')}."
        case "pay_bill" if output.get("scheduled"):
            return f"The payment is planned for {output.get('pay_on')}. Nothing pays itself: tell me on that day."
        case "pay_bill":
            return f"Paid: {output.get('amount_due')} is still due."
    return None


def _reverse(talk: Talk, opening: str) -> Turn:
    posted = talk.latest("post_journal_entry")
    if posted is None:
        return Turn(f"{opening}Which journal shall I reverse? I have posted none in this conversation.")
    given = {"journal_id": posted.output.get("journal_id"), "narration": talk.latest_words}
    return Turn(f"{opening}I prepare the reversal; a person must approve it.", ToolUse("reverse_journal_entry", given))


def _void(kind: str) -> Callable[[Talk, str], Turn]:
    def play(talk: Talk, opening: str) -> Turn:
        found = _document(talk, kind)
        if found is None:
            return _look_up(talk, opening, kind)
        why = _REASON.search(talk.latest_words)
        given = {f"{kind}_id": found, "reason": why["why"] if why else talk.latest_words}
        return Turn(f"{opening}I prepare the void; a person must approve it.", ToolUse(f"void_{kind}", given))

    return play


def _receive(talk: Talk, opening: str) -> Turn:
    amount = newest(money, talk.request)
    if amount is None:
        return Turn(f"{opening}How much has been paid (for example INR 500.00)?")
    found = _document(talk, "invoice")
    if found is None:
        return _look_up(talk, opening, "invoice")
    given = {
        "invoice_id": found,
        "amount": amount[1],
        "currency": amount[0],
        "received_on": talk.today.isoformat(),
        "method": _method(talk.latest_words),
        **_reference(talk.latest_words),
    }
    said = f"I prepare the payment of {amount[0]} {amount[1]}; a person must approve it."
    return Turn(opening + said, ToolUse("record_payment", given))


def _pay(talk: Talk, opening: str) -> Turn:
    found = _document(talk, "bill")
    if found is None:
        return _look_up(talk, opening, "bill")
    amount = newest(money, talk.request)
    day = (dates(talk.latest_words, talk.today) or [talk.today])[0]
    given = {
        "bill_id": found,
        "currency": amount[0] if amount else _currency(talk, found),
        "method": _method(talk.latest_words),
        "paid_on": day.isoformat(),
        **({"amount": amount[1]} if amount else {}),
        **_reference(talk.latest_words),
    }
    return Turn(f"{opening}I prepare the payment of the bill; a person must approve it.", ToolUse("pay_bill", given))


def _create(talk: Talk, opening: str) -> Turn:
    """An invoice with a number given by hand, and the taxes that are told; their amounts follow from the rates."""
    numbered, priced = _NUMBERED.search(talk.latest_words), newest(price, talk.request)
    if numbered is None or priced is None:
        return Turn(f"{opening}Over which amount before taxes (for example INR 45200.00) shall I create it?")
    currency, amount = priced
    deducted = deduction(talk, currency)
    if deducted is None:
        return Turn(f"{opening}{OTHER_CURRENCY.format(currency)}")
    left = f"{Decimal(amount) - Decimal(deducted.get('discount', '0')):f}"
    taxes = [
        {
            "regime": "gst_india",
            "code": found["code"],
            "rate_bps": 100 * int(found["percent"]) + int(found["hundredths"] or 0),
            "taxable_amount": left,
        }
        for found in _GST.finditer(talk.latest_words)
    ]
    issued, due = terms(talk)
    invoice: dict[str, Any] = {
        "invoice_number": numbered["number"],
        "client_id": numbered["name"],
        "client_name": numbered["name"],
        "issue_date": issued.isoformat(),
        "due_date": due.isoformat(),
        "currency": currency,
        "billing_address": {},
        "lines": [{"description": "Travel services", "unit_price": amount, **deducted, "taxes": taxes}],
    }
    said = f"I prepare invoice {numbered['number']}; a person must approve it."
    return Turn(opening + said, ToolUse("create_invoice", {"invoice": invoice}))


def deduction(talk: Talk, currency: str) -> dict[str, str] | None:
    """The fields of an invoice's line for what is deducted from it; None if that is in another currency."""
    found = newest(discount, talk.request)
    if found is None:
        return {}
    told, amount, reason = found
    return None if told != currency else {"discount": amount, **({"discount_reason": reason} if reason else {})}


def _bill(talk: Talk, opening: str) -> Turn:
    words = talk.latest_words
    vendor, amount, reference = _VENDOR.search(words), newest(money, talk.request), _reference(words)
    if vendor is None or amount is None or not reference:
        return Turn(f"{opening}From whom, over which amount (for example INR 500.00), and with which reference?")
    issued, due = terms(talk)
    given = {
        "vendor_name": vendor["name"].strip(),
        "vendor_reference": reference["reference"],
        "issue_date": issued.isoformat(),
        "due_date": due.isoformat(),
        "amount": amount[1],
        "currency": amount[0],
    }
    said = f"I prepare the bill of {given['vendor_name']}; a person must approve it."
    return Turn(opening + said, ToolUse("record_bill", given))


def terms(talk: Talk) -> tuple[date, date]:
    """Issued on the day after "dated", else today; due on the later day that is named, else after the credit period."""
    named = newest(lambda text: dated(text, talk.today), talk.request)
    issued = named or talk.today
    days = (day for text in talk.request for day in dates(text, talk.today))
    due = next((day for day in days if day >= issued and day != named), None)
    return issued, due or issued + timedelta(days=CREDIT_DAYS)


def _list(talk: Talk, opening: str) -> Turn:
    status = "all" if has(talk.latest_words, "all") else "open"
    return Turn(f"{opening}I list the bills.", ToolUse("list_bills", {"status": status}))


def _look_up(talk: Talk, opening: str, kind: str) -> Turn:
    if f"list_{kind}s" not in talk.tools or any(call.name == f"list_{kind}s" for call in talk.news):
        return Turn(f"{opening}I find no such {kind}.")
    return Turn(f"{opening}I look the {kind} up.", ToolUse(f"list_{kind}s", {"status": "all"}))


def _document(talk: Talk, kind: str) -> str | None:
    """The id of the document whose number the user names; of the newest one that was seen, if none is named."""
    seen = {str(each[f"{kind}_id"]): str(each.get("number") or "") for each in reversed(list(_seen(talk, kind)))}
    named = _NAMED.search(talk.latest_words)
    if named is not None:
        return next((found for found, number in seen.items() if number == named["number"]), None)
    return next(reversed(seen), None)


def _seen(talk: Talk, kind: str) -> Iterator[Mapping[str, Any]]:
    """What results have shown of documents, the newest first."""
    for call in reversed(talk.calls):
        if call.answered and call.error is None:
            if call.output.get("number") and f"{kind}_id" in call.output:
                yield {**call.input, **call.output}
            yield from (each for each in listed(call.output, f"{kind}s") if f"{kind}_id" in each)


def _currency(talk: Talk, bill_id: str) -> str:
    """The currency of a bill that was seen."""
    bills = _seen(talk, "bill")
    return next((str(each["currency"]) for each in bills if each["bill_id"] == bill_id and "currency" in each), "INR")


def _method(words: str) -> str:
    return next((method for method, pattern in _METHODS.items() if has(words, pattern)), "bank_transfer")


def _reference(words: str) -> dict[str, str]:
    found = _REFERENCE.search(words)
    return {} if found is None else {"reference": found["code"]}


_SCRIPTS: tuple[tuple[str, Callable[[str], bool], Callable[[Talk, str], Turn]], ...] = (
    ("list_bills", lambda words: has(words, r"(?:list|which|what|show)\b.*\bbills\b"), _list),
    ("create_invoice", lambda words: has(words, "create") and bool(_NUMBERED.search(words)), _create),
    ("reverse_journal_entry", lambda words: has(words, r"reverse\b"), _reverse),
    ("void_bill", lambda words: has(words, r"void\b.*\bbill\b"), _void("bill")),
    ("void_invoice", lambda words: has(words, r"void\b.*\binvoice\b"), _void("invoice")),
    ("pay_bill", lambda words: has(words, r"pay\b.*\bbill\b"), _pay),
    ("record_bill", lambda words: has(words, r"bill\s+(?:from|by)\b"), _bill),
    ("record_payment", lambda words: has(words, r"payment\b.*\binvoice\b", r"has paid\b"), _receive),
)
"""Tool, whether the words ask for it, and its script; the first that fits is played."""
