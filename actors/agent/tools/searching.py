"""Shared by the searches: all suppliers are asked at once, and one that fails does not hide the others' offers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, TypeVar

from ...domain.hotels import HotelOffer
from ...domain.travel import FlightOffer
from ...suppliers.protocols import Driver, SupplierError

Q = TypeVar("Q")
Q_contra = TypeVar("Q_contra", contravariant=True)
Offer = TypeVar("Offer", FlightOffer, HotelOffer)
Offer_co = TypeVar("Offer_co", FlightOffer, HotelOffer, covariant=True)


class Search(Driver, Protocol[Q_contra, Offer_co]):
    """A supplier of one kind of offers."""

    async def search(self, question: Q_contra) -> Sequence[Offer_co]: ...


async def offers_of(suppliers: Sequence[Search[Q, Offer]], question: Q, what: str) -> list[Offer]:
    """All offers that could be booked. If nobody can be asked or all fail, a ``SupplierError``, the first one's."""
    asked = [each for each in suppliers if "search" in each.capabilities.methods]
    if not asked:
        raise SupplierError("capability_not_supported", f"no supplier of {what} is set up for this agency")
    answers = await asyncio.gather(*(_search(supplier, question) for supplier in asked))
    failures = [answer for answer in answers if isinstance(answer, SupplierError)]
    if len(failures) == len(answers):
        raise failures[0]
    found = (answer for answer in answers if not isinstance(answer, SupplierError))
    return [offer for answer in found for offer in answer if offer.can_be_kept()]


async def _search(supplier: Search[Q, Offer], question: Q) -> Sequence[Offer] | SupplierError:
    try:
        return await supplier.search(question)
    except SupplierError as failure:
        return failure
