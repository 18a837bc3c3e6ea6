"""The rules of enquiries."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.enquiries import (
    MAX_BUDGET,
    STATUSES,
    TERMINAL,
    WRITABLE,
    Enquiry,
    differences,
    may_become,
    opened,
    rounded,
)
from voyagent.actors.domain.errors import BadRequest, Refusal, Unprocessable

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SESSION = "019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b"
BARE: dict[str, Any] = {
    **dict.fromkeys(WRITABLE),
    "customer_name": "Asha Rao",
    "pax_count": 1,
    "status": "new",
}


def enquiry(**fields: Any) -> Enquiry:
    return opened({**BARE, **fields}, enquiry_id="e", tenant_id="t", by="u", now=NOW)


def code(refusal: pytest.ExceptionInfo[Refusal]) -> tuple[type[Refusal], str]:
    return type(refusal.value), refusal.value.code


def test_every_transition_but_back_from_a_terminal_status_is_allowed() -> None:
    refused = {(one, other) for one in STATUSES for other in STATUSES if not may_become(one, other)}
    assert refused == {("booked", "new"), ("booked", "quoted"), ("cancelled", "new"), ("cancelled", "quoted")}


@given(st.lists(st.sampled_from(STATUSES), max_size=12))
def test_no_sequence_of_changes_leaves_the_terminal_statuses(wanted: list[str]) -> None:
    now, was_terminal = enquiry(), False
    for status in wanted:
        try:
            now = now._replace(**differences(now, {"status": status}))
        except BadRequest:
            assert was_terminal
            assert status not in TERMINAL
        was_terminal = was_terminal or now.status in TERMINAL
        assert (now.status in TERMINAL) is was_terminal


def test_a_new_enquiry_has_its_author_and_both_times() -> None:
    made = enquiry(session_id=SESSION.upper(), status="booked")
    assert (made.created_by_user_id, made.created_at, made.updated_at) == ("u", NOW, NOW)
    assert (made.session_id, made.status) == (SESSION, "booked")


WRONG = {"budget_currency": "inr", "depart_date": date(2026, 2, 2), "return_date": date(2026, 2, 1), "pax_count": 0}
ORDER: list[tuple[dict[str, Any], type[Refusal], str]] = [
    ({**WRONG, "session_id": "x"}, BadRequest, "invalid_currency"),
    ({**WRONG, "budget_currency": "INR", "session_id": "x"}, BadRequest, "invalid_date_range"),
    ({"pax_count": 0, "session_id": "x"}, BadRequest, "invalid_pax_count"),
    ({"session_id": "x"}, Unprocessable, "invalid_session_id"),
]


@pytest.mark.parametrize(("fields", "kind", "name"), ORDER, ids=[name for _, _, name in ORDER])
def test_b33_rules_refuse_in_their_order_when_an_enquiry_is_made_and_changed(
    fields: dict[str, Any], kind: type[Refusal], name: str
) -> None:
    with pytest.raises(Refusal) as made:
        enquiry(**fields)
    with pytest.raises(Refusal) as changed:
        differences(enquiry(), fields)
    assert code(made) == code(changed) == (kind, name)


@pytest.mark.parametrize("currency", ["", "IN", "INRR", "inr", "IN1", "\u0410BC", "INR\n"])
def test_a_currency_is_three_capital_ascii_letters(currency: str) -> None:
    with pytest.raises(BadRequest, match="invalid_currency"):
        enquiry(budget_currency=currency)


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "customer_name": st.sampled_from(["Asha Rao", "Ravi"]),
        "origin": st.none() | st.sampled_from(["Goa", "Pune"]),
        "pax_count": st.integers(1, 3),
        "budget_amount": st.none() | st.sampled_from([Decimal("1.00"), Decimal(2)]),
        "notes": st.none() | st.just("n"),
        "session_id": st.none() | st.just(SESSION.upper()),
    },
)


def test_a_trip_may_end_on_the_day_it_begins() -> None:
    day = date(2026, 12, 12)
    assert differences(enquiry(depart_date=day), {"return_date": day}) == {"return_date": day}
    with pytest.raises(BadRequest, match="invalid_date_range"):
        differences(enquiry(depart_date=day), {"return_date": date(2026, 12, 11)})


@given(FIELDS, FIELDS)
def test_differences_are_what_changes_and_nothing_remains_after_them(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    before = enquiry(**first)
    changes = differences(before, second)
    after = before._replace(**changes)
    assert set(changes) <= set(second)
    assert all(getattr(before, name) != value for name, value in changes.items())
    assert differences(after, second) == {}
    assert differences(before, {}) == {}


@given(st.decimals(0, MAX_BUDGET, allow_nan=False))
def test_a_budget_is_rounded_to_the_nearest_hundredth_halves_away_from_zero(amount: Decimal) -> None:
    found = rounded(amount)
    assert found.as_tuple().exponent == -2
    assert not found.is_signed()
    assert found <= MAX_BUDGET
    distance = abs(found - amount)
    assert distance <= Decimal("0.005")
    assert distance < Decimal("0.005") or found > amount
