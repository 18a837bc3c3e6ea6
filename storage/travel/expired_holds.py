"""Holds whose deadline has passed: they are marked as cancelled and audited, once each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, select, update

from ...actors.domain.audit import AuditEvent
from .. import audit
from ..engine.operations import Command, Query
from ..engine.statements import binds, statement
from ..tables import bookings

if TYPE_CHECKING:
    from ..engine.connection import Connection

AT_ONCE: Final = 100
"""Holds of one agency in one transaction; the next round takes the others."""

EXPIRED = and_(bookings.c.status == "tentative", bookings.c.hold_expires_at <= bindparam("now"))
AGENCIES = statement(select(bookings.c.tenant_id).distinct().where(EXPIRED))
_DUE = (
    select(bookings.c.id)
    .filter_by(**binds("tenant_id"))
    .where(EXPIRED)
    .order_by(bookings.c.id)
    .limit(AT_ONCE)
    .with_for_update(skip_locked=True, key_share=True)
)
EXPIRE = statement(
    update(bookings)
    .where(bookings.c.tenant_id == bindparam("tenant_id"), bookings.c.id.in_(_DUE))
    .values(status="cancelled")
    .returning(bookings.c.id, bookings.c.supplier)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgenciesWithExpired(Query[list[str]]):
    """Agencies with holds whose deadline has passed."""

    tenant_id: None = None
    now: datetime

    async def run(self, db: Connection) -> list[str]:
        return [row["tenant_id"] for row in await AGENCIES.fetch(db, now=self.now)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire(Command[int]):
    """Mark an agency's expired holds as cancelled, ``booking.lapsed`` each; their deadline stays.

    A payment that a supplier confirms later is recorded all the same.
    """

    now: datetime

    async def run(self, db: Connection) -> int:
        rows = await EXPIRE.fetch(db, tenant_id=self.tenant_id, now=self.now)
        if rows:
            about = [{"booking_id": row["id"]} for row in rows]
            kind, tenant_id = "booking.lapsed", self.tenant_id or ""
            events = [AuditEvent.by_system(kind, tenant_id, self.now, inputs=each, refs=each) for each in about]
            await audit.append(db, events)
        return len(rows)
