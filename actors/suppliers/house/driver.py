"""The embedded supplier ``house``: fares are computed from a timetable, orders are rows of the agency."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from ....storage.travel import house_orders
from ...domain import ids
from ...domain.audit import canonical
from ...domain.errors import Conflict
from ...domain.travel import (
    CancelQuote,
    FlightOffer,
    FlightOrder,
    FlightQuestion,
    FlightStatus,
    FlightTicket,
    Party,
    Passenger,
    Segment,
    zone,
)
from ...foundation.clock import Clock
from ...runtime.actor import Recipient
from ..protocols import Capabilities, SupplierError
from .cancellations import Cancellations
from .conditions import Schedule, Tier, baggage, fare_rule
from .fares import Itinerary, again, itineraries
from .places import Airport, airline, airports, distance, served
from .stock import Stock, seats, sold_out
from .timetable import Flight, flying_time

NAME = "house"
OFFER_LIFE = timedelta(minutes=20)
HOLD_LIFE = timedelta(hours=24)
SALES_END = timedelta(hours=2)
"""Booking closes this long before departure; holds end then as well."""
SALES_BEGIN = timedelta(days=355)
"""How far ahead flights are sold: airlines publish no later ones."""
LARGEST_PARTY = 9
"""More than nine persons are a group, which is not sold by fare."""

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""The alphabet of locators, without characters that are easily confused."""

STATUS: Mapping[house_orders.State, FlightStatus] = {
    "held": "tentative",
    "booked": "confirmed",
    "taken": "confirmed",
    "ticketed": "ticketed",
    "cancelled": "cancelled",
}
"""The status of an order by its state; a hold that has expired is cancelled."""


