"""What was booked in a session and for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, func, select

from ...actors.domain.errors import NotFound
from ...actors.domain.itinerary import BookedItem
from ...actors.domain.money import Money
from ..conversation.sessions import ID_IF_IT_EXISTS
from ..engine.operations import Snapshot
from ..engine.statements import statement
from ..tables import booking_passengers, bookings, passengers

if TYPE_CHECKING:
    from ..engine.connection import Connection

GONE: Final = ("cancelled", "failed")

_IN_SESSION = and_(
    bookings.c.tenant_id == bindparam("tenant_id"),
    bookings.c.session_id == bindparam("session_id"),
    bookings.c.status.not_in(GONE),
)
SESSION = statement(select(ID_IF_IT_EXISTS.label("id")))
ITEMS = statement(
    select(*bookings.c["kind", "status", "locator", "cost", "currency", "data"])
    .where(_IN_SESSION)
    .order_by(bookings.c.created_at, bookings.c.id)
)
_BOOKED = and_(
    booking_passengers.c.tenant_id == bookings.c.tenant_id,
    booking_passengers.c.booking_id == bookings.c.id,
)
_PERSON = and_(
    passengers.c.tenant_id == booking_passengers.c.tenant_id, passengers.c.id == booking_passengers.c.passenger_id
)
PERSONS = statement(
    select(passengers.c.full_name)
    .select_from(bookings.join(booking_passengers, _BOOKED).join(passengers, _PERSON))
    .where(_IN_SESSION)
    .group_by(passengers.c.id, passengers.c.full_name)
    .order_by(func.min(bookings.c.created_at), func.min(booking_passengers.c.position), passengers.c.id)
)


@dataclass(frozen=True, slots=True)
class Booked:
    """The bookings in the order they were made, and the names of the passengers, each person once."""

    items: tuple[BookedItem, ...]
    passengers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Snapshot[Booked]):
    """What was booked in a session, without what was cancelled or failed. Refusal: ``session_not_found``."""

    session_id: str

    async def run(self, db: Connection) -> Booked:
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        if await SESSION.fetchval(db, **session) is None:
            raise NotFound("session_not_found")
        items = tuple(
            BookedItem(
                kind=row["kind"],
                status=row["status"],
                locator=row["locator"],
                cost=Money.of(row["cost"], row["currency"]),
                data=row["data"],
            )
            for row in await ITEMS.fetch(db, **session)
        )
        return Booked(items, tuple(row["full_name"] for row in await PERSONS.fetch(db, **session)))
