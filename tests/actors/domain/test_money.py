"""Money is exact, and no two currencies ever meet in a sum."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from voyagent.actors.domain.money import CurrencyMismatch, Money, minor_digits, reported, totals

AMOUNTS = st.decimals(min_value=-(10**14), max_value=10**14, places=4)
CURRENCIES = st.sampled_from(["INR", "USD", "JPY", "KWD", "EUR"])
MONEY = st.builds(Money.of, AMOUNTS, CURRENCIES)


@pytest.mark.parametrize("amount", [1.5, 0.0, True, "1e3", "1_000", "", " 1", "-", ".", "\u0661", "0x1", None])
def test_what_is_not_an_exact_decimal_is_refused(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Money.of(amount, "INR")


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-inf", Decimal("sNaN")])
def test_an_amount_is_finite(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Money.of(amount, "INR")


@pytest.mark.parametrize("amount", [Decimal("1e400"), Decimal("1e-40"), "1" + "0" * 18, 10**18])
def test_an_amount_too_long_to_be_added_exactly_is_refused(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Money.of(amount, "INR")


@pytest.mark.parametrize("currency", ["inr", "IN", "INRR", "", "1NR", "INR\n", None])
def test_a_currency_is_three_capital_letters(currency: Any) -> None:
    with pytest.raises(ValidationError):
        Money.of(1, currency)


def test_a_float_is_refused_in_json_as_well() -> None:
    with pytest.raises(ValidationError):
        Money.model_validate_json('{"amount": 1.5, "currency": "INR"}')
    assert Money.model_validate_json('{"amount": "1.5", "currency": "INR"}') == Money.of("1.50", "INR")


def test_money_takes_no_other_keys_and_does_not_change() -> None:
    with pytest.raises(ValidationError):
        Money.model_validate({"amount": 1, "currency": "INR", "unit": "lakh"})
    with pytest.raises(ValidationError):
        Money.of(1, "INR").amount = Decimal(2)  # type: ignore[misc]


@given(AMOUNTS, AMOUNTS, CURRENCIES)
def test_sums_and_differences_are_exact(one: Decimal, other: Decimal, currency: str) -> None:
    first, second = Money.of(one, currency), Money.of(other, currency)
    assert (first + second) - second == first
    assert first + second == second + first
    assert first + -first == Money.of(0, currency)
    assert Money.of(0, currency) - -first == first


@given(MONEY, MONEY)
def test_two_currencies_are_never_added(one: Money, other: Money) -> None:
    if one.currency == other.currency:
        assert (one + other).currency == one.currency
        return
    with pytest.raises(CurrencyMismatch):
        one + other
    with pytest.raises(CurrencyMismatch):
        one - other


@given(st.lists(MONEY))
def test_totals_keep_the_currencies_apart_and_lose_nothing(amounts: list[Money]) -> None:
    sums = totals(amounts)
    assert set(sums) == {each.currency for each in amounts}
    for currency, total in sums.items():
        assert total.currency == currency
        assert total.amount == sum((each.amount for each in amounts if each.currency == currency), Decimal(0))


@given(MONEY)
def test_money_written_is_read_back_the_same(money: Money) -> None:
    assert Money.read(money.text) == money
    assert Money.model_validate_json(money.model_dump_json()) == money


@given(MONEY)
def test_rounding_gives_minor_units_at_most_half_a_unit_away(money: Money) -> None:
    rounded = money.rounded()
    assert rounded.in_minor_units
    assert abs(rounded.amount - money.amount) * 2 <= Decimal(1).scaleb(-minor_digits(money.currency))
    assert (-money).rounded() == -rounded, "halves go away from zero on both sides"


def test_halves_are_rounded_away_from_zero() -> None:
    assert Money.of("0.125", "INR").rounded() == Money.of("0.13", "INR")
    assert Money.of("-0.125", "INR").rounded() == Money.of("-0.13", "INR")
    assert Money.of("2.5", "JPY").rounded() == Money.of(3, "JPY")


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (45200, "INR", "INR 45200.00"),
        (Decimal("45200.0000"), "INR", "INR 45200.00"),
        ("-0.5", "USD", "USD -0.50"),
        ("1500", "JPY", "JPY 1500"),
        ("1.5", "KWD", "KWD 1.500"),
        ("1.2345", "INR", "INR 1.2345"),
        ("1.2340", "INR", "INR 1.234"),
    ],
)
def test_money_is_written_with_the_decimals_of_its_currency(amount: Any, currency: str, text: str) -> None:
    assert Money.of(amount, currency).text == text


@pytest.mark.parametrize("text", ["INR", "INR45", "45 INR", "INR 4,5", "INR  45", ""])
def test_what_is_not_written_like_money_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Money.read(text)


def test_minor_units_are_those_of_iso_4217() -> None:
    three = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
    none = {
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    }
    two = {"INR", "USD", "EUR", "AED", "HUF", "IRR", "LBP", "MMK", "PKR", "RSD", "ALL", "COP", "TWD", "MGA"}
    assert {minor_digits(currency) for currency in three} == {3}
    assert {minor_digits(currency) for currency in none} == {0}
    assert {minor_digits(currency) for currency in two} == {2}


def test_the_published_schema_says_what_is_read() -> None:
    schema = Money.model_json_schema()
    assert schema["title"] == "Money"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["amount", "currency"]
    assert schema["properties"]["amount"]["anyOf"] == [
        {"type": "number"},
        {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"},
    ]
    currency = schema["properties"]["currency"]
    assert (currency["minLength"], currency["maxLength"], currency["pattern"]) == (3, 3, "^[A-Z]{3}$")
    assert all({"title", "description"} <= set(part) for part in schema["properties"].values())


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("0", "INR", "0.00"),
        ("-12.5000", "INR", "-12.50"),
        ("1240", "JPY", "1240.00"),
        ("1.0010", "KWD", "1.001"),
        ("2", "KWD", "2.000"),
        ("1E+3", "INR", "1000.00"),
        ("0.1234", "INR", "0.1234"),
    ],
)
def test_reports_write_two_decimals_at_least_and_all_of_the_minor_unit(amount: str, currency: str, text: str) -> None:
    assert reported(Decimal(amount), currency) == text


@given(AMOUNTS, CURRENCIES)
def test_what_reports_write_is_the_amount(amount: Decimal, currency: str) -> None:
    assert Decimal(reported(amount, currency)) == amount
