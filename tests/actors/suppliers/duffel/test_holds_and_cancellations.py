"""Holds with two clocks (T25), their payment whose answer is lost, and cancellation in two steps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.actors.suppliers.duffel.conftest import person
from voyagent.actors.domain import ids
from voyagent.actors.domain.travel import Party


async def test_a_held_order_is_paid_at_its_price_and_ticketed(counter: Any) -> None:
    offer, held = await counter.held()
    assert (held.status, held.price, held.tickets) == ("tentative", offer.price, ())
    assert held.hold_expires_at == offer.hold_until
    paid = await counter.done(counter.client.book(offer, (person(),), ids.uuid7(), held.supplier_ref))
    assert (paid.supplier_ref, paid.locator, paid.status) == (held.supplier_ref, held.locator, "ticketed")
    assert (counter.orders, counter.account.payments) == (1, 1)


async def test_t25_after_the_price_guarantee_the_price_is_read_again_and_not_paid(counter: Any) -> None:
    offer, held = await counter.held("Q31")
    assert held.price.text == "AUD 287.58"
    await counter.clock.advance(50 * 3600)
    assert (await counter.done(counter.client.read(held.supplier_ref))).price.text == "AUD 301.20"
    error = await counter.refused(counter.client.book(offer, (person(),), ids.uuid7(), held.supplier_ref))
    assert (error.supplier_code, error.reason, error.unclear) == ("conflict", "price_changed", False)
    assert counter.account.payments == 0


async def test_t25_at_the_payment_deadline_a_hold_is_no_more(counter: Any) -> None:
    offer, held = await counter.held()
    await counter.clock.advance(72 * 3600)
    assert (await counter.done(counter.client.read(held.supplier_ref))).status == "cancelled"
    error = await counter.refused(counter.client.book(offer, (person(),), ids.uuid7(), held.supplier_ref))
    assert not error.unclear
    assert counter.account.payments == 0


async def test_t25_an_offer_without_a_deadline_offers_no_hold(counter: Any) -> None:
    assert [offer.hold_possible for offer in await counter.found("Q16")] == [False, False, False]
    offer = await counter.fare("Q16")
    error = await counter.refused(counter.client.hold(offer, (person(),), ids.uuid7()))
    assert error.supplier_code == "capability_not_supported"
    assert counter.orders == 0


async def test_a_payment_whose_answer_was_lost_is_found_and_not_made_twice(counter: Any) -> None:
    offer, held = await counter.held("Q32")
    key = ids.uuid7()
    paid = await counter.done(counter.client.book(offer, (person(),), key, held.supplier_ref))
    assert paid.status == "ticketed"
    assert (counter.sent("POST", "/air/payments"), counter.account.payments) == (1, 1)
    counter.driver._paid.clear()  # as after a restart
    assert (await counter.done(counter.client.find(key))).supplier_ref == held.supplier_ref
    again = await counter.done(counter.client.book(offer, (person(),), key, held.supplier_ref))
    assert (again.supplier_ref, counter.account.payments) == (held.supplier_ref, 1)


async def test_a_payment_that_was_not_made_is_unclear_and_not_found(counter: Any) -> None:
    offer, held = await counter.held("Q33")
    key = ids.uuid7()
    error = await counter.refused(counter.client.book(offer, (person(),), key, held.supplier_ref))
    assert error.unclear
    assert (counter.sent("POST", "/air/payments"), counter.account.payments) == (1, 0)
    counter.driver._paid.clear()
    assert await counter.done(counter.client.find(key)) is None


async def test_a_hold_paid_by_another_call_is_a_refusal(counter: Any) -> None:
    offer, held = await counter.held()
    await counter.done(counter.client.book(offer, (person(),), ids.uuid7(), held.supplier_ref))
    error = await counter.refused(counter.client.book(offer, (person(),), ids.uuid7(), held.supplier_ref))
    assert (error.supplier_code, error.unclear) == ("conflict", False)
    assert counter.account.payments == 1


async def test_tickets_may_follow_the_order(counter: Any) -> None:
    order = await counter.booked("Q30")
    assert (order.status, order.tickets) == ("confirmed", ())
    for _ in range(61):
        await counter.clock.advance(1)
    later = await counter.done(counter.client.read(order.supplier_ref))
    assert later.status == "ticketed"
    assert [ticket.is_storable for ticket in later.tickets] == [True]


async def test_a_cancellation_is_quoted_then_confirmed_as_quoted(counter: Any) -> None:
    order = await counter.booked()
    quote = await counter.done(counter.client.quote_cancel(order.supplier_ref))
    assert (quote.refund.text, quote.refund_to, quote.confirmed) == ("GBP 70.00", "balance", False)
    assert quote.alive(counter.clock.now())
    done = await counter.done(counter.client.confirm_cancel(quote.ref, ids.uuid7()))
    assert (done.confirmed, done.refund) == (True, quote.refund)
    assert (await counter.done(counter.client.read(order.supplier_ref))).status == "cancelled"
    error = await counter.refused(counter.client.quote_cancel(order.supplier_ref))
    assert error.reason == "not_cancellable"


async def test_an_unpaid_hold_is_cancelled_for_nothing(counter: Any) -> None:
    _, held = await counter.held()
    quote = await counter.done(counter.client.quote_cancel(held.supplier_ref))
    assert (quote.refund.text, quote.refund_to) == ("GBP 0.00", "awaiting_payment")


@pytest.mark.parametrize(("row", "to"), [("Q21", "balance"), ("Q22", "airline_credits")])
async def test_k10_a_refund_that_is_not_stated_is_unknown_and_not_nothing(counter: Any, row: str, to: str) -> None:
    order = await counter.booked(row)
    quote = await counter.done(counter.client.quote_cancel(order.supplier_ref))
    assert (quote.refund, quote.refund_to) == (None, to)


async def test_only_the_newest_quote_can_be_confirmed(counter: Any) -> None:
    order = await counter.booked()
    first = await counter.done(counter.client.quote_cancel(order.supplier_ref))
    await counter.done(counter.client.quote_cancel(order.supplier_ref))
    error = await counter.refused(counter.client.confirm_cancel(first.ref, ids.uuid7()))
    assert (error.supplier_code, error.unclear) == ("conflict", False)
    assert (await counter.done(counter.client.read(order.supplier_ref))).status == "ticketed"


async def test_an_order_the_airline_keeps_is_not_cancellable(counter: Any) -> None:
    order = await counter.booked("Q23")
    error = await counter.refused(counter.client.quote_cancel(order.supplier_ref))
    assert (error.supplier_code, error.reason) == ("conflict", "not_cancellable")


async def test_a_confirmation_whose_answer_was_lost_is_looked_up(counter: Any) -> None:
    order = await counter.booked("Q34")
    quote = await counter.done(counter.client.quote_cancel(order.supplier_ref))
    key = ids.uuid7()
    done = await counter.done(counter.client.confirm_cancel(quote.ref, key))
    assert done.confirmed
    assert counter.sent("POST", f"/air/order_cancellations/{quote.ref}/actions/confirm") == 1
    assert (await counter.done(counter.client.read_cancel(quote.ref, key))).confirmed


async def test_t26_tickets_are_joined_by_the_suppliers_ids_and_other_documents_are_none(counter: Any) -> None:
    offer = await counter.fare(party=Party(adult=2))
    asha, ravi = person("Asha Rao"), person("Ravi Rao")
    order = await counter.done(counter.client.book(offer, (asha, ravi), ids.uuid7()))
    assert [ticket.passenger_ids for ticket in order.tickets] == [(asha.id,), (ravi.id,)]
    (stored,) = counter.account.orders.values()
    first, second, other = stored["documents"]
    assert other["type"] == "electronic_miscellaneous_document_associated"
    stored["passengers"].reverse()
    stored["documents"] = [first | {"passenger_ids": [*second["passenger_ids"], "pas_stranger"]}, other]
    again = await counter.done(counter.client.read(order.supplier_ref))
    assert [(each.number, each.passenger_ids) for each in again.tickets] == [(order.tickets[0].number, (ravi.id,))]
