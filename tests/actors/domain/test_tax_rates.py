"""Rates hold from their day on: which one counts is decided by the date of the document, on both sides of a change."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.documents import InvalidDocument, InvoiceLine, check_taxes, total_of
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.tax_rates import (
    RequestedLine,
    RequestedTax,
    TaxRate,
    UnlistedRate,
    defaults,
    in_force,
    percent,
    settle,
)

BEFORE, CHANGE = date(2023, 12, 31), date(2024, 1, 1)
"""The day before Singapore's rate became 9 %, and that day."""
DAY = date(2026, 11, 23)


def tax(taxable: str = "100", code: str = "IGST", regime: Any = "gst_india", **given: Any) -> RequestedTax:
    return RequestedTax(regime=regime, code=code, taxable_amount=Decimal(taxable), **given)


def asked(*taxes: RequestedTax, price: str = "100", currency: str = "INR", **given: Any) -> RequestedLine:
    line = InvoiceLine(description="Fee", quantity=Decimal(1), unit_price=Money.of(price, currency))
    return RequestedLine(line=line, taxes=taxes, **given)


def settled(*taxes: RequestedTax, day: date = DAY, rates: Any = None, **given: Any) -> InvoiceLine:
    ((line,), unlisted) = settle([asked(*taxes, **given)], defaults() if rates is None else rates, day)
    assert unlisted == ()
    return line


def refused(*taxes: RequestedTax, day: date = DAY, rates: Any = None, **given: Any) -> str:
    with pytest.raises(InvalidDocument) as no:
        settle([asked(*taxes, **given)], defaults() if rates is None else rates, day)
    assert no.value.reason == "validation_failed"
    return no.value.detail


@pytest.mark.parametrize(
    ("asked_for", "day", "bps"),
    [
        (tax(), DAY, 1800),
        (tax(supply="tour_package"), DAY, 500),
        (tax(supply="zero_rated"), DAY, 0),
        (tax(code="cgst"), DAY, 900),
        (tax(code="UTGST", supply="tour_package"), DAY, 250),
        (tax(code="VAT", regime="vat_uae"), DAY, 500),
        (tax(code="VAT", regime="vat_uae", supply="zero_rated"), DAY, 0),
        (tax(code="VAT", regime="vat_uk"), DAY, 2000),
        (tax(code="GST", regime="gst_sg"), date(2022, 12, 31), 700),
        (tax(code="GST", regime="gst_sg"), date(2023, 1, 1), 800),
        (tax(code="GST", regime="gst_sg"), BEFORE, 800),
        (tax(code="GST", regime="gst_sg"), CHANGE, 900),
        (tax(code="SST", regime="sst_my"), date(2024, 2, 29), 600),
        (tax(code="SST", regime="sst_my"), date(2024, 3, 1), 800),
    ],
)
def test_t8_a_rate_that_is_not_named_is_the_agencys_of_the_documents_date(
    asked_for: RequestedTax, day: date, bps: int
) -> None:
    (line,) = settled(asked_for, day=day).taxes
    assert line.rate_bps == bps
    assert line.tax_amount == Decimal(bps) / 100


@pytest.mark.parametrize(
    ("asked_for", "day", "says"),
    [
        (tax(code="GST", regime="gst_sg", rate_bps=900), BEFORE, "800 (standard)"),
        (tax(code="GST", regime="gst_sg", rate_bps=800), CHANGE, "900 (standard)"),
        (tax(supply="tour_package", rate_bps=1800), DAY, "is 500 basis points, not 1800"),
        (tax(supply="hotel_room"), DAY, "for hotel_room"),
        (tax(), date(2017, 6, 30), "the agency has none of this tax then"),
        (tax(code="VAT", regime="vat_eu"), DAY, "the agency has none of this tax then"),
    ],
)
def test_t8_a_rate_of_another_day_or_supply_is_refused(asked_for: RequestedTax, day: date, says: str) -> None:
    assert says in refused(asked_for, day=day)


def test_t6_a_rate_the_agency_has_on_no_day_is_taken_and_told() -> None:
    ((line,), unlisted) = settle([asked(tax("70.06", rate_bps=1960, tax_amount=Decimal("13.7318")))], defaults(), DAY)
    assert line.taxes[0].tax_amount == Decimal("13.7318")
    assert unlisted == (UnlistedRate("IGST", 1960, (1800, 500, 0)),)
    assert percent(1960) == "19.6 %"
    assert percent(2000) == "20 %"


@pytest.mark.parametrize(
    ("taxable", "supply", "halves", "whole"),
    [
        ("101.00", "tour_package", "2.53", "5.05"),
        ("3245.50", None, "292.10", "584.19"),
        ("150.00", None, "13.50", "27"),
    ],
)
def test_t8_taxes_that_are_computed_are_rounded_by_component(
    taxable: str, supply: str | None, halves: str, whole: str
) -> None:
    line = settled(*(tax(taxable, code, supply=supply) for code in ("CGST", "SGST")), price=taxable)
    assert [each.tax_amount for each in line.taxes] == [Decimal(halves)] * 2
    check_taxes(1, line)
    assert settled(tax(taxable, supply=supply)).taxes[0].tax_amount == Decimal(whole)


