"""What was booked in a session and for whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, func, literal_column, select, union_all

from ...actors.domain.errors import NotFound
from ...actors.domain.itinerary import BookedItem, Visa
from ...actors.domain.money import Money
from ..conversation.sessions import ID_IF_IT_EXISTS
from ..engine.operations import Snapshot
from ..engine.statements import statement
from ..tables import booking_passengers, bookings, passengers, visa_files

if TYPE_CHECKING:
    from ..engine.connection import Connection

GONE: Final = ("cancelled", "failed")
ENDED: Final = ("rejected", "withdrawn")
"""Visa files that lead to no visa."""

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
_APPLIED = and_(
    visa_files.c.tenant_id == bindparam("tenant_id"),
    visa_files.c.session_id == bindparam("session_id"),
    visa_files.c.status.not_in(ENDED),
)
VISAS = statement(
    select(*visa_files.c["destination_country", "status"])
    .where(_APPLIED)
    .order_by(visa_files.c.travel_date.nulls_last(), visa_files.c.created_at, visa_files.c.id)
)
_WHO = passengers.c["id", "full_name", "passport_sealed"]
_named = union_all(
    select(*_WHO, bookings.c.created_at, booking_passengers.c.position)
    .select_from(bookings.join(booking_passengers, _BOOKED).join(passengers, _PERSON))
    .where(_IN_SESSION),
    select(*_WHO, visa_files.c.created_at, literal_column("0"))
    .select_from(
        visa_files.join(
            passengers,
            and_(passengers.c.tenant_id == visa_files.c.tenant_id, passengers.c.id == visa_files.c.passenger_id),
        )
    )
    .where(_APPLIED),
).subquery("named")
PERSONS = statement(
    select(*_named.c["id", "full_name", "passport_sealed"])
    .group_by(*_named.c["id", "full_name", "passport_sealed"])
    .order_by(func.min(_named.c.created_at), func.min(_named.c.position), _named.c.id)
)


@dataclass(frozen=True, slots=True)
class Traveller:
    """Somebody who travels; the passport's number is sealed."""

    id: str
    full_name: str
    passport_sealed: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Booked:
    """The bookings in the order they were made, visa files by day of travel, and the travellers, each person once."""

    items: tuple[BookedItem, ...]
    visas: tuple[Visa, ...]
    passengers: tuple[Traveller, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Snapshot[Booked]):
    """What a session booked and applied for, without what was cancelled or failed. Refusal: ``session_not_found``."""

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
        visas = tuple(Visa(row["destination_country"], row["status"]) for row in await VISAS.fetch(db, **session))
        return Booked(items, visas, tuple(Traveller(**row) for row in await PERSONS.fetch(db, **session)))
