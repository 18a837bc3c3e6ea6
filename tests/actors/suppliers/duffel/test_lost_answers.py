"""Orders whose answer is lost, late or no: each is made once, looked up, and never sent again (T23, T24)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.actors.suppliers.duffel.conftest import person
from voyagent.actors.domain import ids
from voyagent.actors.suppliers.protocols import SupplierError


@pytest.mark.parametrize("row", ["Q01", "Q02", "Q04", "Q06", "Q07", "Q10", "Q13", "Q17", "Q18"])
async def test_an_order_that_was_made_is_found_whatever_its_answer_was(counter: Any, row: str) -> None:
    key = ids.uuid7()
    order = await counter.booked(row, key)
    assert (order.status, order.price.text) == ("ticketed", "GBP 100.00")
    made = [each for each in counter.account.orders.values() if each["metadata"].get("voyagent_call") == key]
    assert [each["id"] for each in made] == [order.supplier_ref]
    assert counter.sent("POST", "/air/orders") == 1


@pytest.mark.parametrize("row", ["Q03", "Q08"])
async def test_an_order_that_is_not_found_until_180_s_is_unclear_and_never_sent_again(counter: Any, row: str) -> None:
    began = counter.clock.monotonic()
    error = await counter.refused(counter.booked(row))
    assert error.unclear
    assert 180 <= counter.clock.monotonic() - began < 230
    assert counter.sent("POST", "/air/orders") == 1
    assert counter.sent("GET", "/air/orders") == 4
    assert counter.orders == 0


async def test_a_late_order_is_found_by_a_later_look_up(counter: Any) -> None:
    key = ids.uuid7()
    assert (await counter.refused(counter.booked("Q03", key))).unclear
    assert await counter.done(counter.client.find(key)) is None


@pytest.mark.parametrize(
    ("row", "code", "word"),
    [
        ("Q05", "permanent", "order_not_created"),
        ("Q09", "not_found", "offer_no_longer_available"),
        ("Q12", "permanent", "balance"),
        ("Q19", "rate_limited", "limit"),
    ],
)
async def test_a_refused_order_is_refused_at_once_without_a_look_up(
    counter: Any, row: str, code: str, word: str
) -> None:
    error = await counter.refused(counter.booked(row))
    assert (error.supplier_code, error.unclear) == (code, False)
    assert word in error.text
    assert counter.sent("GET", "/air/orders") == 0
    assert (counter.sent("POST", "/air/orders"), counter.orders) == (1, 0)


async def test_an_offer_that_is_gone_has_its_own_reason(counter: Any) -> None:
    assert (await counter.refused(counter.booked("Q09"))).reason == "offer_expired"


async def test_somebody_elses_duplicate_is_a_refusal(counter: Any) -> None:
    error = await counter.refused(counter.booked("Q11"))
    assert (error.supplier_code, error.unclear) == ("conflict", False)
    assert counter.sent("GET", "/air/orders") == 1


@pytest.mark.parametrize(
    "failure",
    [SupplierError("transient", "the supplier cannot be reached", sent=False), SupplierError("permanent", "too many")],
)
async def test_a_duplicate_that_cannot_be_looked_up_at_once_is_looked_up_later(
    counter: Any, failure: SupplierError, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, failures = counter.driver.find, [failure]

    async def fails_once(key: str) -> Any:
        if failures:
            raise failures.pop()
        return await find(key)

    monkeypatch.setattr(counter.driver, "find", fails_once)
    order = await counter.booked("Q10")
    assert (order.status, counter.orders) == ("ticketed", 1)


async def test_what_was_confirmed_is_an_order_even_if_its_price_cannot_be_read(counter: Any) -> None:
    order = await counter.booked("Q35")
    assert order.price.text == "GBP 100.00"
    assert order.segments[0].flight == "ZZ 4010"
    assert order.locator
    assert counter.orders == 1


async def test_an_order_in_another_currency_is_recorded_as_it_was_confirmed(counter: Any) -> None:
    assert (await counter.booked("Q20")).price.text == "EUR 149.50"


async def test_a_supplier_that_cannot_be_reached_has_got_nothing(counter: Any) -> None:
    offer = await counter.fare()
    await counter.standin.stop()
    error = await counter.refused(counter.client.hold(offer, (), ids.uuid7()))
    assert error.supplier_code == "validation_failed"
    error = await counter.refused(counter.client.search(counter.question()))
    assert (error.supplier_code, error.unclear, error.sent) == ("transient", False, False)


async def test_an_order_to_a_supplier_that_cannot_be_reached_is_failed_and_not_unclear(counter: Any) -> None:
    offer = await counter.fare()
    await counter.standin.stop()
    began = counter.clock.monotonic()
    error = await counter.refused(counter.client.book(offer, (person(),), ids.uuid7()))
    assert (error.supplier_code, error.unclear) == ("transient", False)
    assert counter.clock.monotonic() - began < 20


async def test_refusals_do_not_open_the_breaker_and_five_time_outs_do(counter: Any) -> None:
    for _ in range(6):
        assert (await counter.refused(counter.booked("Q09"))).supplier_code == "not_found"
    codes = {(await counter.refused(counter.found("Q37"))).supplier_code for _ in range(3)}
    assert codes <= {"transient", "breaker_open"}
    assert (await counter.refused(counter.found("DXB"))).supplier_code == "breaker_open"