class EmbeddedInventory:
    """The embedded inventory of flights, for one agency."""

    name = NAME
    capabilities = Capabilities(
        methods=frozenset(
            {
                "search",
                "price",
                "hold",
                "book",
                "issue",
                "read",
                "find",
                "quote_cancel",
                "read_cancel",
                "confirm_cancel",
            }
        ),
        honours_keys=True,
        looks_up=True,
    )

    def __init__(self, tenant_id: str, store: Recipient, clock: Clock) -> None:
        self._tenant_id = tenant_id
        self._store = store
        self._clock = clock
        self._stock = Stock(tenant_id, store, clock)
        self._cancellations = Cancellations(NAME, "flight", tenant_id, store, clock, _cancellable)

    async def search(self, question: FlightQuestion) -> list[FlightOffer]:
        """Offers valid for 20 minutes. Fares depend on the question alone.

        Flights that leave too soon or have too few seats left are not sold.
        """
        self._check(question)
        now = self._clock.now()
        flown = itineraries(question)
        sold = [found for found in flown if now + SALES_END < found.out.flights[0].departs_at]
        if not flown and itineraries(question.model_copy(update={"return_date": None})):
            raise _invalid(f"nothing flies back on {question.return_date} for who leaves on {question.outbound_date}")
        if flown and not sold:
            raise _invalid(f"what leaves on {question.outbound_date} is gone, or too soon to be sold")
        free = await self._free([self._offer(found, question, now) for found in sold])
        if sold and not free:
            raise _invalid(f"what leaves on {question.outbound_date} is sold out")
        return free

    async def _free(self, offers: Sequence[FlightOffer]) -> list[FlightOffer]:
        """The offers whose flights all have seats left for the party."""
        needs = [seats(offer.segments, offer.party) for offer in offers]
        left = await self._stock.left(need for each in needs for need in each)
        return [
            offer.model_copy(update={"seats_left": min(left[need.item] for need in each)})
            for offer, each in zip(offers, needs, strict=True)
            if all(left[need.item] >= need.units for need in each)
        ]

    async def price(self, offer: FlightOffer) -> FlightOffer:
        """The fare, computed again; a price never changes while the offer is valid. ``sold_out`` without seats."""
        found = again(offer.supplier_ref)
        if found is None or not offer.alive(self._clock.now()):
            raise SupplierError("not_found", "the offer is no longer available")
        left = await self._stock.check(seats(offer.segments, offer.party))
        return offer.model_copy(update={"price": found.price, "seats_left": left})

    async def hold(self, offer: FlightOffer, passengers: Sequence[Passenger], key: str) -> FlightOrder:
        """Hold seats for 24 hours, or until booking closes if that is sooner."""
        return await self._order(offer, passengers, key, "held")

    async def book(
        self, offer: FlightOffer, passengers: Sequence[Passenger], key: str, held: str | None = None
    ) -> FlightOrder:
        """A confirmed booking, once per key."""
        return await self._order(offer, passengers, key, "booked", held)

    async def read(self, supplier_ref: str) -> FlightOrder:
        """An order by its id; an expired hold reads as cancelled."""
        order_id = ids.parse_uuid(supplier_ref)
        read = house_orders.Read(tenant_id=self._tenant_id, id=order_id or ids.uuid7())
        order = await self._store.ask(read)
        if order is None:
            raise SupplierError("not_found", "there is no such order")
        return self._to_order(order)

    async def find(self, key: str) -> FlightOrder | None:
        """The order created with this key."""
        order = await self._store.ask(house_orders.Find(tenant_id=self._tenant_id, key=key))
        return None if order is None else self._to_order(order)

    async def issue(self, supplier_ref: str, key: str) -> FlightOrder:
        """Issue a ticket to each person. An order is issued once, whatever the key."""
        del key
        order = await self.read(supplier_ref)
        if order.status not in ("confirmed", "ticketed"):
            raise SupplierError("conflict", f"the order is {order.status}")
        accounting = airline(order.segments[0].marketing_carrier).accounting
        issue = house_orders.Issue(tenant_id=self._tenant_id, id=order.supplier_ref, accounting=accounting)
        try:
            return self._to_order(await self._store.ask(issue))
        except Conflict as changed:
            raise SupplierError("conflict", "the order cannot be ticketed") from changed

    async def quote_cancel(self, supplier_ref: str) -> CancelQuote:
        """What cancelling an order or a hold would return."""
        return await self._cancellations.quote(supplier_ref)

    async def read_cancel(self, ref: str) -> CancelQuote:
        """The quote as it stands."""
        return await self._cancellations.read(ref)

    async def confirm_cancel(self, ref: str, key: str) -> CancelQuote:
        """Cancel the order as quoted, once per key."""
        return await self._cancellations.confirm(ref, key)

    def _check(self, question: FlightQuestion) -> None:
        start, end = served(question.origin), served(question.destination)
        for code, airports_there in ((question.origin, start), (question.destination, end)):
            if not airports_there:
                raise _invalid(f"{code} is not an airport or city that is served")
        if {place.city_code for place in start} & {place.city_code for place in end}:
            raise _invalid("origin and destination are the same")
        self._check_days(question, start, end)
        party = question.party
        if party.total > LARGEST_PARTY:
            raise _invalid(f"at most {LARGEST_PARTY} persons travel on one booking")
        if party.infant > party.adult + party.senior:
            raise _invalid("each infant travels with an adult of their own")
        if not party.adult + party.senior:
            raise _invalid("children travel with an adult")

    def _check_days(self, question: FlightQuestion, start: Sequence[Airport], end: Sequence[Airport]) -> None:
        """Refuse dates in the past at the origin, not yet on sale, or with a return before the arrival."""
        now = self._clock.now()
        out, back = question.outbound_date, question.return_date
        if all(out < now.astimezone(zone(place.zone)).date() for place in start):
            raise _invalid(f"outbound_date {out} is past")
        for name, day in (("outbound_date", out), ("return_date", back)):
            if day is not None and day > (now + SALES_BEGIN).date():
                raise _invalid(f"{name} {day} is sold from {day - SALES_BEGIN} on")
        if back is not None and all(back < _soonest(out, one, other) for one in start for other in end):
            raise _invalid(f"return_date {back} is before anybody who leaves on {out} is there")

    def _offer(self, found: Itinerary, question: FlightQuestion, now: datetime) -> FlightOffer:
        flights = found.out.flights + (found.back.flights if found.back else ())
        hold_possible = not any(flight.airline.low_cost for flight in flights)
        rule = fare_rule(question.cabin, low_cost=not hold_possible)
        return FlightOffer(
            id=ids.uuid7(),
            supplier=NAME,
            supplier_ref=found.ref,
            segments=tuple(_segment(flight, question) for flight in flights),
            back_from=len(found.out.flights) if found.back else None,
            price=found.price,
            expires_at=now + OFFER_LIFE,
            hold_possible=hold_possible,
            hold_until=_hold_until(flights[0].departs_at, now) if hold_possible else None,
            party=question.party,
            ages=tuple(sorted(question.ages)),
            cabin=question.cabin,
            baggage=baggage(question.cabin, low_cost=not hold_possible),
            refundable=rule.refundable,
            changeable=False,
            conditions=rule.conditions,
        )

    async def _order(
        self,
        offer: FlightOffer,
        passengers: Sequence[Passenger],
        key: str,
        state: house_orders.State,
        held: str | None = None,
    ) -> FlightOrder:
        asked = _fingerprint(offer, passengers, state, held)
        known = await self._store.ask(house_orders.Find(tenant_id=self._tenant_id, key=key))
        if known is None:
            known = await self._place(offer, passengers, key, state, held, asked)
        if known.data["asked"] != asked:
            raise SupplierError("conflict", "this key belongs to another order")
        return self._to_order(known)

    async def _place(
        self,
        offer: FlightOffer,
        passengers: Sequence[Passenger],
        key: str,
        state: house_orders.State,
        held: str | None,
        asked: str,
    ) -> house_orders.HouseOrder:
        now = self._clock.now()
        self._refuse_if_unsellable(offer, passengers, state, held, now)
        data: dict[str, Any] = {
            "asked": asked,
            "locator": _locator(self._tenant_id, held or key),
            "segments": [segment.model_dump(mode="json") for segment in offer.segments],
            "persons": [{"id": person.id, "name": person.full_name, "type": person.type} for person in passengers],
        }
        ends_at = _hold_until(offer.segments[0].departs_at, now) if state == "held" else None
        if ends_at is not None:
            data["hold_expires_at"] = ends_at.isoformat()
        if held is not None:
            data["locator"], data["held"] = (await self.read(held)).locator, held
        needs = seats(offer.segments, offer.party)
        place = house_orders.Place(
            tenant_id=self._tenant_id,
            id=ids.uuid7(),
            key=key,
            state=state,
            price=offer.price.amount,
            currency=offer.price.currency,
            data=data,
            now=now,
            held=held,
            takes=[need.take for need in needs],
            ends_at=ends_at,
        )
        try:
            return await self._store.ask(place)
        except house_orders.SoldOut as gone:
            raise sold_out(next(need for need in needs if need.item == gone.item), gone.left) from gone
        except Conflict as gone:
            raise SupplierError("conflict", "the hold has expired or was booked before") from gone

    def _refuse_if_unsellable(
        self,
        offer: FlightOffer,
        passengers: Sequence[Passenger],
        state: house_orders.State,
        held: str | None,
        now: datetime,
    ) -> None:
        found = again(offer.supplier_ref)
        if found is None or (held is None and not offer.alive(now)):
            raise SupplierError("not_found", "the offer is no longer available")
        if found.price != offer.price:
            raise SupplierError("conflict", "the price is not the offer's")
        if Party.of(tuple(passengers)) != offer.party:
            raise SupplierError("validation_failed", f"the fare is for {offer.party.text}")
        if any(person.missing for person in passengers):
            raise SupplierError("validation_failed", "a passenger's details are incomplete")
        if state == "held" and not offer.hold_possible:
            raise SupplierError("capability_not_supported", "this fare cannot be held")

    def _to_order(self, order: house_orders.HouseOrder) -> FlightOrder:
        until = order.data.get("hold_expires_at")
        expires_at = None if until is None else datetime.fromisoformat(until)
        expired = order.state == "held" and expires_at is not None and expires_at <= self._clock.now()
        return FlightOrder(
            supplier=NAME,
            supplier_ref=order.id,
            locator=order.data["locator"],
            status="cancelled" if expired else STATUS[order.state],
            price=order.price,
            hold_expires_at=expires_at if order.state == "held" else None,
            segments=_segments(order),
            tickets=tuple(FlightTicket.model_validate(each) for each in order.data.get("tickets", ())),
        )


