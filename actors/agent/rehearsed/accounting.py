"""The accounting desk's script: lists accounts and invoices, reads balances, posts a journal, drafts and issues."""

from __future__ import annotations

import re

from . import documents, statements
from .documents import OTHER_CURRENCY, deduction, terms
from .outcomes import DESK_NOTICE, listed, trouble
from .talk import Call, Talk
from .turns import ToolUse, Turn
from .words import dates, has, money, newest, persons, price

_CUSTOMER = re.compile(
    r"\b(?:invoice|bill)\s+(?:for\s+|to\s+)?(?P<name>[A-Z][\w&'\u2019. -]*?)"
    r"(?=\s+(?:for|over|of|on|due|dated|and)\b|[,.;]|$)"
)


_SIDE = r"\b{side}(?:s|ed|ing)?\s+(?:account\s+)?(?P<code>\d{{4}})\b"
_ACCOUNT = re.compile(r"\b(?:account|balance\s+of|on)\s+(?:account\s+)?(?P<code>\d{4})\b", re.IGNORECASE)


def reply(talk: Talk) -> Turn:
    """The desk's next text or calls."""
    if talk.news and not talk.fresh:
        return _after(talk, talk.news[-1])
    opening = f"{DESK_NOTICE} " + "".join(f"{_told(call)} " for call in talk.news)
    words = talk.latest_words
    if (turn := statements.reply(talk, opening) or documents.reply(talk, opening)) is not None:
        return turn
    if "post_journal_entry" in talk.tools and has(words, "journal", "debit"):
        return _post(talk, opening)
    account = _ACCOUNT.search(words)
    if "read_account_balance" in talk.tools and has(words, "balance") and account is not None:
        given = {"account_id": account["code"], "as_of": (dates(words, talk.today) or [talk.today])[0].isoformat()}
        return Turn(f"{opening}I read the balance of {account['code']}.", ToolUse("read_account_balance", given))
    if "list_tax_rates" in talk.tools and has(words, "tax rate"):
        on = (dates(words, talk.today) or [talk.today])[0].isoformat()
        return Turn(f"{opening}I list the tax rates of {on}.", ToolUse("list_tax_rates", {"on": on}))
    drafted = talk.latest("draft_invoice")
    if drafted and "issue_invoice" in talk.tools and has(words, "issue") and not has(words, "draft"):
        return _issue(drafted, opening)
    if "draft_invoice" in talk.tools and has(words, "draft", "invoice (?:for|to)", "create"):
        return _draft(talk, opening)
    if "list_invoices" in talk.tools and has(words, "invoice"):
        status = "all" if has(words, "all") else "open"
        return Turn(f"{opening}I list the invoices.", ToolUse("list_invoices", {"status": status}))
    if "list_ledger_accounts" in talk.tools:
        return Turn(f"{opening}I list the ledger accounts.", ToolUse("list_ledger_accounts", {}))
    return Turn(f"{opening}This desk has no bookkeeping tools here, so I can do nothing.")


def _post(talk: Talk, opening: str) -> Turn:
    """One debit, one credit, one amount: ``debit 1000 and credit 3000 with INR 500.00``."""
    debit = newest(lambda text: _side("debit", text), talk.request)
    credit = newest(lambda text: _side("credit", text), talk.request)
    amount = newest(money, talk.request)
    if debit is None or credit is None or amount is None:
        return Turn(f"{opening}Which account shall I debit, which credit, and with how much (for example INR 500.00)?")
    line = {"currency": amount[0]}
    lines = [
        {"account_id": debit, "debit_amount": amount[1], **line},
        {"account_id": credit, "credit_amount": amount[1], **line},
    ]
    given = {"entry": {"narration": talk.latest_words, "lines": lines}}
    said = f"I prepare a journal of {amount[0]} {amount[1]} from {credit} to {debit}; a person must approve it."
    return Turn(opening + said, ToolUse("post_journal_entry", given))


def _side(side: str, text: str) -> str | None:
    found = re.search(_SIDE.format(side=side), text, re.IGNORECASE)
    return None if found is None else found["code"]