@pytest.mark.parametrize(("currency", "amount"), [("KWD", "0.050"), ("JPY", "0"), ("AED", "0.05")])
def test_t6_a_computed_tax_has_its_currencys_decimals(currency: str, amount: str) -> None:
    line = settled(tax("1.0005", "VAT", "vat_uae"), price="1.0005", currency=currency)
    assert f"{line.taxes[0].tax_amount:f}" == amount


def test_a_stated_total_is_judged_with_the_taxes() -> None:
    assert settled(tax(), total=Decimal(118)).total.text == "INR 118.00"
    assert "its total is INR 118.00, not 117" in refused(tax(), total=Decimal(117))


def test_a_place_has_its_own_rates_or_those_of_all_the_regime() -> None:
    rates = [
        TaxRate("vat_eu", "VAT", "DE", "standard", date(2007, 1, 1), 1900),
        TaxRate("vat_eu", "VAT", "", "standard", date(2007, 1, 1), 2100),
    ]
    for place, bps in (("de", 1900), ("FR", 2100), (None, 2100)):
        (line,) = settled(tax(code="VAT", regime="vat_eu", jurisdiction=place), rates=rates).taxes
        assert (line.rate_bps, line.jurisdiction) == (bps, place)


def test_defaults_are_one_rate_a_day() -> None:
    keys = [(*rate.tax, rate.holds_from) for rate in defaults()]
    assert len(set(keys)) == len(keys) > 15
    assert {"vat_eu", "sales_tax_us", "none"} & {rate.regime for rate in defaults()} == set()


RATES = st.lists(
    st.tuples(
        st.integers(-400, 400), st.none() | st.integers(0, 100_000), st.sampled_from(["standard", "tour_package"])
    ),
    max_size=8,
    unique_by=lambda each: (each[0], each[2]),
).map(
    lambda rows: [
        TaxRate("gst_india", "IGST", "", supply, DAY + timedelta(days=offset), bps) for offset, bps, supply in rows
    ]
)


@given(rates=RATES, offset=st.integers(-410, 410))
def test_the_rate_of_a_day_is_that_of_its_last_row(rates: list[TaxRate], offset: int) -> None:
    day = DAY + timedelta(days=offset)
    for supply in ("standard", "tour_package"):
        rows = [rate for rate in rates if rate.supply == supply and rate.holds_from <= day]
        right = max(rows, key=lambda rate: rate.holds_from).rate_bps if rows else None
        assert [rate.rate_bps for rate in in_force(rates, day) if rate.supply == supply] == (
            [] if right is None else [right]
        )
        if right is None:
            assert f"for {supply}" in refused(tax(supply=supply), day=day, rates=rates)
        else:
            assert settled(tax(supply=supply), day=day, rates=rates).taxes[0].rate_bps == right


@given(rates=RATES, later=st.integers(1, 400), bps=st.integers(0, 100_000), offset=st.integers(-410, 410))
def test_a_later_rate_changes_no_day_before_it(rates: list[TaxRate], later: int, bps: int, offset: int) -> None:
    day, change = DAY + timedelta(days=offset), DAY + timedelta(days=500 + later)
    more = [*rates, TaxRate("gst_india", "IGST", "", "standard", change, bps)]
    assert in_force(more, day) == in_force(rates, day)
    assert [rate.rate_bps for rate in in_force(more, change) if rate.supply == "standard"] == [bps]


@given(
    taxable=st.decimals(min_value=0, max_value=10**9, places=4),
    bps=st.integers(0, 100_000),
    currency=st.sampled_from(["INR", "KWD", "JPY"]),
    days=st.integers(-2, 2),
)
def test_t6_t8_taxes_that_follow_from_the_rates_are_right_and_equal_around_a_change(
    taxable: Decimal, bps: int, currency: str, days: int
) -> None:
    change = date(2024, 2, 29)
    rates = [
        TaxRate("gst_india", code, "", "standard", day, rate)
        for code in ("CGST", "SGST")
        for day, rate in ((date(2017, 7, 1), 900), (change, bps))
    ]
    line = settled(
        *(tax(f"{taxable:f}", code) for code in ("CGST", "SGST")),
        day=change + timedelta(days=days),
        rates=rates,
        currency=currency,
    )
    assert {each.rate_bps for each in line.taxes} == {900 if days < 0 else bps}
    check_taxes(1, line)
    assert all(Money.of(each.tax_amount, currency).in_minor_units for each in line.taxes)
    assert total_of([line]).in_minor_units
