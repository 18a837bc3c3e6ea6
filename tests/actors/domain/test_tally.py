"""The books as TallyPrime imports them (business 8.5)."""

from __future__ import annotations

import string
import unicodedata
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vouchers import ReadLedger, ReadLine, read_ledgers, read_vouchers
from voyagent.actors.domain import tally
from voyagent.actors.domain.books import CHART, JournalEntry, LedgerAccount, Line, PostedJournal
from voyagent.actors.domain.documents import (
    Bill,
    Invoice,
    InvoiceLine,
    TaxLine,
    bill_journal,
    issue_journal,
    receipt_journal,
    remittance_journal,
)
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.tally import BilledDocument, Ledgers, PartyKind, Voucher

DAY = date(2026, 4, 1)
ID = "019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b"
ACCOUNTS = {
    each.code: LedgerAccount(
        id=f"id-{each.code}",
        code=each.code,
        name=each.name,
        type=each.type,
        is_control=each.is_control,
        is_active=True,
    )
    for each in CHART
}
LEDGERS = Ledgers(ACCOUNTS.values(), frozenset())
TALLYS_GROUPS = {
    *("Bank Accounts", "Deposits (Asset)", "Duties & Taxes", "Purchase Accounts", "Current Assets"),
    *("Current Liabilities", "Capital Account", "Sales Accounts", "Indirect Expenses"),
}


def money(amount: str, currency: str = "INR") -> Money:
    return Money.of(Decimal(amount), currency)


def invoice(party: str = "A & B Tours", total: str = "118.00") -> Invoice:
    nothing = money("0")
    return Invoice(
        id="i",
        number="INV-000001",
        party_name=party,
        status="issued",
        issue_date=DAY,
        due_date=DAY + timedelta(days=30),
        total=money(total),
        paid=nothing,
        discount=nothing,
    )


def bill(party: str = "Skyline") -> Bill:
    return Bill(
        id="b",
        number="BILL-000001",
        party_name=party,
        status="received",
        issue_date=DAY,
        due_date=DAY,
        total=money("90.00"),
        paid=money("0"),
        vendor_reference="SKY/77",
        desk="other",
    )


def document(of: Invoice | Bill) -> BilledDocument:
    return BilledDocument(
        kind="customer" if isinstance(of, Invoice) else "vendor",
        party_name=of.party_name,
        number=of.number,
        issue_date=of.issue_date,
        due_date=of.due_date,
    )


def voucher(entry: JournalEntry, of: Invoice | Bill | None = None, reference: str | None = None) -> Voucher:
    made = None if of is None else document(of)
    return Voucher(journal=PostedJournal(id=ID, entry=entry), document=made, reference=reference)


def issued(of: Invoice) -> JournalEntry:
    tax = TaxLine(
        regime="gst_india",
        code="IGST",
        rate_bps=1800,
        taxable_amount=Decimal(100),
        tax_amount=Decimal(18),
    )
    line = InvoiceLine(
        description="Fare", quantity=Decimal(1), unit_price=money("100.00"), taxes=(tax,), desk="ticketing_visa"
    )
    return issue_journal(of, [line], ACCOUNTS)


def written(*found: Voucher, ledgers: Ledgers = LEDGERS) -> bytes:
    return tally.opening("Vouchers") + tally.vouchers(found, ledgers) + tally.CLOSING


def test_t33_an_issued_invoice_is_a_sales_voucher_that_sums_to_zero() -> None:
    of = invoice()
    text = written(voucher(issued(of), of))
    [found] = read_vouchers(text)
    assert found.attributes == {
        "REMOTEID": ID,
        "VCHTYPE": "Sales",
        "ACTION": "Create",
        "OBJVIEW": "Accounting Voucher View",
    }
    assert found.fields == {
        "DATE": "20260401",
        "GUID": ID,
        "VOUCHERTYPENAME": "Sales",
        "VOUCHERNUMBER": "INV-000001",
        "PARTYLEDGERNAME": "A & B Tours",
        "PERSISTEDVIEW": "Accounting Voucher View",
        "ISINVOICE": "No",
        "NARRATION": "Invoice INV-000001, A & B Tours",
    }
    assert found.lines == [
        ReadLine("A & B Tours", True, "-118.00", True, None, ("INV-000001", "New Ref", "-118.00", "30 Days")),
        ReadLine("IGST payable (2130)", False, "18.00"),
        ReadLine("Ticketing and visa (4000)", False, "100.00"),
    ]
    assert found.balance == 0
    assert b"<LEDGERNAME>A &amp; B Tours</LEDGERNAME>" in text
    assert b"<ISDEEMEDPOSITIVE>Yes</ISDEEMEDPOSITIVE>" in text
    assert text == written(voucher(issued(of), of))