def _segments(order: house_orders.HouseOrder) -> tuple[Segment, ...]:
    return tuple(Segment.model_validate(each) for each in order.data["segments"])


def _cancellable(order: house_orders.HouseOrder) -> Schedule:
    """The fare's conditions; a hold, which is not paid, can be cancelled until it expires."""
    if order.state == "held":
        return Schedule((Tier(datetime.fromisoformat(order.data["hold_expires_at"]), 0),))
    segments = _segments(order)
    low_cost = any(airline(segment.marketing_carrier).low_cost for segment in segments)
    return fare_rule(segments[0].cabin, low_cost=low_cost).schedule(segments[0].departs_at)


def _invalid(why: str) -> SupplierError:
    return SupplierError("validation_failed", why)


def _soonest(day: date, origin: Airport, destination: Airport) -> date:
    """The earliest arrival date, in the destination's time zone, of a departure on ``day`` in the origin's."""
    midnight = datetime.combine(day, time(), zone(origin.zone)).astimezone(UTC)
    lasts = flying_time(distance(origin.code, destination.code))
    return (midnight + lasts).astimezone(zone(destination.zone)).date()


def _hold_until(departs_at: datetime, now: datetime) -> datetime:
    return min(now + HOLD_LIFE, departs_at - SALES_END)


def _segment(flight: Flight, question: FlightQuestion) -> Segment:
    return Segment(
        marketing_carrier=flight.airline.code,
        flight_number=str(flight.number),
        origin=flight.origin,
        destination=flight.destination,
        departs_at=flight.departs_at,
        arrives_at=flight.arrives_at,
        origin_zone=airports()[flight.origin].zone,
        destination_zone=airports()[flight.destination].zone,
        cabin=question.cabin,
    )


def _fingerprint(
    offer: FlightOffer, passengers: Sequence[Passenger], state: house_orders.State, held: str | None
) -> str:
    """The request a key stands for: the same key with another request is an error of the caller."""
    persons = [person.fingerprint for person in passengers]
    asked = {"ref": offer.supplier_ref, "price": offer.price.text, "persons": persons, "state": state, "held": held}
    return hashlib.sha256(canonical(asked)).hexdigest()


def _locator(tenant_id: str, key: str) -> str:
    """Six letters and digits, always the same for the same key."""
    drawn = int.from_bytes(hashlib.sha256(f"{tenant_id}|{key}".encode()).digest()[:8])
    return "".join(_LETTERS[drawn >> 5 * place & 31] for place in range(6))
