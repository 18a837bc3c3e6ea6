"""The rules of aging: buckets by days since the due date, currencies apart (business 8.1)."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.aging import (
    BUCKETS,
    Due,
    OpenDocuments,
    PartyAmount,
    Reconciliation,
    agings,
    bucket_of,
    header_currency,
)

AS_OF = date(2026, 11, 29)
DUES = st.lists(
    st.builds(
        Due,
        currency=st.sampled_from(["INR", "USD", "AED", "KWD"]),
        due_date=st.dates(date(2025, 1, 1), date(2027, 12, 31)),
        count=st.integers(1, 9),
        amount=st.decimals(Decimal("0.01"), 10**12, places=3),
    ),
    max_size=30,
)


@pytest.mark.parametrize(
    ("age", "bucket"),
    [
        *((age, "0-30") for age in (-400, -1, 0, 1, 30)),
        *((age, "31-60") for age in (31, 60)),
        *((age, "61-90") for age in (61, 90)),
        *((age, "90+") for age in (91, 5000)),
    ],
)
def test_t1_a_document_is_in_the_bucket_of_its_age_and_before_it_is_due_in_the_first(age: int, bucket: str) -> None:
    assert BUCKETS[bucket_of(age)] == bucket


@pytest.mark.parametrize(
    ("due", "as_of", "bucket"),
    [
        (date(2028, 2, 28), date(2028, 3, 30), "31-60"),  # 2028 has a 29 February: 31 days
        (date(2027, 2, 28), date(2027, 3, 30), "0-30"),  # 2027 has none: 30 days
        (date(2028, 2, 29), date(2028, 3, 30), "0-30"),
        (date(2028, 2, 29), date(2029, 2, 28), "90+"),
        (date(2027, 12, 31), date(2028, 2, 29), "31-60"),
        (date(2027, 12, 31), date(2028, 3, 1), "61-90"),
    ],
)
def test_t1_ages_are_days_across_leap_days_too(due: date, as_of: date, bucket: str) -> None:
    [only] = agings(documents(("INR", due, 1, "5")), as_of=as_of, default_currency="INR")
    assert [each.name for each in only.buckets if each.count] == [bucket]


@pytest.mark.parametrize(("age", "not_due"), [(-16, "1000"), (0, "1000"), (1, "0"), (30, "0")])
def test_t1_what_is_not_due_yet_is_a_part_of_the_first_bucket(age: int, not_due: str) -> None:
    found = documents(("INR", AS_OF - timedelta(days=age), 1, "1000"), ("INR", AS_OF - timedelta(days=5), 1, "7"))
    [only] = agings(found, as_of=AS_OF, default_currency="INR")
    assert (only.buckets[0].count, only.buckets[0].amount) == (2, 1007)
    assert (only.not_due, only.total_outstanding) == (Decimal(not_due), 1007)


@pytest.mark.parametrize(
    ("default", "counts", "header"),
    [
        ("INR", {}, "INR"),
        ("INR", {"USD": 0}, "INR"),
        ("INR", {"INR": 1, "USD": 50}, "INR"),
        ("INR", {"AED": 2, "USD": 3}, "USD"),
        ("INR", {"USD": 2, "AED": 2, "KWD": 1}, "AED"),
    ],
)
def test_b46_the_header_currency(default: str, counts: dict[str, int], header: str) -> None:
    assert header_currency(default, counts) == header


def documents(*rows: tuple[str, date, int, str]) -> OpenDocuments:
    return OpenDocuments(
        due=[
            Due(currency=currency, due_date=due, count=count, amount=Decimal(amount))
            for currency, due, count, amount in rows
        ]
    )


def test_nothing_outstanding_is_zeros_in_the_default_currency() -> None:
    [only] = agings(OpenDocuments(), as_of=AS_OF, default_currency="AED")
    assert (only.currency, only.total_outstanding, only.not_due, only.top) == ("AED", 0, 0, ())
    assert [(each.name, each.count, each.amount) for each in only.buckets] == [(name, 0, 0) for name in BUCKETS]
    assert only.reconciliation == Reconciliation()


def test_a_currency_outside_the_window_is_reported_for_its_reconciliation() -> None:
    found = OpenDocuments(
        reconciliations={
            "USD": Reconciliation(aging_total=Decimal(5), control_account=Decimal(5)),
            "KWD": Reconciliation(),
            "AED": Reconciliation(control_account=Decimal(1)),
        }
    )
    ours, dirhams, dollars = agings(found, as_of=AS_OF, default_currency="INR")
    assert [each.currency for each in (ours, dirhams, dollars)] == ["INR", "AED", "USD"]
    assert dollars.total_outstanding == 0
    assert (dollars.reconciliation.difference, dirhams.reconciliation.difference) == (0, -1)


def test_parties_stay_with_their_currency() -> None:
    party = PartyAmount(name="Meridian", amount=Decimal(5))
    found = OpenDocuments(due=documents(("USD", AS_OF, 1, "5")).due, top={"USD": [party]})
    [only] = agings(found, as_of=AS_OF, default_currency="INR")
    assert (only.currency, only.top) == ("USD", (party,))


@given(DUES, st.sampled_from(["INR", "EUR"]))
def test_b46_the_buckets_add_up_to_what_is_outstanding_in_each_currency(due: list[Due], default: str) -> None:
    found = agings(OpenDocuments(due=due), as_of=AS_OF, default_currency=default)
    assert {each.currency for each in found} - {default} == {each.currency for each in due} - {default}
    assert [each.currency for each in found[1:]] == sorted(each.currency for each in found[1:])
    for each in found:
        own = [row for row in due if row.currency == each.currency]
        assert each.total_outstanding == sum(row.amount for row in own)
        assert each.not_due == sum(row.amount for row in own if row.due_date >= AS_OF) <= each.buckets[0].amount
        in_buckets = Counter[str]()
        for row in own:
            in_buckets[BUCKETS[bucket_of((AS_OF - row.due_date).days)]] += row.count
        assert {bucket.name: bucket.count for bucket in each.buckets if bucket.count} == dict(in_buckets)
