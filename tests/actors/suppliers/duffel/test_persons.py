"""Duffel's rules for names and details: told all at once, before anything is sent (T26, K6)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.actors.suppliers.duffel.conftest import PASSPORT, person, with_passport
from voyagent.actors.domain import ids
from voyagent.actors.suppliers.duffel.persons import flaws, sent
from voyagent.actors.suppliers.protocols import SupplierError


@pytest.mark.parametrize("name", ["Shaun O'Neal", "Tom Bryce-Buchanan", "Zoë Müller", "Łukasz Žák", "Ana D'Souza"])
async def test_t26_latin_names_are_sent_as_they_are(counter: Any, name: str) -> None:
    offer, who = await counter.fare(), person(name)
    assert flaws(offer, (who,)) == []
    await counter.done(counter.client.book(offer, (who,), ids.uuid7()))
    (order,) = counter.account.orders.values()
    assert (order["passengers"][0]["given_name"], order["passengers"][0]["family_name"]) == tuple(name.split(" "))


@pytest.mark.parametrize("name", ["Þórr Rao", "Lan Nguyễn", "محمد علي", "Asha R\u2019ao", "Æsa Rao", "Asha Rao2"])
async def test_t26_other_characters_are_told_and_never_replaced(counter: Any, name: str) -> None:
    (told,) = flaws(await counter.fare(), (person(name),))
    assert "characters" in told


async def test_t26_a_name_of_28_letters_is_told_with_the_length_that_is_taken(counter: Any) -> None:
    (told,) = flaws(await counter.fare(), (person("Asha Venkatanarasimharajuvaripeta"),))
    assert "family_name of 28 characters" in told
    assert "at most 20" in told


async def test_t26_a_single_name_is_neither_doubled_nor_filled_up(counter: Any) -> None:
    (told,) = flaws(await counter.fare(), (person("Prince", given_name="Prince", family_name=""),))
    assert "lacks: family_name" in told


async def test_t26_everything_that_is_missing_is_told_at_once(counter: Any) -> None:
    nobody = person(title=None, gender=None, email=None, phone=None, date_of_birth=None)
    ex = person("Kim Lee", gender="X")
    first, second = flaws(await counter.fare(), (nobody, ex))
    assert "lacks: title, gender, date_of_birth, email, phone" in first
    assert "gender X" in second


async def test_t26_a_fare_that_needs_documents_says_so_before_anybody_is_asked(counter: Any) -> None:
    (told,) = flaws(await counter.fare("Q15"), (person(),))
    assert "lacks: passport_number, passport_expiry, passport_country" in told
    (told,) = flaws(await counter.fare("Q15"), (with_passport(person(), passport_country=None),))
    assert "lacks: passport_country." in told


async def test_t26_an_order_that_needs_documents_carries_the_passport_and_no_other_does(counter: Any) -> None:
    who = with_passport(person())
    for row in ("Q15", "DXB"):
        offer = await counter.fare(row)
        assert flaws(offer, (who,)) == []
        await counter.done(counter.client.book(offer, (who,), ids.uuid7()))
    with_one, without = (order["passengers"][0] for order in counter.account.orders.values())
    assert with_one["identity_documents"] == [
        {"type": "passport", "unique_identifier": PASSPORT, "issuing_country_code": "IN", "expires_on": "2031-01-01"}
    ]
    assert "identity_documents" not in without


async def test_t26_a_passport_that_ends_before_the_journey_is_told_before_anybody_is_asked(counter: Any) -> None:
    (told,) = flaws(await counter.fare("Q15"), (with_passport(person(), passport_expiry=date(2026, 12, 4)),))
    assert "has a passport that ends on 2026-12-04, before the last flight lands on 2026-12-05" in told


async def test_a_fare_that_takes_no_passport_is_refused(counter: Any) -> None:
    offer = await counter.fare("Q38")
    with pytest.raises(SupplierError, match="capability_not_supported"):
        flaws(offer, (with_passport(person()),))


async def test_a_passport_that_cannot_be_opened_sends_nothing(counter: Any) -> None:
    offer, who = await counter.fare("Q15"), with_passport(person())
    error = await counter.refused(
        counter.client.book(offer, (who.model_copy(update={"id": ids.uuid7()}),), ids.uuid7())
    )
    assert (error.supplier_code, error.unclear, error.sent) == ("validation_failed", False, False)
    assert ("POST", "/air/orders") not in counter.standin.log


async def test_t26_two_persons_of_one_name_are_refused_before_anything_is_sent(counter: Any) -> None:
    offer = await counter.fare()
    with pytest.raises(SupplierError, match="permanent") as caught:
        flaws(offer, (person("Asha Rao"), person("ASHA rao")))
    assert "duplicate_passenger_name" in caught.value.text


async def test_somebody_under_18_on_an_adults_fare_is_told_to_be_searched_for_by_age(counter: Any) -> None:
    (told,) = flaws(await counter.fare(), (person(date_of_birth=date(2011, 1, 1)),))
    assert "ages 15" in told


async def test_a_party_that_is_not_the_fares_is_never_sent(counter: Any) -> None:
    offer = await counter.fare()
    with pytest.raises(SupplierError):
        sent(offer, (person("Asha Rao"), person("Ravi Rao")), {})
    with pytest.raises(SupplierError):
        sent(offer, (), {})
