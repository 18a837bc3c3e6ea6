"""An agency's bookings and holds, with their passengers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ...actors.domain.money import Money
from ..engine.operations import Command, Query, Snapshot

if TYPE_CHECKING:
    from ..engine.pool import Connection


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
    cost: Money
    hold_expires_at: datetime | None
    data: dict[str, Any]
    passengers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A document issued for a booking."""

    id: str
    number: str
    status: str


COLUMNS = """b.id, b.kind, b.supplier, b.supplier_ref, b.locator, b.status, b.offer_id, b.cost, b.currency,
       b.hold_expires_at, b.data,
       ARRAY(SELECT p.passenger_id FROM booking_passengers p
              WHERE p.tenant_id = b.tenant_id AND p.booking_id = b.id ORDER BY p.position) AS passengers"""

INSERT = """
INSERT INTO bookings (id, tenant_id, session_id, kind, supplier, supplier_ref, locator, status, offer_id, cost,
                      currency, hold_expires_at, data, tool_call_id, created_at)
VALUES ($1, $2, (SELECT id FROM sessions WHERE tenant_id = $2 AND id = $3), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
        $14, $15)
ON CONFLICT (tenant_id, tool_call_id) DO NOTHING RETURNING id
"""
PERSONS = """
INSERT INTO booking_passengers (tenant_id, booking_id, passenger_id, position, created_at)
SELECT $1, $2, p.id, min(place), $4 FROM unnest($3::uuid[]) WITH ORDINALITY AS persons (person, place)
  JOIN passengers p ON p.tenant_id = $1 AND p.id = person GROUP BY p.id
"""
BY_ID = f"SELECT {COLUMNS} FROM bookings b WHERE b.tenant_id = $1 AND b.id = $2"  # noqa: S608  # our own columns
BY_CALL = f"SELECT {COLUMNS} FROM bookings b WHERE b.tenant_id = $1 AND b.tool_call_id = $2"  # noqa: S608  # our own columns
BY_LOCATOR = f"""
SELECT {COLUMNS} FROM bookings b
 WHERE b.tenant_id = $1 AND b.locator = $2 AND b.kind = 'flight' ORDER BY b.created_at DESC, b.id DESC LIMIT 1
"""  # noqa: S608  # our own columns
CONFIRM = """
UPDATE bookings SET status = $3, supplier_ref = $4, locator = $5, cost = $6, currency = $7, hold_expires_at = NULL,
                    data = data || $8
 WHERE tenant_id = $1 AND id = $2 AND (status = 'tentative' OR supplier_ref = $4) RETURNING id
"""
BOUGHT_TWICE = """
INSERT INTO bookings (id, tenant_id, session_id, kind, supplier, supplier_ref, locator, status, offer_id, cost,
                      currency, data, tool_call_id, created_at)
SELECT $9, tenant_id, session_id, kind, supplier, $4, $5, $3, offer_id, $6, $7, data || $8, $10, $11
  FROM bookings WHERE tenant_id = $1 AND id = $2
ON CONFLICT (tenant_id, tool_call_id) DO NOTHING RETURNING id
"""
SAME_PERSONS = """
INSERT INTO booking_passengers (tenant_id, booking_id, passenger_id, position, created_at)
SELECT tenant_id, $3, passenger_id, position, $4 FROM booking_passengers WHERE tenant_id = $1 AND booking_id = $2
"""
TICKETS = "SELECT id, number, status FROM tickets WHERE tenant_id = $1 AND booking_id = $2 ORDER BY number"


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

    async def run(self, db: Connection) -> Booking:
        cost, data = _kept(self.cost, self.currency, self.data)
        new_id = await db.fetchval(
            INSERT,
            self.id,
            self.tenant_id,
            self.session_id,
            self.kind,
            self.supplier,
            self.supplier_ref,
            self.locator,
            self.status,
            self.offer_id,
            cost,
            self.currency,
            self.hold_expires_at,
            data,
            self.tool_call_id,
            self.now,
        )
        if new_id is not None:
            await db.execute(PERSONS, self.tenant_id, new_id, list(self.passengers), self.now)
        return _booking(await db.fetchrow(BY_CALL, self.tenant_id, self.tool_call_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(Command[Booking]):
    """Confirm a hold as a booking. An already confirmed one is returned unchanged.

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

    async def run(self, db: Connection) -> Booking:
        cost, data = _kept(self.cost, self.currency, self.data)
        values = (self.tenant_id, self.id, self.status, self.supplier_ref, self.locator, cost, self.currency, data)
        if await db.fetchval(CONFIRM, *values) is not None:
            return _booking(await db.fetchrow(BY_ID, self.tenant_id, self.id))
        own = await db.fetchval(BOUGHT_TWICE, *values, self.new_id, self.tool_call_id, self.now)
        if own is not None:
            await db.execute(SAME_PERSONS, self.tenant_id, self.id, own, self.now)
        return _booking(await db.fetchrow(BY_CALL, self.tenant_id, self.tool_call_id))


def _kept(cost: Decimal, currency: str, data: Mapping[str, Any]) -> tuple[Decimal, Mapping[str, Any]]:
    """The cost and the data as they are stored; a cost that does not fit its column is in the data only."""
    price = Money.of(cost, currency)
    return (cost, data) if price.is_price else (Decimal(0), {**data, "supplier_price": price.text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Query[Booking | None]):
    """The booking with that id."""

    id: str

    async def run(self, db: Connection) -> Booking | None:
        row = await db.fetchrow(BY_ID, self.tenant_id, self.id)
        return None if row is None else _booking(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByLocator(Snapshot[tuple[Booking, tuple[Ticket, ...]] | None]):
    """The newest flight booking with that locator, and its tickets."""

    locator: str

    async def run(self, db: Connection) -> tuple[Booking, tuple[Ticket, ...]] | None:
        row = await db.fetchrow(BY_LOCATOR, self.tenant_id, self.locator)
        if row is None:
            return None
        tickets = await db.fetch(TICKETS, self.tenant_id, row["id"])
        return _booking(row), tuple(Ticket(each["id"], each["number"], each["status"]) for each in tickets)


def _booking(row: Mapping[str, Any]) -> Booking:
    return Booking(
        id=row["id"],
        kind=row["kind"],
        supplier=row["supplier"],
        supplier_ref=row["supplier_ref"],
        locator=row["locator"],
        status=row["status"],
        offer_id=row["offer_id"],
        cost=Money.of(row["cost"], row["currency"]),
        hold_expires_at=row["hold_expires_at"],
        data=row["data"],
        passengers=tuple(row["passengers"]),
    )