def _draft(talk: Talk, opening: str) -> Turn:
    customer = newest(_customer, talk.request)
    priced = newest(price, talk.request)
    if customer is None or priced is None:
        return Turn(f"{opening}For whom, and over which amount (for example INR 45200.00), shall I draft it?")
    currency, amount = priced
    deducted = deduction(talk, currency)
    if deducted is None:
        return Turn(f"{opening}{OTHER_CURRENCY.format(currency)}")
    issued, due = terms(talk)
    line = {"description": "Travel services", "quantity": 1, "unit_price": amount, "currency": currency, **deducted}
    less = f" less {currency} {deducted['discount']}" if deducted else ""
    given = {
        "customer_name": customer,
        "issue_date": issued.isoformat(),
        "due_date": due.isoformat(),
        "line_items": [line],
    }
    return Turn(
        f"{opening}I draft an invoice for {customer} over {currency} {amount}{less}.", ToolUse("draft_invoice", given)
    )


def _customer(text: str) -> str | None:
    if named := _CUSTOMER.search(text):
        return named["name"].strip()
    return next((person["full_name"] for person in persons(text)), None)


def _issue(drafted: Call, opening: str) -> Turn:
    given = {"invoice_id": drafted.output.get("invoice_id")}
    return Turn(f"{opening}I prepare the issue of {drafted.output.get('number')}.", ToolUse("issue_invoice", given))


def _after(talk: Talk, call: Call) -> Turn:
    told = _told(call)
    if (turn := statements.after(talk, call)) is not None:
        return turn
    if call.name in ("list_invoices", "list_bills") and documents.needs_one(talk):
        turn = documents.reply(talk, "")
        if turn is not None:
            return turn
    drafted = call.name == "draft_invoice" and call.output.get("drafted")
    wants_issue = newest(lambda text: has(text, "issue\\b", "and issue") or None, talk.request)
    if drafted and wants_issue and "issue_invoice" in talk.tools:
        return _issue(call, f"{told} ")
    return Turn(told)


def _told(call: Call) -> str:
    failed = trouble(call, _EFFECTS.get(call.name, call.name))
    if failed:
        return failed
    output = call.output
    match call.name:
        case "list_ledger_accounts":
            accounts = listed(output, "accounts")
            lines = "".join(f"\n{account.get('code')} {account.get('name')}" for account in accounts[:10])
            return f"There are {output.get('count', len(accounts))} accounts.{lines}"
        case "list_tax_rates":
            rates = "".join(
                f"\n{rate.get('regime')} {rate.get('code')} {rate.get('supply')}: {rate.get('rate_bps')} basis points"
                for rate in listed(output, "rates")
            )
            return f"{output.get('count')} tax rates hold on {output.get('on')}.{rates}"
        case "read_account_balance":
            others = "".join(f" and {other}" for other in output.get("other_balances") or [])
            return f"The balance is {output.get('balance')}{others}."
        case "post_journal_entry":
            return f"Posted: journal {output.get('journal_id')}."
        case "draft_invoice" | "issue_invoice":
            done = "Drafted" if call.name == "draft_invoice" else "Issued"
            return f"{done}: {output.get('number')}, {output.get('currency')} {output.get('total_amount')}."
        case "create_invoice":
            return f"Created and issued: {output.get('invoice_number')}."
    return (
        statements.told(call) or documents.told(call) or f"{_EFFECTS.get(call.name, call.name).capitalize()} is done."
    )


_EFFECTS = {
    "list_ledger_accounts": "the list of accounts",
    "list_tax_rates": "the list of tax rates",
    "fetch_bsp_statement": "the BSP statement",
    "reconcile_bsp": "the reconciliation",
    "read_account_balance": "the balance",
    "post_journal_entry": "the journal",
    "list_invoices": "the list of invoices",
    "draft_invoice": "the draft",
    "create_invoice": "the invoice",
    "issue_invoice": "the issue of the invoice",
    "void_invoice": "the void of the invoice",
    "record_payment": "the payment",
    "list_bills": "the list of bills",
    "record_bill": "the bill",
    "pay_bill": "the payment of the bill",
    "void_bill": "the void of the bill",
    "reverse_journal_entry": "the reversal",
}
