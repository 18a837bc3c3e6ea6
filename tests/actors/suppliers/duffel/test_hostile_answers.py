"""Whatever the supplier's JSON holds: an offer is read or left out, and a confirmed order is an order."""

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.actors.suppliers.duffel.standin import Standin
from tests.manual_clock import ManualClock
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.travel import FlightOffer, FlightOrder, FlightQuestion, Party
from voyagent.actors.suppliers.duffel import offers, orders
from voyagent.actors.suppliers.duffel.failures import failure
from voyagent.actors.suppliers.protocols import SupplierError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
QUESTION = FlightQuestion(
    origin="BOM", destination="DXB", outbound_date=date(2026, 12, 5), party=Party(adult=1), currency="INR"
)
STANDIN = Standin(ManualClock(NOW))
(GOOD, *_) = STANDIN.found(offers.request(QUESTION), "BOM-DXB")
ORDER = STANDIN.made(
    STANDIN.account(),
    {"type": "instant", "passengers": [{"id": GOOD["passengers"][0]["id"]}], "metadata": {"voyagent_call": "k"}},
    GOOD,
)
QUOTE: dict[str, Any] = {
    "id": "ore_1",
    "order_id": "ord_1",
    "refund_amount": "90.80",
    "refund_currency": "GBP",
    "refund_to": "balance",
    "expires_at": "2026-11-23T12:20:00Z",
    "confirmed_at": "2026-11-23T12:01:00Z",
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["\ud800", "2026-13-45T99:00:00", "PT99999999H", "9" * 40, "-1.00", "../x", "EUR", "0x10", "NaN"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a JSON value."""
    inside: list[tuple[Any, ...]] = []
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        inside += [(*path, key), *places(each, (*path, key))]
    return inside


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = by
    return changed


@given(path=st.sampled_from(places(GOOD)), by=JUNK)
def test_an_offer_is_read_whole_or_left_out(path: tuple[Any, ...], by: Any) -> None:
    item = replaced(GOOD, path, by)
    found = asyncio.run(offers.read_all([item, GOOD], QUESTION, NOW))
    assert 1 <= len(found) <= 2
    for offer in found:
        assert FlightOffer.model_validate_json(offer.model_dump_json()) == offer
        assert offer.price.amount >= 0
    with suppress(SupplierError):
        assert offers.reread(item, found[-1], NOW).id == found[-1].id


@given(path=st.sampled_from(places(ORDER)), by=JUNK)
def test_an_order_with_an_id_is_an_order(path: tuple[Any, ...], by: Any) -> None:
    item = replaced(ORDER, path, by)
    (offer,) = asyncio.run(offers.read_all([GOOD], QUESTION, NOW))
    if path == ("id",):
        with pytest.raises(SupplierError) as nameless:
            orders.read(item, NOW, offer)
        assert nameless.value.unclear
    else:
        order = orders.read(item, NOW, offer)
        assert FlightOrder.model_validate_json(order.model_dump_json()) == order
        assert order.segments


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
@pytest.mark.parametrize("offset", ["", "Z", "+14:00", "-12:00"])
def test_no_moment_at_the_end_of_the_calendar_breaks_a_list_or_an_order(moment: str, offset: str) -> None:
    for path in places(GOOD):
        found = asyncio.run(offers.read_all([replaced(GOOD, path, moment + offset), GOOD], QUESTION, NOW))
        assert found, path
    for path in places(ORDER):
        if path != ("id",):
            assert orders.read(replaced(ORDER, path, moment + offset), NOW, found[-1]).segments, path
    for name in ("expires_at", "confirmed_at"):
        assert orders.quote(QUOTE | {name: moment + offset}).ref == "ore_1"


@given(name=st.sampled_from(["refund_amount", "refund_currency", "refund_to", "expires_at"]), by=JUNK)
@example(name="expires_at", by="2026-12-01T10:00:00")
def test_what_cannot_be_read_of_a_cancellation_is_unknown_and_it_is_confirmed_all_the_same(name: str, by: Any) -> None:
    quote = orders.quote(QUOTE | {name: by})
    assert quote.confirmed
    assert (quote.ref, quote.order_ref) == ("ore_1", "ord_1")
    assert quote.refund is None or quote.refund.amount >= 0
    if by is None or isinstance(by, list | dict):
        read = {"refund_amount": quote.refund, "refund_currency": quote.refund}
        assert read.get(name, getattr(quote, name, None)) is None


@given(by=JUNK)
@example(by="2026-12-01T10:00:00")
def test_a_cancellation_is_confirmed_by_any_moment(by: Any) -> None:
    assert orders.quote(QUOTE | {"confirmed_at": by}).confirmed == (by is not None)


@given(by=JUNK)
def test_a_hold_whose_deadline_cannot_be_read_is_not_paid(by: Any) -> None:
    unpaid = replaced(ORDER, ("payment_status",), {"awaiting_payment": True, "payment_required_by": by})
    order = orders.read(unpaid | {"documents": []}, NOW)
    assert order.status in ("tentative", "cancelled")


def says_no(value: Any) -> bool:
    with suppress(ValidationError):
        return not TypeAdapter(bool).validate_python(value)
    return False


@given(stated=JUNK | st.fixed_dictionaries({}, optional={"awaiting_payment": JUNK, "payment_required_by": JUNK}))
@example(stated={"awaiting_payment": True, "payment_required_by": None})
@example(stated={"awaiting_payment": None})
@example(stated=None)
@example(stated={})
def test_what_was_held_is_unpaid_until_its_offers_deadline_unless_it_is_stated_otherwise(stated: Any) -> None:
    (found,) = asyncio.run(offers.read_all([GOOD], QUESTION, NOW))
    until = NOW + timedelta(days=2)
    offer = found.model_copy(update={"hold_possible": True, "hold_until": until})
    held = orders.read(ORDER | {"payment_status": stated, "documents": []}, NOW, offer, held=True)
    if isinstance(stated, dict) and says_no(stated.get("awaiting_payment")):
        assert (held.status, held.hold_expires_at) == ("confirmed", None)
    else:
        assert held.status in ("tentative", "cancelled")
        assert held.hold_expires_at is not None
        if not isinstance(stated, dict) or stated.get("payment_required_by") is None:
            assert (held.status, held.hold_expires_at) == ("tentative", until)


@given(body=JUNK, status=st.integers(202, 599), writes=st.booleans(), reset=st.text(max_size=30))
def test_any_error_answer_is_an_error_of_ours(body: Any, status: int, writes: bool, reset: str) -> None:
    for errors in (
        body,
        {"errors": body},
        {"errors": [body]},
        {"errors": [{"code": body, "type": body, "title": body}]},
    ):
        error = failure(status, errors, {"ratelimit-reset": reset}, NOW, writes=writes)
        assert error.unclear == (writes and (status >= 500 or status < 400 or status == 408))
        assert error.text
        assert error.retry_after is None or error.retry_after >= 0


def test_a_payment_is_of_exactly_the_price() -> None:
    for text, amount in (("GBP 100", "100.00"), ("JPY 1240", "1240"), ("KWD 1.5", "1.500"), ("EUR 1.2345", "1.2345")):
        paid = orders.payment(Money.read(text))
        assert paid == {"type": "balance", "amount": amount, "currency": text[:3]}


def test_a_departure_that_is_past_is_left_out() -> None:
    assert asyncio.run(offers.read_all([GOOD], QUESTION, NOW + timedelta(minutes=31))) == []
