"""Double entry: which journals can stand."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.books import CHART, DraftLine, InvalidJournal, LedgerAccount, grouped, validate_lines
from voyagent.actors.domain.money import Money, totals

ACCOUNTS = {
    each.code: LedgerAccount(
        id=f"id-{each.code}",
        code=each.code,
        name=each.name,
        type=each.type,
        is_control=each.is_control,
        is_active=each.code != "7000",
    )
    for each in CHART
}


def draft(account: str, debit: str | None = None, credit: str | None = None, **more: Any) -> DraftLine:
    return DraftLine(
        account=account,
        code=more.get("code"),
        currency=more.get("currency", "INR"),
        debit=None if debit is None else Decimal(debit),
        credit=None if credit is None else Decimal(credit),
        memo=None,
    )


def reason(*drafts: DraftLine) -> str:
    with pytest.raises(InvalidJournal) as caught:
        validate_lines(drafts, ACCOUNTS.get)
    assert caught.value.detail
    return str(caught.value)


def test_the_chart_is_that_of_the_contract() -> None:
    assert [each.code for each in CHART] == [
        *("1000", "1100", "1200", "1300", "1400"),
        *("2000", "2100", "2110", "2120", "2130", "2150", "2200", "2300"),
        *("3000", "4000", "4100", "4200", "5000", "5100", "5200", "7000"),
    ]
    assert [each.code for each in CHART if each.is_control] == ["1100", "2000"]


def test_b49_a_journal_balances_in_each_currency_by_itself() -> None:
    lines = validate_lines(
        [
            draft("1000", "100.50"),
            draft("4200", credit="100.50", debit="0"),
            draft("1000", credit="3", currency="USD"),
            draft("3000", "3.00", currency="USD"),
        ],
        ACCOUNTS.get,
    )
    assert [line.money.text for line in lines] == ["INR 100.50", "INR 100.50", "USD 3.00", "USD 3.00"]
    assert [line.side for line in lines] == ["debit", "credit", "credit", "debit"]
    assert reason(draft("1000", "3"), draft("4200", credit="3", currency="USD")) == "validation_failed"
    assert reason(draft("1000", "3"), draft("4200", credit="2.99")) == "validation_failed"
    assert reason(draft("1000", "3"), draft("4200", "3")) == "validation_failed"
    assert reason(draft("1000", "3")) == "validation_failed"
    balanced = draft("1000", "3"), draft("4200", credit="3")
    for alone in (draft("3000", "5", currency="USD"), draft("3000", credit="5", currency="USD")):
        assert reason(*balanced, alone) == "validation_failed"


@pytest.mark.parametrize(
    "bad",
    [
        draft("9999", "3"),
        draft("7000", "3"),
        draft("1000", "3", code="4200"),
        draft("1000"),
        draft("1000", "0", "0"),
        draft("1000", "3", "3"),
        draft("1000", "-3"),
        draft("1000", "-3", "3"),
        draft("1000", "0.001"),
        draft("1000", "0.5", currency="JPY"),
        draft("1000", "100000000000000"),
    ],
)
def test_b49_a_line_has_one_account_and_one_side_in_its_minor_unit(bad: DraftLine) -> None:
    assert reason(bad, draft("4200", credit="3")) == "invalid_line"


@pytest.mark.parametrize("code", ["1100", "2000"])
def test_b54_a_control_account_is_not_posted_to_by_hand(code: str) -> None:
    assert reason(draft(code, "3"), draft("4200", credit="3")) == "control_account"


AMOUNTS = st.one_of(st.none(), st.decimals("-1", "5", places=2), st.decimals("0", "2", places=0))
WISHES = st.builds(
    DraftLine,
    account=st.sampled_from([*ACCOUNTS, "9999"]),
    code=st.none(),
    currency=st.sampled_from(["INR", "JPY"]),
    debit=AMOUNTS,
    credit=AMOUNTS,
    memo=st.none(),
)


@given(st.lists(WISHES, max_size=5))
def test_b49_whatever_is_wished_what_is_drawn_up_balances(drafts: list[DraftLine]) -> None:
    try:
        lines = validate_lines(drafts, ACCOUNTS.get)
    except InvalidJournal:
        return
    sides = [totals(line.money for line in lines if line.side == side) for side in ("debit", "credit")]
    assert sides[0] == sides[1]
    assert len(lines) >= 2
    assert all(line.money.amount > 0 and line.money.in_minor_units for line in lines)
    assert not any(line.account.is_control for line in lines)


SOUND = st.builds(
    lambda side, amount, currency: draft("1000", **{side: str(amount)}, currency=currency),
    st.sampled_from(["debit", "credit"]),
    st.integers(1, 2),
    st.sampled_from(["INR", "JPY"]),
)


@given(st.lists(SOUND, min_size=2, max_size=6))
def test_b49_a_journal_of_sound_lines_stands_exactly_if_each_currency_balances(drafts: list[DraftLine]) -> None:
    rest: Counter[str] = Counter()
    for each in drafts:
        rest[each.currency] += int((each.debit or 0) - (each.credit or 0))
    if any(rest.values()):
        assert reason(*drafts) == "validation_failed"
    else:
        assert len(validate_lines(drafts, ACCOUNTS.get)) == len(drafts)


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money.of("1234567.5", "INR"), "INR 1,234,567.50"),
        (Money.of("-1234", "JPY"), "JPY -1,234"),
        (Money.of(0, "KWD"), "KWD 0.000"),
    ],
)
def test_a_balance_is_written_in_groups(money: Money, text: str) -> None:
    assert grouped(money) == text
