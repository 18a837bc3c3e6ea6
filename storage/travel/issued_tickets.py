"""The agency's tickets with what is known of their amounts, as the other side of statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, or_, select

from ...actors.domain.bsp import shown_number
from ...actors.domain.money import Money
from ...actors.domain.reconciliation import OwnTicket
from ..engine.operations import Query
from ..engine.statements import any_of, statement
from ..schema.columns import Time
from ..tables import bookings, tickets

if TYPE_CHECKING:
    from ..engine.connection import Connection

_others = tickets.alias("others")
_OF_BOOKING = (
    select(func.count())
    .where(_others.c.tenant_id == tickets.c.tenant_id, _others.c.booking_id == tickets.c.booking_id)
    .scalar_subquery()
)
_TICKETS = (
    select(
        *tickets.c["id", "number", "status", "issued_at", "updated_at", "booking_id", "total", "currency"],
        *bookings.c["locator", "supplier", "cost", "refund", "refund_currency"],
        bookings.c.currency.label("cost_currency"),
        _OF_BOOKING.label("of_booking"),
    )
    .join(bookings, and_(bookings.c.tenant_id == tickets.c.tenant_id, bookings.c.id == tickets.c.booking_id))
    .where(tickets.c.tenant_id == bindparam("tenant_id"))
    .order_by(tickets.c.issued_at, tickets.c.number)
)
BY_ID = statement(_TICKETS.where(any_of(tickets.c.id, "ids")))
OF_PERIOD = statement(
    _TICKETS.where(
        or_(
            and_(
                tickets.c.issued_at >= bindparam("since", type_=Time),
                or_(bindparam("before", type_=Time).is_(None), tickets.c.issued_at < bindparam("before", type_=Time)),
            ),
            any_of(tickets.c.number, "numbers"),
        )
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ById(Query[tuple[OwnTicket, ...]]):
    """Those of the agency's tickets that are named. Days are those of ``zone``."""

    ids: Sequence[str]
    zone: tzinfo

    async def run(self, db: Connection) -> tuple[OwnTicket, ...]:
        rows = await BY_ID.fetch(db, tenant_id=self.tenant_id, ids=list(self.ids))
        return tuple(_ticket(row, self.zone) for row in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfPeriod(Query[tuple[OwnTicket, ...]]):
    """The agency's tickets issued from ``since`` on and before ``before``, and those of these numbers of any time.

    ``numbers`` are the thirteen digits. Days are those of ``zone``.
    """

    since: datetime
    before: datetime | None
    numbers: Sequence[str]
    zone: tzinfo

    async def run(self, db: Connection) -> tuple[OwnTicket, ...]:
        written = [form for number in self.numbers for form in (number, shown_number(number))]
        rows = await OF_PERIOD.fetch(
            db, tenant_id=self.tenant_id, since=self.since, before=self.before, numbers=written
        )
        return tuple(_ticket(row, self.zone) for row in rows)


def _ticket(row: Mapping[str, Any], zone: tzinfo) -> OwnTicket:
    refunded = row["status"] == "refunded" and row["refund"] is not None
    return OwnTicket(
        id=row["id"],
        number=row["number"],
        issued_on=row["issued_at"].astimezone(zone).date(),
        booking_id=row["booking_id"],
        locator=row["locator"],
        supplier=row["supplier"],
        of_booking=row["of_booking"],
        cost=Money.of(row["cost"], row["cost_currency"]),
        total=None if row["total"] is None else Money.of(row["total"], row["currency"]),
        refund=Money.of(row["refund"], row["refund_currency"]) if refunded else None,
        refunded_on=row["updated_at"].astimezone(zone).date() if refunded else None,
    )
