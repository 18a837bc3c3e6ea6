"""An agency's bookings and holds, with their passengers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.money import Money
from ..conversation.sessions import ID_IF_IT_EXISTS
from ..engine.operations import Command, Query, Snapshot
from ..engine.statements import binds, statement
from ..schema.columns import Json, Time, Uuid
from ..tables import booking_passengers, bookings, enquiries
from . import tickets
from .tickets import IssuedTicket, Ticket

if TYPE_CHECKING:
    from ..engine.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A row and the ids of its passengers, in their order."""

    id: str
    kind: str
    supplier: str
    supplier_ref: str
    locator: str | None
    status: str
    offer_id: str | None
    enquiry_id: str | None
    cost: Money
    hold_expires_at: datetime | None
    data: dict[str, Any]
    passengers: tuple[str, ...]

    @property
    def has_expired(self) -> bool:
        """Whether it was a hold that ended at its deadline; a hold that was paid or cancelled has none any more."""
        return self.status == "cancelled" and self.hold_expires_at is not None


_PASSENGERS = (
    select(booking_passengers.c.passenger_id)
    .where(booking_passengers.c.tenant_id == bookings.c.tenant_id, booking_passengers.c.booking_id == bookings.c.id)
    .order_by(booking_passengers.c.position)
    .scalar_subquery()
)
_ENQUIRY = (
    select(enquiries.c.id)
    .where(enquiries.c.tenant_id == bindparam("tenant_id"), enquiries.c.session_id == bindparam("session_id"))
    .order_by(enquiries.c.created_at.desc(), enquiries.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
"""The newest enquiry of the session in which something is booked."""
BOOKING = select(
    *bookings.c["id", "kind", "supplier", "supplier_ref", "locator", "status", "offer_id", "enquiry_id"],
    *bookings.c["cost", "currency", "hold_expires_at", "data"],
    func.array(_PASSENGERS).label("passengers"),
)

INSERT = statement(
    insert(bookings)
    .values(
        **binds("id", "tenant_id", "kind", "supplier", "supplier_ref", "locator", "status", "offer_id", "cost"),
        **binds("currency", "hold_expires_at", "data", "tool_call_id", "created_at"),
        session_id=ID_IF_IT_EXISTS,
        enquiry_id=_ENQUIRY,
    )
    .on_conflict_do_nothing(index_elements=["tenant_id", "tool_call_id"])
    .returning(bookings.c.id)
)
ADD_PASSENGERS = """
INSERT INTO booking_passengers (tenant_id, booking_id, passenger_id, position, created_at)
SELECT $1, $2, p.id, min(place), $4 FROM unnest($3::uuid[]) WITH ORDINALITY AS given (passenger_id, place)
  JOIN passengers p ON p.tenant_id = $1 AND p.id = given.passenger_id GROUP BY p.id
"""
"""Text: an array with its ordinality reads better so."""
BY_ID = statement(BOOKING.filter_by(**binds("tenant_id", "id")))
BY_CALL = statement(BOOKING.filter_by(**binds("tenant_id", "tool_call_id")))
BY_LOCATOR = statement(
    BOOKING.filter_by(**binds("tenant_id", "locator"), kind="flight")
    .order_by(bookings.c.created_at.desc(), bookings.c.id.desc())
    .limit(1)
)
_ORDER = binds("status", "supplier_ref", "locator", "cost", "currency")
_MERGED = bookings.c.data.concat(bindparam("data", type_=Json))
CONFIRM = statement(
    update(bookings)
    .where(
        bookings.c.tenant_id == bindparam("tenant_id"),
        bookings.c.id == bindparam("id"),
        or_(bookings.c.status == "tentative", bookings.c.supplier_ref == bindparam("supplier_ref")),
    )
    .values(**_ORDER, hold_expires_at=None, data=_MERGED)
    .returning(bookings.c.id)
)
_COPIED = ("tenant_id", "session_id", "enquiry_id", "kind", "supplier", "offer_id")
_GIVEN = (("id", "new_id"), *((name, name) for name in (*_ORDER, "tool_call_id", "created_at")))
BOUGHT_TWICE = statement(
    insert(bookings)
    .from_select(
        [*_COPIED, *(column for column, _ in _GIVEN), "data"],
        select(
            *bookings.c[_COPIED],
            *(bindparam(name, type_=bookings.c[column].type) for column, name in _GIVEN),
            _MERGED,
        ).filter_by(**binds("tenant_id", "id")),
    )
    .on_conflict_do_nothing(index_elements=["tenant_id", "tool_call_id"])
    .returning(bookings.c.id)
)
SAME_PASSENGERS = statement(
    insert(booking_passengers).from_select(
        ["tenant_id", "booking_id", "passenger_id", "position", "created_at"],
        select(
            booking_passengers.c.tenant_id,
            bindparam("new_id", type_=Uuid),
            *booking_passengers.c["passenger_id", "position"],
            bindparam("created_at", type_=Time),
        ).filter_by(**binds("tenant_id", "booking_id")),
    )
)
CANCEL = statement(
    update(bookings)
    .where(bookings.c.tenant_id == bindparam("tenant_id"), bookings.c.id == bindparam("id"))
    .values(status="cancelled", **binds("refund", "refund_currency"), hold_expires_at=None, data=_MERGED)
)
TICKETED = statement(
    update(bookings)
    .where(
        bookings.c.tenant_id == bindparam("tenant_id"),
        bookings.c.id == bindparam("id"),
        bookings.c.status.in_(("confirmed", "schedule_change")),
    )
    .values(status="ticketed", data=_MERGED)
)
REPRICE = statement(
    update(bookings)
    .where(
        bookings.c.tenant_id == bindparam("tenant_id"),
        bookings.c.id == bindparam("id"),
        bookings.c.status == "tentative",
    )
    .values(**binds("cost", "currency"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Command[Booking]):
    """Record what a supplier has done for one tool call. Recording the same call again changes nothing.

    The order exists at the supplier, so no value of it may make this fail: passengers are those on file, each once, and
    a cost that fits no column is kept in ``data``.
    """

    id: str
    session_id: str | None
    tool_call_id: str
    kind: str
    supplier: str
    supplier_ref: str
    locator: str | None
    status: str
    offer_id: str | None
    cost: Decimal
    currency: str
    hold_expires_at: datetime | None
    data: Mapping[str, Any]
    passengers: Sequence[str]
    now: datetime
    tickets: Sequence[IssuedTicket] = ()

    async def run(self, db: Connection) -> Booking:
        cost, data = _kept(self.cost, self.currency, self.data)
        new_id = await INSERT.fetchval(
            db,
            id=self.id,
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            kind=self.kind,
            supplier=self.supplier,
            supplier_ref=self.supplier_ref,
            locator=self.locator,
            status=self.status,
            offer_id=self.offer_id,
            cost=cost,
            currency=self.currency,
            hold_expires_at=self.hold_expires_at,
            data=data,
            tool_call_id=self.tool_call_id,
            created_at=self.now,
        )
        if new_id is not None:
            await db.execute(ADD_PASSENGERS, self.tenant_id, new_id, list(self.passengers), self.now)
            await tickets.issue(db, self.tenant_id, new_id, self.tickets, currency=self.currency, now=self.now)
        return _booking(await BY_CALL.fetchrow(db, tenant_id=self.tenant_id, tool_call_id=self.tool_call_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(Command[Booking]):
    """Record the order a hold has become; one recorded before is set to what the supplier says of it now.

    If the hold is no longer one and the order has another reference, a separate booking is recorded under the call.
    """

    id: str
    new_id: str
    tool_call_id: str
    status: str
    supplier_ref: str
    locator: str | None
    cost: Decimal
    currency: str
    data: Mapping[str, Any]
    now: datetime
    tickets: Sequence[IssuedTicket] = ()

    async def run(self, db: Connection) -> Booking:
        cost, data = _kept(self.cost, self.currency, self.data)
        hold: dict[str, Any] = {"tenant_id": self.tenant_id, "id": self.id}
        order = {
            "status": self.status,
            "supplier_ref": self.supplier_ref,
            "locator": self.locator,
            "cost": cost,
            "currency": self.currency,
            "data": data,
        }
        if await CONFIRM.fetchval(db, **hold, **order) is not None:
            await tickets.issue(db, self.tenant_id, self.id, self.tickets, currency=self.currency, now=self.now)
            return _booking(await BY_ID.fetchrow(db, **hold))
        call = {"tenant_id": self.tenant_id, "tool_call_id": self.tool_call_id}
        new_id = await BOUGHT_TWICE.fetchval(db, **call, **order, id=self.id, new_id=self.new_id, created_at=self.now)
        if new_id is not None:
            copy = {"tenant_id": self.tenant_id, "booking_id": self.id, "new_id": new_id}
            await SAME_PASSENGERS.execute(db, **copy, created_at=self.now)
            await tickets.issue(db, self.tenant_id, new_id, self.tickets, currency=self.currency, now=self.now)
        return _booking(await BY_CALL.fetchrow(db, **call))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprice(Command[None]):
    """Store what a supplier now asks for a hold."""

    id: str
    cost: Decimal
    currency: str

    async def run(self, db: Connection) -> None:
        await REPRICE.execute(db, tenant_id=self.tenant_id, id=self.id, cost=self.cost, currency=self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Command[Booking]):
    """Mark a booking as cancelled, with its refund if that is known. Nothing of it may fail: it has been cancelled.

    Its open tickets are ``refunded`` if something is refunded, else ``void``.
    """

    id: str
    refund: Money | None
    refund_to: str | None

    async def run(self, db: Connection) -> Booking:
        stored = self.refund if self.refund is not None and self.refund.is_price else None
        told = None if self.refund is None else self.refund.text
        row = {"tenant_id": self.tenant_id, "id": self.id}
        await CANCEL.execute(
            db,
            **row,
            refund=None if stored is None else stored.amount,
            refund_currency=None if stored is None else stored.currency,
            data={"refund": told, "refund_to": self.refund_to},
        )
        refunded = self.refund is not None and self.refund.amount > 0
        await tickets.close(db, self.tenant_id, self.id, refunded=refunded)
        return _booking(await BY_ID.fetchrow(db, **row))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTickets(Command[tuple[Ticket, ...]]):
    """Record the tickets of a booking; all it has are returned."""

    id: str
    currency: str
    data: Mapping[str, Any]
    tickets: Sequence[IssuedTicket]
    now: datetime

    async def run(self, db: Connection) -> tuple[Ticket, ...]:
        await TICKETED.execute(db, tenant_id=self.tenant_id, id=self.id, data=self.data)
        await tickets.issue(db, self.tenant_id, self.id, self.tickets, currency=self.currency, now=self.now)
        return await tickets.of_booking(db, self.tenant_id, self.id)


def _kept(cost: Decimal, currency: str, data: Mapping[str, Any]) -> tuple[Decimal, Mapping[str, Any]]:
    """The cost and the data as they are stored; a cost that does not fit its column is in the data only."""
    price = Money.of(cost, currency)
    return (cost, data) if price.is_price else (Decimal(0), {**data, "supplier_price": price.text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Query[Booking | None]):
    """The booking with that id."""

    id: str

    async def run(self, db: Connection) -> Booking | None:
        row = await BY_ID.fetchrow(db, tenant_id=self.tenant_id, id=self.id)
        return None if row is None else _booking(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByLocator(Snapshot[tuple[Booking, tuple[Ticket, ...]] | None]):
    """The newest flight booking with that locator, and its tickets."""

    locator: str

    async def run(self, db: Connection) -> tuple[Booking, tuple[Ticket, ...]] | None:
        row = await BY_LOCATOR.fetchrow(db, tenant_id=self.tenant_id, locator=self.locator)
        if row is None:
            return None
        return _booking(row), await tickets.of_booking(db, self.tenant_id, row["id"])


def _booking(row: Mapping[str, Any]) -> Booking:
    return Booking(
        id=row["id"],
        kind=row["kind"],
        supplier=row["supplier"],
        supplier_ref=row["supplier_ref"],
        locator=row["locator"],
        status=row["status"],
        offer_id=row["offer_id"],
        enquiry_id=row["enquiry_id"],
        cost=Money.of(row["cost"], row["currency"]),
        hold_expires_at=row["hold_expires_at"],
        data=row["data"],
        passengers=tuple(row["passengers"]),
    )
