"""The rules of the trial balance (business 8.3)."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.books import CHART, LedgerAccount
from voyagent.actors.domain.trial_balance import AccountTotals, trial_balances

ACCOUNTS = tuple(
    LedgerAccount(
        id=f"id-{each.code}",
        code=each.code,
        name=each.name,
        type=each.type,
        is_control=each.is_control,
        is_active=True,
    )
    for each in CHART
)
AMOUNTS = st.decimals(min_value=0, max_value=10**12, places=4)
ROWS = st.dictionaries(
    st.tuples(st.sampled_from(CHART), st.sampled_from(["INR", "USD", "AED", "KWD"])), st.tuples(AMOUNTS, AMOUNTS)
)


def totals(code: str, currency: str, debit: str, credit: str) -> AccountTotals:
    return AccountTotals(account_id=f"id-{code}", currency=currency, debit=Decimal(debit), credit=Decimal(credit))


def test_the_default_currency_comes_first_and_in_any_case_and_the_others_by_the_alphabet() -> None:
    some = [totals("1000", currency, "1", "0") for currency in ("USD", "AED")]
    assert [each.currency for each in trial_balances(ACCOUNTS, some, default_currency="INR")] == ["INR", "AED", "USD"]
    assert [each.currency for each in trial_balances(ACCOUNTS, some, default_currency="USD")] == ["USD", "AED"]
    [only] = trial_balances(ACCOUNTS, [], default_currency="INR")
    assert (only.accounts, only.total_debit, only.total_credit, only.in_balance) == ((), 0, 0, True)


def test_zero_rows_come_on_request_and_in_the_default_currency_alone() -> None:
    some = [totals("1000", "INR", "5", "0"), totals("3000", "INR", "0", "5"), totals("1000", "USD", "2", "2")]
    ours, dollars = trial_balances(ACCOUNTS, some, default_currency="INR", include_zero=True)
    assert [each.code for each in ours.accounts] == sorted(each.code for each in CHART)
    assert [each.code for each in dollars.accounts] == ["1000"], "debited and credited alike, but not without amounts"
    plain, _ = trial_balances(ACCOUNTS, some, default_currency="INR")
    assert [(each.code, each.balance) for each in plain.accounts] == [("1000", 5), ("3000", -5)]
    assert (plain.total_debit, plain.total_credit) == (ours.total_debit, ours.total_credit) == (5, 5)


def test_an_agency_without_a_chart_has_the_one_it_will_be_seeded_with() -> None:
    [before] = trial_balances((), [], default_currency="INR", include_zero=True)
    [after] = trial_balances(ACCOUNTS, [], default_currency="INR", include_zero=True)
    assert before == after


def test_an_unbalanced_currency_is_said_to_be_so() -> None:
    [only] = trial_balances(ACCOUNTS, [totals("1000", "INR", "5", "4.99")], default_currency="INR")
    assert not only.in_balance


@given(ROWS, st.booleans())
def test_b46_every_row_is_in_the_trial_balance_of_its_currency_once(
    rows: dict[tuple[object, str], tuple[Decimal, Decimal]], include_zero: bool
) -> None:
    given_ = [
        AccountTotals(account_id=f"id-{entry.code}", currency=currency, debit=debit, credit=credit)  # type: ignore[attr-defined]
        for (entry, currency), (debit, credit) in rows.items()
    ]
    found = trial_balances(ACCOUNTS, given_, default_currency="INR", include_zero=include_zero)
    for each in found:
        codes = [row.code for row in each.accounts]
        assert codes == sorted(set(codes))
        own = [total for total in given_ if total.currency == each.currency]
        assert each.total_debit == sum(total.debit for total in own)
        assert each.total_credit == sum(total.credit for total in own)
        assert {(row.code, row.debit, row.credit) for row in each.accounts if row.debit or row.credit} == {
            (total.account_id.removeprefix("id-"), total.debit, total.credit)
            for total in own
            if total.debit or total.credit
        }
    assert {total.currency for total in given_} | {"INR"} == {each.currency for each in found}
