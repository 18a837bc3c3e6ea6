"""Hotels of the embedded inventory: rates are computed by a formula, orders are rows of the agency."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from ....storage.travel import house_orders
from ...domain import ids
from ...domain.audit import canonical
from ...domain.hotels import HotelOffer, HotelOrder, HotelQuestion, HotelStatus, Property, Stay
from ...domain.travel import CancelQuote, Passenger
from ...foundation.clock import Clock
from ...runtime.actor import Recipient
from ..protocols import Capabilities, SupplierError
from .cancellations import Cancellations
from .conditions import Schedule, stay_schedule, stay_terms
from .driver import NAME, OFFER_LIFE, SALES_BEGIN
from .places import hotel_zone
from .rates import EXTRA_BEDS, ROOM_SLEEPS, Rate, again, fits, rates, rooms_of
from .stock import Need, Stock, rooms, sold_out

LARGEST_PARTY = 18
"""Nine rooms; more is a group, which is not sold by rate."""
LONGEST_STAY = 30
LAST_MIDNIGHT = timedelta(hours=12)
"""A day has ended in every time zone this long after it has in UTC."""


class HouseHotels:
    """The embedded inventory of hotels, for one agency."""

    name = NAME
    capabilities = Capabilities(
        methods=frozenset(
            {"search", "check_rate", "book", "read", "find", "quote_cancel", "read_cancel", "confirm_cancel"}
        ),
        honours_keys=True,
        looks_up=True,
    )

    def __init__(self, tenant_id: str, store: Recipient, clock: Clock) -> None:
        self._tenant_id = tenant_id
        self._store = store
        self._clock = clock
        self._stock = Stock(tenant_id, store, clock)
        self._cancellations = Cancellations(NAME, "hotel", tenant_id, store, clock, _cancellable)

    async def search(self, question: HotelQuestion) -> list[HotelOffer]:
        """Offers valid for 20 minutes. Refuses a check-in that is past or too far ahead, and a city without hotels."""
        stay, now = question.stay, self._clock.now()
        if stay.guests > LARGEST_PARTY:
            raise SupplierError("validation_failed", f"at most {LARGEST_PARTY} guests stay on one booking")
        if not fits(stay):
            rooms = rooms_of(stay)
            raise SupplierError(
                "validation_failed",
                f"in {rooms} room{'' if rooms == 1 else 's'} at most {rooms * ROOM_SLEEPS} adults can stay, and "
                f"{rooms * EXTRA_BEDS} children more in extra beds",
            )
        if stay.nights > LONGEST_STAY:
            raise SupplierError("validation_failed", f"a stay has at most {LONGEST_STAY} nights")
        if not _is_sold(stay, now):
            over = stay.check_in < now.date()
            when = "is past" if over else f"is sold from {stay.check_in - SALES_BEGIN} on"
            raise SupplierError("validation_failed", f"check_in {stay.check_in} {when}")
        found = rates(question)
        if not found:
            raise SupplierError("validation_failed", f"no hotel is sold in {question.city} ({question.country})")
        needs = [_rooms(rate) for rate in found]
        left = await self._stock.left(need for each in needs for need in each)
        free = [
            _offer(rate, now, min(left[need.item] for need in each))
            for rate, each in zip(found, needs, strict=True)
            if all(left[need.item] >= need.units for need in each)
        ]
        if not free:
            raise SupplierError("validation_failed", f"the hotels in {question.city} are sold out for these nights")
        return free

    async def check_rate(self, offer: HotelOffer) -> HotelOffer:
        """The rate, computed again; a price never changes while the offer is valid. ``sold_out`` without rooms."""
        rate = again(offer.supplier_ref)
        now = self._clock.now()
        if rate is None or not offer.alive(now) or not _is_sold(offer.stay, now):
            raise SupplierError("not_found", "the rate is no longer available")
        left = await self._stock.check(_rooms(rate))
        return offer.model_copy(update={"price": rate.price, "rooms_left": left})

    async def book(self, offer: HotelOffer, guests: Sequence[Passenger], key: str) -> HotelOrder:
        """A confirmed stay, once per key."""
        asked = _fingerprint(offer, guests)
        known = await self._store.ask(self._finding(key))
        if known is None:
            known = await self._place(offer, guests, key, asked)
        if known.data["asked"] != asked:
            raise SupplierError("conflict", "this key belongs to another order")
        return _to_order(known)

    async def read(self, supplier_ref: str) -> HotelOrder:
        """An order by its id."""
        order_id = ids.parse_uuid(supplier_ref) or ids.uuid7()
        order = await self._store.ask(house_orders.Read(tenant_id=self._tenant_id, kind="hotel", id=order_id))
        if order is None:
            raise SupplierError("not_found", "there is no such order")
        return _to_order(order)

    async def find(self, key: str) -> HotelOrder | None:
        """The order created with this key."""
        order = await self._store.ask(self._finding(key))
        return None if order is None else _to_order(order)

    async def quote_cancel(self, supplier_ref: str) -> CancelQuote:
        """What cancelling a stay would return."""
        return await self._cancellations.quote(supplier_ref)

    async def read_cancel(self, ref: str) -> CancelQuote:
        """The quote as it stands."""
        return await self._cancellations.read(ref)

    async def confirm_cancel(self, ref: str, key: str) -> CancelQuote:
        """Cancel the stay as quoted, once per key."""
        return await self._cancellations.confirm(ref, key)

    def _finding(self, key: str) -> house_orders.Find:
        return house_orders.Find(tenant_id=self._tenant_id, kind="hotel", key=key)

    async def _place(
        self, offer: HotelOffer, guests: Sequence[Passenger], key: str, asked: str
    ) -> house_orders.HouseOrder:
        rate = again(offer.supplier_ref)
        if rate is None or (await self.check_rate(offer)).price != offer.price:
            raise SupplierError("conflict", "the price is not the offer's")
        if not 1 <= len(guests) <= offer.stay.guests:
            raise SupplierError("validation_failed", f"the rate is for {offer.stay.guests}; {len(guests)} are named")
        needs = _rooms(rate)
        place = house_orders.Place(
            tenant_id=self._tenant_id,
            id=ids.uuid7(),
            key=key,
            kind="hotel",
            state="booked",
            price=offer.price.amount,
            currency=offer.price.currency,
            data={
                "asked": asked,
                "property": offer.property.model_dump(mode="json"),
                "room": offer.room,
                "board": offer.board,
                "refundable": offer.is_refundable,
                "stay": offer.stay.model_dump(mode="json"),
                "persons": [{"id": person.id, "name": person.full_name} for person in guests],
            },
            now=self._clock.now(),
            takes=[need.take for need in needs],
        )
        try:
            return await self._store.ask(place)
        except house_orders.SoldOut as gone:
            raise sold_out(next(need for need in needs if need.item == gone.item), gone.left) from gone


def _is_sold(stay: Stay, now: datetime) -> bool:
    return (now - LAST_MIDNIGHT).date() <= stay.check_in <= (now + SALES_BEGIN).date()


def _rooms(rate: Rate) -> tuple[Need, ...]:
    return rooms(rate.hotel.id, rate.room.kind, rate.stay)


def _offer(rate: Rate, now: datetime, rooms_left: int) -> HotelOffer:
    hotel, stay = rate.hotel, rate.stay
    schedule = stay_schedule(stay.check_in, stay.check_out, hotel.zone, refundable=True)
    refundable = rate.room.refundable and now < schedule.tiers[0].ends_at
    return HotelOffer(
        id=ids.uuid7(),
        supplier=NAME,
        supplier_ref=rate.ref,
        property=Property(
            id=hotel.id, name=hotel.name, city=hotel.city, country=hotel.country, star_rating=hotel.stars
        ),
        room=rate.room.name,
        board=rate.room.board,
        price=rate.price,
        is_refundable=refundable,
        cancellation=stay_terms(stay.check_in, refundable=refundable),
        stay=stay,
        expires_at=now + OFFER_LIFE,
        rooms_left=rooms_left,
    )


def _fingerprint(offer: HotelOffer, guests: Sequence[Passenger]) -> str:
    """The request a key stands for: the same key with another request is an error of the caller."""
    persons = [person.fingerprint for person in guests]
    asked = {"ref": offer.supplier_ref, "price": offer.price.text, "persons": persons}
    return hashlib.sha256(canonical(asked)).hexdigest()


def _to_order(order: house_orders.HouseOrder) -> HotelOrder:
    status: HotelStatus = "cancelled" if order.state == "cancelled" else "confirmed"
    return HotelOrder(supplier=NAME, supplier_ref=order.id, status=status, price=order.price)


def _cancellable(order: house_orders.HouseOrder) -> Schedule:
    """The conditions a stay was booked on."""
    stay = Stay.model_validate(order.data["stay"])
    zone = hotel_zone(order.data["property"]["id"])
    return stay_schedule(stay.check_in, stay.check_out, zone, refundable=order.data.get("refundable", False))
