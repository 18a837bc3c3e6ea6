"""The books as TallyPrime imports them: masters of ledgers, and vouchers, as XML (docs/contract/business.md 8.5).

The text is ASCII, so that no encoding has to be guessed: other characters are references (``&#2346;``). What XML 1.0
cannot hold is replaced by U+FFFD, and whatever runs of blanks and line ends there are by one blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

from .aging import CONTROL_ACCOUNTS
from .books import AccountType, LedgerAccount, Line, PostedJournal
from .money import reported

PartyKind = Literal["customer", "vendor"]
VoucherType = Literal["Sales", "Purchase", "Receipt", "Payment", "Journal"]

_TYPES: Final[Mapping[str, VoucherType]] = {
    "invoice.issued": "Sales",
    "payment.received": "Receipt",
    "bill.received": "Purchase",
    "bill.paid": "Payment",
}
_NEW: Final = frozenset({"Sales", "Purchase"})
"""Vouchers that open a bill; all others with a document settle it."""

PARTY_GROUPS: Final[Mapping[PartyKind, str]] = {"customer": "Sundry Debtors", "vendor": "Sundry Creditors"}
_GROUPS: Final[Mapping[str, str]] = {
    "1000": "Bank Accounts",
    "1200": "Deposits (Asset)",
    **dict.fromkeys(("1300", "2100", "2110", "2120", "2130", "2150", "2300"), "Duties & Taxes"),
    **dict.fromkeys(("5000", "5100", "5200"), "Purchase Accounts"),
}
"""Tally's group of an account, by its code, where that of its type does not fit."""
_GROUPS_OF_TYPES: Final[Mapping[AccountType, str]] = {
    "asset": "Current Assets",
    "liability": "Current Liabilities",
    "equity": "Capital Account",
    "revenue": "Sales Accounts",
    "expense": "Indirect Expenses",
}
_OWN_NAMES: Final = (
    *("Capital Account", "Reserves & Surplus", "Retained Earnings", "Loans (Liability)", "Bank OD A/c", "Bank OCC A/c"),
    *("Secured Loans", "Unsecured Loans", "Current Liabilities", "Duties & Taxes", "Provisions", "Sundry Creditors"),
    *("Fixed Assets", "Investments", "Current Assets", "Stock-in-Hand", "Deposits (Asset)", "Sundry Debtors"),
    *("Loans & Advances (Asset)", "Cash-in-Hand", "Bank Accounts", "Misc. Expenses (ASSET)", "Suspense A/c"),
    *("Branch / Divisions", "Sales Accounts", "Purchase Accounts", "Direct Incomes", "Income (Direct)"),
    *("Direct Expenses", "Expenses (Direct)", "Indirect Incomes", "Income (Indirect)", "Indirect Expenses"),
    *("Expenses (Indirect)", "Primary", "Cash", "Profit & Loss A/c"),
)
"""Groups and ledgers that every company has in Tally: no party's ledger can be called so."""
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledDocument:
    """The invoice or bill that a journal belongs to, and whose it is."""

    kind: PartyKind
    party_name: str
    number: str
    issue_date: date
    due_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """A journal with lines of one currency, and what else its voucher says.

    ``reference`` is the vendor's of a bill, the payer's of a payment.
    """

    journal: PostedJournal
    document: BilledDocument | None = None
    reference: str | None = None

    @property
    def type(self) -> VoucherType:
        """What it is of: a void or a reversal is a journal, like what is posted by hand."""
        return "Journal" if self.document is None else _TYPES.get(self.journal.entry.source_event, "Journal")


class Ledgers:
    """What the ledgers of an agency are called in Tally, where a name is there once, in any case.

    An account's has its code behind the name. A party's is its name; what it is stands behind that where it has to, so
    that no ledger is an account's and a party's, or a customer's and a vendor's.
    """

    def __init__(self, accounts: Iterable[LedgerAccount], namesakes: frozenset[tuple[PartyKind, str]]) -> None:
        """``namesakes`` are parties of whose name there was one of the other kind before."""
        self.accounts = tuple(accounts)
        self._namesakes = namesakes
        self._taken = {_folded(name) for name in (*map(self.of_account, self.accounts), *_OWN_NAMES)}

    def of_account(self, account: LedgerAccount) -> str:
        """The ledger of an account."""
        return f"{_readable(account.name)} ({account.code})"

    def of_party(self, kind: PartyKind, name: str) -> str:
        """The ledger of a customer or vendor."""
        plain = _readable(name)
        folded = _folded(plain)
        is_taken = folded in self._taken or folded.endswith(tuple(PARTY_GROUPS))
        return f"{plain} ({kind})" if is_taken or (kind, name) in self._namesakes else plain

    def of_line(self, line: Line, document: BilledDocument | None) -> str:
        """The ledger of a journal's line: on a control account the party's."""
        if document is not None and line.account.code in CONTROL_ACCOUNTS.values():
            return self.of_party(document.kind, document.party_name)
        return self.of_account(line.account)