def test_t33_every_journal_of_a_document_has_its_type_its_bill_and_its_reference() -> None:
    sold, bought = invoice(), bill()
    received = voucher(receipt_journal(sold, money("50.00"), DAY, ACCOUNTS), sold, "UTR 1")
    billed = voucher(bill_journal(bought, ACCOUNTS), bought, "SKY/77")
    paid = voucher(remittance_journal(bought, money("90.00"), DAY, ACCOUNTS), bought)
    found = read_vouchers(written(received, billed, paid))
    assert all(each.balance == 0 for each in found)
    assert [each.attributes["VCHTYPE"] for each in found] == ["Receipt", "Purchase", "Payment"]
    assert [each.fields.get("VOUCHERNUMBER") for each in found] == [None, "BILL-000001", None]
    assert [each.fields.get("REFERENCE") for each in found] == ["UTR 1", "SKY/77", None]
    assert [line for each in found for line in each.lines] == [
        ReadLine("Cash and bank (1000)", True, "-50.00"),
        ReadLine("A & B Tours", False, "50.00", True, None, ("INV-000001", "Agst Ref", "50.00", None)),
        ReadLine("Cost of sales: other (5200)", True, "-90.00"),
        ReadLine("Skyline", False, "90.00", True, None, ("BILL-000001", "New Ref", "90.00", None)),
        ReadLine("Skyline", True, "-90.00", True, None, ("BILL-000001", "Agst Ref", "-90.00", None)),
        ReadLine("Cash and bank (1000)", False, "90.00"),
    ]


def test_t33_a_void_is_a_journal_of_its_own_against_the_bill() -> None:
    of = invoice()
    taken_back = PostedJournal(id="first", entry=issued(of)).reversal(DAY, "Void invoice", "document.voided")
    [found] = read_vouchers(written(voucher(taken_back, of)))
    assert (found.attributes["VCHTYPE"], found.attributes["REMOTEID"]) == ("Journal", ID)
    assert (found.fields["PARTYLEDGERNAME"], found.fields["REFERENCE"]) == ("A & B Tours", "INV-000001")
    assert "VOUCHERNUMBER" not in found.fields
    assert found.lines[0] == ReadLine(
        "A & B Tours", False, "118.00", True, None, ("INV-000001", "Agst Ref", "118.00", None)
    )
    assert found.balance == 0


@pytest.mark.parametrize("source", ["manual.journal", "invoice.issued", "bill.paid", "journal.reversed"])
def test_t33_what_is_posted_by_hand_is_a_journal_whatever_it_is_called(source: str) -> None:
    sides: tuple[Any, ...] = (("1000", "debit", "By hand"), ("3000", "credit", None))
    lines = tuple(
        Line(account=ACCOUNTS[code], side=side, money=money("1.5", "KWD"), memo=memo) for code, side, memo in sides
    )
    entry = JournalEntry(entry_date=DAY, narration="Capital", source_event=source, lines=lines)
    [found] = read_vouchers(written(voucher(entry)))
    assert found.attributes["VCHTYPE"] == "Journal"
    assert not {"PARTYLEDGERNAME", "VOUCHERNUMBER", "REFERENCE"} & found.fields.keys()
    assert found.lines == [
        ReadLine("Cash and bank (1000)", True, "-1.500", memo="By hand"),
        ReadLine("Equity (3000)", False, "1.500"),
    ]


HOSTILE = [
    ("</LEDGERNAME><AMOUNT>1</AMOUNT> & \"quoted\" 'single'", None),
    ("a]]>b <![CDATA[x]]>", None),
    ("प्रिया ट्रैवल्स 🛫", None),
    ("nul\x00bell\x07", "nul\ufffdbell\ufffd"),
    ("lone \ud800 surrogate \ufffe", "lone \ufffd surrogate \ufffd"),
    ("  two\r\n lines\tand \u2028 tabs ", "two lines and tabs"),
    ("&#4; Primary &amp;", None),
]


