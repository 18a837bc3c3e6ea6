"""Duffel's orders, read leniently: what the supplier has confirmed is an order, whatever else in it cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ...domain.money import Money
from ...domain.travel import CancelQuote, FlightOffer, FlightOrder, FlightStatus, FlightTicket, Passenger, Segment
from ...foundation import log, metrics
from ..protocols import SupplierError
from . import wire
from .offers import NAME, conditions, segment
from .persons import sent
from .times import Unplaced

KEY, PAID_BY = "voyagent_call", "voyagent_payment"
"""Metadata of an order: the key of the call that made it, and of the one that paid it."""
TICKET = "electronic_ticket"

_ID: TypeAdapter[str] = TypeAdapter(wire.Id)
_log = log.get(__name__)
W = TypeVar("W", bound=wire.Wire)


def request(
    offer: FlightOffer, persons: Sequence[Passenger], key: str, passports: Mapping[str, str], *, hold: bool
) -> dict[str, Any]:
    """The body of an order. Its metadata holds our key, and whose each of the supplier's passengers is.

    ``passports`` are the numbers to be sent, by the ids of persons.
    """
    placed = sent(offer, persons, passports)
    body: dict[str, Any] = {
        "type": "hold" if hold else "instant",
        "selected_offers": [offer.supplier_ref],
        "passengers": [passenger for passenger, _ in placed],
        "metadata": {KEY: key, **{passenger["id"]: person.id for passenger, person in placed}},
    }
    if not hold:
        body["payments"] = [payment(offer.price)]
    return body


def payment(price: Money) -> dict[str, str]:
    """A payment from the agency's balance with the supplier, of exactly the price."""
    return {"type": "balance", "amount": price.text.removeprefix(f"{price.currency} "), "currency": price.currency}


def order_id(item: Any) -> str:
    """The id of an order. ``transient``, unclear: an order without one has been made, and cannot be named."""
    try:
        return _ID.validate_python(item.get("id") if isinstance(item, dict) else None)
    except ValidationError as invalid:
        raise SupplierError("transient", "the supplier's order cannot be read", unclear=True) from invalid


def status(item: Mapping[str, Any], *, held: bool = False) -> wire.PaymentStatus:
    """Whether the order is paid. Of one that was ``held`` just now it has to be stated."""
    stated = item.get("payment_status")
    known = {"awaiting_payment": held, **stated} if isinstance(stated, dict) else None
    return _one(wire.PaymentStatus, known) or wire.PaymentStatus(awaiting_payment=held)


def price(item: Mapping[str, Any]) -> Money | None:
    """The order's total, if it can be read."""
    try:
        return Money.of(_text(item.get("total_amount")), _text(item.get("total_currency")))
    except ValidationError:
        return None


def metadata(item: Any) -> dict[str, str]:
    """The order's metadata, its readable entries."""
    found = item.get("metadata") if isinstance(item, dict) else None
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def is_cancelled(item: Mapping[str, Any]) -> bool:
    """Whether the order has been cancelled."""
    return item.get("cancelled_at") is not None


def read(item: Any, now: datetime, offer: FlightOffer | None = None, *, held: bool = False) -> FlightOrder:
    """An order. What cannot be read in it is taken from ``offer``, for which it was made; or ``held``, and not paid."""
    ref = order_id(item)
    total = price(item) or (None if offer is None else offer.price)
    if total is None:
        raise SupplierError("permanent", "the supplier's order has no price that can be read", unclear=True)
    paid, tickets = status(item, held=held), _tickets(item)
    until = paid.payment_required_by or (offer.hold_until if held and offer is not None else None)
    segments = _segments(item, offer)
    locator = _text(item.get("booking_reference")) or None
    return FlightOrder(
        supplier=NAME,
        supplier_ref=ref,
        locator=locator,
        status=_status(item, paid, tickets, now),
        price=total,
        hold_expires_at=until if paid.awaiting_payment else None,
        segments=segments,
        tickets=tickets,
        conditions=conditions(stated) if (stated := _one(wire.Conditions, item.get("conditions"))) else None,
    )


def _status(
    item: Mapping[str, Any], paid: wire.PaymentStatus, tickets: Sequence[FlightTicket], now: datetime
) -> FlightStatus:
    if is_cancelled(item):
        return "cancelled"
    if paid.awaiting_payment:
        overdue = paid.payment_required_by is not None and paid.payment_required_by <= now
        return "cancelled" if overdue else "tentative"
    return "ticketed" if tickets else "confirmed"


def _tickets(item: Mapping[str, Any]) -> tuple[FlightTicket, ...]:
    """Electronic tickets. Whose each is follows from the supplier's ids of passengers, never from names."""
    whose = metadata(item)
    found = [document for each in _list(item.get("documents")) if (document := _one(wire.Document, each)) is not None]
    return tuple(
        FlightTicket(
            number=document.unique_identifier,
            passenger_ids=tuple(whose[each] for each in document.passenger_ids if each in whose),
        )
        for document in found
        if document.type == TICKET
    )


def _segments(item: Mapping[str, Any], offer: FlightOffer | None) -> tuple[Segment, ...]:
    read_slices = [_one(wire.Slice, each) for each in _list(item.get("slices"))]
    cabin = "economy" if offer is None else offer.cabin
    try:
        found = tuple(segment(flight, cabin) for way in read_slices if way is not None for flight in way.segments)
    except (Unplaced, ValidationError):
        found = ()
    if not found or None in read_slices:
        metrics.SUPPLIER_ITEMS_SKIPPED_TOTAL.labels(NAME, "unreadable").inc()
        _log.warning("supplier_order_partly_read", supplier=NAME)
        return () if offer is None else offer.segments
    return found


def quote(item: Any) -> CancelQuote:
    """A cancellation's quote. A refund without a currency is unknown, as one without an amount is."""
    found = _one(wire.Cancellation, item)
    if found is None:
        raise SupplierError("permanent", "the supplier's quote cannot be read", unclear=True)
    known = found.refund_amount is not None and found.refund_currency is not None
    return CancelQuote(
        supplier=NAME,
        ref=found.id,
        order_ref=found.order_id,
        refund=Money.of(found.refund_amount or "0", found.refund_currency or "") if known else None,
        refund_to=found.refund_to,
        expires_at=found.expires_at,
        confirmed=found.confirmed_at is not None,
    )


def _one(shape: type[W], item: Any) -> W | None:
    try:
        return shape.model_validate(item)
    except ValidationError:
        return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
