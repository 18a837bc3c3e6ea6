"""The tickets of a booking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, case, select, update
from sqlalchemy.dialects.postgresql import insert

from ..engine.statements import binds, statement
from ..schema.columns import Time, Uuid
from ..tables import booking_passengers, bookings, tickets

if TYPE_CHECKING:
    from ..engine.connection import Connection


@dataclass(frozen=True, slots=True)
class Ticket:
    """A document issued for a booking."""

    id: str
    number: str
    status: str


@dataclass(frozen=True, slots=True)
class IssuedTicket:
    """An electronic ticket to be stored: its number has thirteen digits."""

    id: str
    number: str
    passenger_id: str


ISSUE = statement(
    insert(tickets)
    .from_select(
        ["passenger_id", "tenant_id", "booking_id", "id", "number", "issued_at", "currency", "created_at"],
        select(
            *booking_passengers.c["passenger_id", "tenant_id", "booking_id"],
            bindparam("id", type_=Uuid),
            bindparam("number", type_=tickets.c.number.type),
            bindparam("issued_at", type_=Time),
            bindparam("currency", type_=tickets.c.currency.type),
            bindparam("created_at", type_=Time),
        ).filter_by(**binds("tenant_id", "booking_id", "passenger_id")),
    )
    .on_conflict_do_nothing(index_elements=["tenant_id", "number"])
)
CLOSE = statement(
    update(tickets).filter_by(**binds("tenant_id", "booking_id"), status="open").values(**binds("status"))
)
CLOSE_LATE = statement(
    update(tickets)
    .filter_by(**binds("tenant_id", "booking_id"), status="open")
    .where(
        bookings.c.tenant_id == tickets.c.tenant_id,
        bookings.c.id == tickets.c.booking_id,
        bookings.c.status == "cancelled",
    )
    .values(status=case((bookings.c.refund > 0, "refunded"), else_="void"))
)
OF_BOOKING = statement(
    select(*tickets.c["id", "number", "status"])
    .filter_by(**binds("tenant_id", "booking_id"))
    .order_by(tickets.c.number)
)


async def issue(
    db: Connection,
    tenant_id: str | None,
    booking_id: str,
    issued: Sequence[IssuedTicket],
    *,
    currency: str,
    now: datetime,
) -> None:
    """Store tickets of a booking's passengers. What a ticket alone costs is not known.

    Those of a cancelled booking are closed, as by ``close``: a supplier names them all the same.
    """
    for ticket in issued:
        await ISSUE.execute(
            db,
            tenant_id=tenant_id,
            booking_id=booking_id,
            passenger_id=ticket.passenger_id,
            id=ticket.id,
            number=ticket.number,
            issued_at=now,
            currency=currency,
            created_at=now,
        )
    if issued:
        await CLOSE_LATE.execute(db, tenant_id=tenant_id, booking_id=booking_id)


async def close(db: Connection, tenant_id: str | None, booking_id: str, *, refunded: bool) -> None:
    """Close the open tickets of a cancelled booking: ``refunded`` if something is refunded, else ``void``."""
    await CLOSE.execute(db, tenant_id=tenant_id, booking_id=booking_id, status="refunded" if refunded else "void")


async def of_booking(db: Connection, tenant_id: str | None, booking_id: str) -> tuple[Ticket, ...]:
    """All tickets of a booking, by their numbers."""
    return tuple(Ticket(**row) for row in await OF_BOOKING.fetch(db, tenant_id=tenant_id, booking_id=booking_id))