@pytest.mark.parametrize(("name", "shown"), HOSTILE)
def test_t33_a_hostile_name_is_text_and_the_same_in_master_and_voucher(name: str, shown: str | None) -> None:
    of = invoice(name)
    [found] = read_vouchers(written(voucher(issued(of), of)))
    masters = tally.masters_of_parties([("customer", name)], LEDGERS)
    [ledger] = read_ledgers(tally.opening("All Masters") + masters + tally.CLOSING)
    assert ledger == ReadLedger(shown or name, "Sundry Debtors", bill_by_bill=True)
    assert found.lines[0].ledger == found.fields["PARTYLEDGERNAME"] == ledger.name
    assert found.fields["NARRATION"] == f"Invoice INV-000001, {ledger.name}"
    assert [line.amount for line in found.lines] == ["-118.00", "18.00", "100.00"]


@given(st.text())
def test_t33_any_text_makes_a_file_that_can_be_read(text: str) -> None:
    of = invoice(text)
    [found] = read_vouchers(written(voucher(issued(of), of, text)))
    kept = [sign for sign in found.fields["PARTYLEDGERNAME"] if sign not in " \ufffd"]
    assert all(sign in text or sign in "(customer)" for sign in kept)
    assert not any(unicodedata.category(sign) == "Cs" for sign in kept)


def test_every_account_but_the_control_accounts_is_a_ledger_in_a_group_that_tally_has() -> None:
    found = read_ledgers(tally.opening("All Masters") + tally.masters_of_accounts(LEDGERS) + tally.CLOSING)
    by_code = {each.name.rpartition("(")[2].rstrip(")"): each.group for each in found}
    assert by_code.keys() == ACCOUNTS.keys() - {"1100", "2000"}
    assert set(by_code.values()) <= TALLYS_GROUPS
    assert (by_code["1000"], by_code["2110"], by_code["4000"]) == ("Bank Accounts", "Duties & Taxes", "Sales Accounts")
    assert (by_code["1400"], by_code["5000"], by_code["7000"]) == (
        "Current Assets",
        "Purchase Accounts",
        "Indirect Expenses",
    )
    assert not any(each.bill_by_bill for each in found)


@pytest.mark.parametrize(
    "name",
    ["Cash and bank (1000)", "CASH", "Sundry debtors", "profit & loss a/c", "Meridian (vendor)", "Meridian [Customer]"],
)
@pytest.mark.parametrize("kind", ["customer", "vendor"])
def test_a_party_that_is_called_like_another_ledger_gets_what_it_is_behind_its_name(name: str, kind: PartyKind) -> None:
    assert LEDGERS.of_party(kind, name) == f"{name} ({kind})"


def folded(name: str) -> str:
    """A name without what may not tell two ledgers apart."""
    return "".join(sign for sign in name.lower() if sign not in string.whitespace + string.punctuation)


NAMES = st.lists(
    st.builds(
        "".join,
        st.lists(st.sampled_from(("Acme", "ACME", "Cash", " ", ".", "(vendor)", "(customer)", "1000")), min_size=1),
    ),
    max_size=8,
)


@given(customers=NAMES, vendors=NAMES, later=st.sampled_from(["customer", "vendor"]))
def test_no_ledger_is_of_two_kinds_whatever_the_names_are(
    customers: list[str], vendors: list[str], later: PartyKind
) -> None:
    shared = {folded(name) for name in customers} & {folded(name) for name in vendors}
    namesakes = {(later, name) for name in (*customers, *vendors) if folded(name) in shared}
    ledgers = Ledgers(ACCOUNTS.values(), frozenset(namesakes))
    of_customers = {folded(ledgers.of_party("customer", name)) for name in customers}
    of_vendors = {folded(ledgers.of_party("vendor", name)) for name in vendors}
    of_accounts = {folded(ledgers.of_account(each)) for each in ACCOUNTS.values()}
    assert not of_customers & of_vendors
    assert not of_accounts & (of_customers | of_vendors)
    assert "cash" not in of_customers | of_vendors


def test_of_one_name_the_later_kind_is_marked_and_no_other() -> None:
    ledgers = Ledgers(ACCOUNTS.values(), frozenset({("customer", "Meridian")}))
    assert ledgers.of_party("vendor", "Meridian") == "Meridian"
    assert ledgers.of_party("customer", "Meridian") == "Meridian (customer)"
    assert ledgers.of_party("customer", "Meridian Travel") == "Meridian Travel"