def masters_of_accounts(ledgers: Ledgers) -> bytes:
    """The ledgers of all accounts but the control accounts, which are those of the parties."""
    posted = (each for each in ledgers.accounts if each.code not in CONTROL_ACCOUNTS.values())
    return _encoded(
        _ledger(ledgers.of_account(each), _GROUPS.get(each.code, _GROUPS_OF_TYPES[each.type])) for each in posted
    )


def masters_of_parties(parties: Iterable[tuple[PartyKind, str]], ledgers: Ledgers) -> bytes:
    """The ledgers of customers and vendors, each a kind and a name."""
    return _encoded(
        _ledger(ledgers.of_party(kind, name), PARTY_GROUPS[kind], bill_by_bill=True) for kind, name in parties
    )


def vouchers(found: Iterable[Voucher], ledgers: Ledgers) -> bytes:
    """The vouchers, in their order."""
    return _encoded(_voucher(each, ledgers) for each in found)


def opening(report: Literal["All Masters", "Vouchers"]) -> bytes:
    """What a file begins with; ``CLOSING`` ends it."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ENVELOPE>\n'
        "<HEADER><TALLYREQUEST>Import Data</TALLYREQUEST></HEADER>\n"
        f"<BODY><IMPORTDATA>\n<REQUESTDESC><REPORTNAME>{report}</REPORTNAME></REQUESTDESC>\n<REQUESTDATA>\n"
    ).encode()


CLOSING: Final = b"</REQUESTDATA>\n</IMPORTDATA></BODY>\n</ENVELOPE>\n"


def _voucher(voucher: Voucher, ledgers: Ledgers) -> str:
    journal, document = voucher.journal, voucher.document
    entry = journal.entry
    parts = [
        f'<TALLYMESSAGE xmlns:UDF="TallyUDF">\n<VOUCHER REMOTEID="{journal.id}" VCHTYPE="{voucher.type}"',
        ' ACTION="Create" OBJVIEW="Accounting Voucher View">\n',
        _element("DATE", f"{entry.entry_date:%Y%m%d}"),
        _element("GUID", journal.id),
        _element("VOUCHERTYPENAME", voucher.type),
    ]
    reference = voucher.reference
    if document is not None:
        if voucher.type in _NEW:
            parts.append(_element("VOUCHERNUMBER", document.number))
        elif voucher.type == "Journal":
            reference = document.number
        parts.append(_element("PARTYLEDGERNAME", ledgers.of_party(document.kind, document.party_name)))
    if reference:
        parts.append(_element("REFERENCE", reference))
    parts += [
        _element("PERSISTEDVIEW", "Accounting Voucher View"),
        _element("ISINVOICE", "No"),
        _element("NARRATION", entry.narration),
        "\n",
    ]
    parts += [_line(line, voucher, ledgers) for line in entry.lines]
    return "".join([*parts, "</VOUCHER>\n</TALLYMESSAGE>\n"])


def _line(line: Line, voucher: Voucher, ledgers: Ledgers) -> str:
    """A debit is deemed positive, and negative in figures."""
    document, is_debit = voucher.document, line.side == "debit"
    is_party = document is not None and line.account.code in CONTROL_ACCOUNTS.values()
    amount = reported(-line.money.amount if is_debit else line.money.amount, line.money.currency)
    parts = [
        _element("LEDGERNAME", ledgers.of_line(line, document)),
        _element("ISDEEMEDPOSITIVE", _yes(is_debit)),
        _element("ISPARTYLEDGER", _yes(is_party)),
        _element("AMOUNT", amount),
    ]
    if line.memo:
        parts.append(_element("NARRATION", line.memo))
    if document is not None and is_party:
        parts.append(_bill(document, amount, is_new=voucher.type in _NEW))
    return f"<ALLLEDGERENTRIES.LIST>{''.join(parts)}</ALLLEDGERENTRIES.LIST>\n"


def _bill(document: BilledDocument, amount: str, *, is_new: bool) -> str:
    days = (document.due_date - document.issue_date).days
    parts = [_element("NAME", document.number)]
    if is_new and days > 0:
        parts.append(_element("BILLCREDITPERIOD", f"{days} Days"))
    parts += [_element("BILLTYPE", "New Ref" if is_new else "Agst Ref"), _element("AMOUNT", amount)]
    return f"<BILLALLOCATIONS.LIST>{''.join(parts)}</BILLALLOCATIONS.LIST>"


def _ledger(name: str, group: str, *, bill_by_bill: bool = False) -> str:
    names = f'<NAME.LIST TYPE="String">{_element("NAME", name)}</NAME.LIST>'
    return (
        f'<TALLYMESSAGE xmlns:UDF="TallyUDF">\n<LEDGER NAME={quoteattr(name)} ACTION="Create">'
        f"{names}{_element('PARENT', group)}{_element('ISBILLWISEON', _yes(bill_by_bill))}</LEDGER>\n</TALLYMESSAGE>\n"
    )


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(_readable(text))}</{name}>"


def _readable(text: str) -> str:
    return " ".join(_NO_XML.sub("\ufffd", text).split())


def _folded(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _yes(condition: bool) -> str:  # noqa: FBT001  # what it is about
    return "Yes" if condition else "No"


def _encoded(parts: Iterable[str]) -> bytes:
    return "".join(parts).encode("ascii", "xmlcharrefreplace")
