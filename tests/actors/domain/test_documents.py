"""Documents: their sums are exact, their journals balance, and what cannot be paid is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.books import CHART, LedgerAccount, PostedJournal
from voyagent.actors.domain.documents import (
    Bill,
    InvalidDocument,
    Invoice,
    InvoiceLine,
    TaxLine,
    bill_journal,
    check_amounts,
    check_payment,
    check_taxes,
    discount_of,
    issue_journal,
    receipt_journal,
    remittance_journal,
    total_of,
)
from voyagent.actors.domain.money import Money, minor_digits, totals

DAY = date(2026, 11, 23)
ACCOUNTS = {
    each.code: LedgerAccount(
        id=each.code, code=each.code, name=each.name, type=each.type, is_control=each.is_control, is_active=True
    )
    for each in CHART
}


def invoice(total: Money, paid: str = "0", **given: Any) -> Invoice:
    fields: dict[str, Any] = {
        "id": "i",
        "number": "INV-000001",
        "party_name": "Asha Rao",
        "status": "issued",
        "issue_date": DAY,
        "due_date": DAY,
        "total": total,
        "paid": Money.of(paid, total.currency),
        "discount": Money.of(0, total.currency),
    }
    return Invoice(**fields | given)


def bill(total: Money) -> Bill:
    return Bill(
        id="b",
        number="BILL-000001",
        party_name="Emirates",
        status="received",
        issue_date=DAY,
        due_date=DAY,
        total=total,
        paid=Money.of(0, total.currency),
        vendor_reference="EK-1",
        desk="ticketing_visa",
    )


def tax(amount: str, bps: int, taxable: str, code: str = "IGST", regime: Any = "gst_india") -> TaxLine:
    return TaxLine(regime=regime, code=code, rate_bps=bps, taxable_amount=Decimal(taxable), tax_amount=Decimal(amount))


def line(
    price: str,
    *taxes: TaxLine,
    currency: str = "INR",
    quantity: str = "1",
    desk: Any = "other",
    discount: str = "0",
    why: str | None = None,
) -> InvoiceLine:
    return InvoiceLine(
        description="x",
        quantity=Decimal(quantity),
        unit_price=Money.of(price, currency),
        taxes=taxes,
        desk=desk,
        discount=Decimal(discount),
        discount_reason=why,
    )


@pytest.mark.parametrize(
    ("lines", "total"),
    [
        ([line("26.0347", quantity="95")], "INR 2473.30"),
        ([line("70.06", tax("13.7318", 1960, "70.06"))], "INR 83.79"),
        ([line("10.005"), line("10.005")], "INR 20.01"),
        ([line("1.0005", currency="KWD")], "KWD 1.001"),
        ([line("1127", tax("112.7", 1000, "1127"), currency="JPY")], "JPY 1240"),
        ([line("33.3333", quantity="1.5")], "INR 50.00"),
        ([line("0.0049", quantity="0.5"), line("0.0049", quantity="0.5")], "INR 0.01"),
        ([line("9154.00", discount="873.34")], "INR 8280.66"),
        ([line("9154.00", tax("1490.52", 1800, "8280.66"), discount="873.34")], "INR 9771.18"),
        ([line("10.005", discount="0.0049"), line("10.005", discount="0.0049")], "INR 20.00"),
        ([line("1.0005", currency="KWD", discount="0.0006")], "KWD 1.000"),
        ([line("1000", currency="JPY", discount="0.5")], "JPY 1000"),
        ([line("1000", currency="JPY", discount="0.5001")], "JPY 999"),
        ([line("33.3333", quantity="1.5", discount="49.9901")], "INR 0.01"),
    ],
)
def test_t6_a_total_is_rounded_once_to_the_minor_unit(lines: list[InvoiceLine], total: str) -> None:
    assert total_of(lines).text == total


@pytest.mark.parametrize(
    ("amount", "bps", "taxable", "fits"),
    [
        ("5.05", 500, "101.00", True),
        ("5.055", 500, "101.00", True),
        ("5.045", 500, "101.00", True),
        ("5.0551", 500, "101.00", False),
        ("5.0449", 500, "101.00", False),
        ("0", 0, "101.00", True),
        ("0.01", 0, "101.00", False),
    ],
)
def test_t8_a_tax_is_right_within_half_a_minor_unit(amount: str, bps: int, taxable: str, fits: bool) -> None:
    wrong = line("101", tax(amount, bps, taxable))
    if fits:
        check_taxes(1, wrong)
    else:
        with pytest.raises(InvalidDocument, match="validation_failed"):
            check_taxes(1, wrong)


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        (line("100", discount="0"), True),
        (line("100", discount="0.0001"), True),
        (line("100", discount="100"), True),
        (line("33.3333", quantity="1.5", discount="50.0000"), True),
        (line("0", discount="0"), True),
        (line("100", discount="100.0001"), False),
        (line("100", discount="-0.0001"), False),
        (line("0", discount="0.0001"), False),
        (line("100", quantity="2", discount="200.01"), False),
        (line("100", discount="1", why="Commission"), True),
        (line("100", why="Commission"), False),
    ],
)
def test_t35_a_discount_is_from_nothing_to_all_of_its_line(given: InvoiceLine, fits: bool) -> None:
    if fits:
        check_amounts(1, given)
        assert given.net == given.subtotal - Money.of(given.discount, "INR")
        return
    for reason in ("invalid_amount", "validation_failed"):
        with pytest.raises(InvalidDocument, match=reason):
            check_amounts(1, given, reason)


def halves(taxable: str, amount: str) -> list[TaxLine]:
    return [tax(amount, 900, taxable, code) for code in ("CGST", "SGST")]


@pytest.mark.parametrize(
    ("taxes", "left"),
    [
        ([tax("90", 1000, "900")], True),
        ([tax("90", 1000, "900", regime="sst_my")], True),
        (halves("900", "81"), True),
        ([tax("30", 500, "600"), tax("54", 1800, "300")], True),
        ([tax("5", 500, "100")], True),
        ([tax("0", 0, "900")], True),
        ([tax("90.001", 1000, "900.01")], False),
        ([tax("100", 1000, "1000")], False),
        ([tax("0", 0, "1000")], False),
        (halves("1000", "90"), False),
        ([tax("30", 500, "600"), tax("54.0018", 1800, "300.01")], False),
        ([tax("30", 500, "600"), tax("54.0018", 1800, "300.01", "igst")], False),
    ],
)
def test_t35_more_than_a_discount_leaves_cannot_be_taxed(taxes: list[TaxLine], left: bool) -> None:
    check_taxes(1, line("1000", *(each for each in taxes if each.taxable_amount <= 1000)))
    given = line("1000", *taxes, discount="100")
    if left:
        check_taxes(1, given)
    else:
        with pytest.raises(InvalidDocument, match="validation_failed") as no:
            check_taxes(7, given)
        assert no.value.detail.startswith("Line 7: ")
        assert "INR 900.00 is left after the discount" in no.value.detail


def test_t35_what_is_left_may_be_taxed_in_minor_units() -> None:
    """66.6666 less 0.0001 is 66.6665: its tax is on 66.67."""
    check_taxes(1, line("33.3333", tax("12", 1800, "66.67"), quantity="2", discount="0.0001"))
    with pytest.raises(InvalidDocument, match="validation_failed"):
        check_taxes(1, line("33.3333", tax("12", 1800, "66.6701"), quantity="2", discount="0.0001"))


def test_t35_the_journal_of_a_discounted_invoice_has_what_is_left_as_revenue() -> None:
    lines = [
        line("9154.00", *halves("8280.66", "745.2594"), desk="ticketing_visa", discount="873.34"),
        line("500", desk="hotels_holidays", discount="500"),
        line("100"),
    ]
    total = total_of(lines)
    assert (total.text, discount_of(lines).text) == ("INR 9871.18", "INR 1373.34")
    posted = issue_journal(invoice(total), lines, ACCOUNTS).lines
    assert [(each.side, each.account.code, f"{each.money.amount:f}") for each in posted] == [
        ("debit", "1100", "9871.18"),
        ("credit", "2110", "745.26"),
        ("credit", "2120", "745.26"),
        ("credit", "4000", "8280.66"),
        ("credit", "4200", "100.00"),
    ]


@pytest.mark.parametrize("half", ["SGST", "UTGST", "utgst"])
def test_t8_the_other_half_is_a_states_or_a_union_territorys(half: str) -> None:
    cgst = tax("2.53", 250, "101.00", "CGST")
    check_taxes(1, line("101", cgst, tax("2.53", 250, "101.00", half)))
    with pytest.raises(InvalidDocument, match="validation_failed"):
        check_taxes(1, line("101", cgst, tax("2.52", 250, "101.00", half)))


@pytest.mark.parametrize(
    ("regime", "code", "account"),
    [
        ("gst_india", "CGST", "2110"),
        ("gst_india", "sgst", "2120"),
        ("gst_india", "UTGST", "2120"),
        ("gst_india", "IGST", "2130"),
        ("gst_india", "CESS", "2100"),
        ("vat_uae", "VAT", "2150"),
        ("vat_uk", "STD", "2150"),
        ("vat_eu", "STD", "2150"),
        ("gst_sg", "GST", "2100"),
        ("none", "x", "2100"),
    ],
)
def test_each_tax_has_its_account(regime: Any, code: str, account: str) -> None:
    assert tax("1", 0, "1", code, regime).account == account
    assert account in ACCOUNTS


LINES = st.lists(
    st.builds(
        lambda price, quantity, rate, desk, share: (price, quantity, rate, desk, share),
        st.decimals("0", "9999", places=4),
        st.decimals("0.0001", "99", places=4),
        st.integers(0, 3000),
        st.sampled_from(("ticketing_visa", "hotels_holidays", "other")),
        st.sampled_from((0, 0, 1, 333, 999, 1000)),
    ),
    min_size=1,
    max_size=8,
)


@given(LINES, st.sampled_from(["INR", "KWD", "JPY"]))
def test_b49_the_journal_of_an_issue_balances_and_rounding_is_small(lines: Any, currency: str) -> None:
    built = []
    for price, quantity, rate, desk, share in lines:
        bare = line(f"{price:f}", currency=currency, quantity=f"{quantity:f}", desk=desk)
        discount = (bare.subtotal.amount * share / 1000).quantize(Decimal("0.0001"))
        left = bare.subtotal.amount - discount
        amount = (left * rate / 10_000).quantize(Decimal("0.0001"))
        built.append(replace(bare, discount=discount, taxes=(tax(f"{amount:f}", rate, f"{left:f}"),)))
        check_amounts(1, built[-1])
        check_taxes(1, built[-1])
    total = total_of(built)
    if total.amount == 0:
        return
    entry = issue_journal(invoice(total), built, ACCOUNTS)
    credits_ = totals(each.money for each in entry.lines if each.side == "credit")
    assert entry.debits == credits_
    assert len(entry.lines) >= 2
    assert all(each.money.amount > 0 and each.money.in_minor_units for each in entry.lines)
    assert entry.lines[0].account.code == "1100"
    assert entry.lines[0].money == total
    rounding = [each.money.amount for each in entry.lines if each.account.code == "7000"]
    unit = Decimal(1).scaleb(-minor_digits(currency))
    assert sum(rounding) <= unit * len({each.account.code for each in entry.lines})


def test_the_other_journals_are_of_the_control_account_and_their_day() -> None:
    amount, later = Money.of("12.5", "INR"), date(2026, 12, 1)
    received = receipt_journal(invoice(amount), amount, later, ACCOUNTS)
    entered, paid = bill_journal(bill(amount), ACCOUNTS), remittance_journal(bill(amount), amount, later, ACCOUNTS)
    assert [(each.account.code, each.side) for each in received.lines] == [("1000", "debit"), ("1100", "credit")]
    assert [(each.account.code, each.side) for each in entered.lines] == [("5000", "debit"), ("2000", "credit")]
    assert [(each.account.code, each.side) for each in paid.lines] == [("2000", "debit"), ("1000", "credit")]
    assert [each.entry_date for each in (received, entered, paid)] == [later, DAY, later]
    assert [(each.invoice_id, each.bill_id) for each in (received, entered, paid)] == [
        ("i", None),
        (None, "b"),
        (None, "b"),
    ]


@pytest.mark.parametrize(
    ("today", "day"), [(date(2026, 11, 22), DAY), (DAY, DAY), (date(2026, 12, 1), date(2026, 12, 1))]
)
def test_a_reversal_is_not_older_than_what_it_reverses(today: date, day: date) -> None:
    entry = bill_journal(bill(Money.of(5, "INR")), ACCOUNTS)
    back = PostedJournal(id="j", entry=entry).reversal(today, "Void", "document.voided")
    assert (back.entry_date, back.reverses, back.bill_id) == (day, "j", "b")
    assert [each.side for each in back.lines] == ["credit", "debit"]
    assert [each.money for each in back.lines] == [each.money for each in entry.lines]


@pytest.mark.parametrize(
    ("amount", "currency", "day", "why"),
    [
        ("60", "INR", DAY, None),
        ("0.01", "INR", DAY, None),
        ("60.01", "INR", DAY, "overpayment"),
        ("0", "INR", DAY, "invalid_amount"),
        ("1.005", "INR", DAY, "invalid_amount"),
        ("1", "USD", DAY, "currency_mismatch"),
        ("1", "INR", date(2026, 11, 22), "invalid_date"),
    ],
)
def test_t12_what_can_be_paid(amount: str, currency: str, day: date, why: str | None) -> None:
    owed = invoice(Money.of(100, "INR"), paid="40")
    assert owed.due == Money.of(60, "INR")
    if why is None:
        check_payment(owed, Money.of(amount, currency), day)
        return
    with pytest.raises(InvalidDocument, match=why):
        check_payment(owed, Money.of(amount, currency), day)
