"""Lists of an agency's chat sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, exists, func, or_, select, true

from ..engine.operations import Snapshot
from ..engine.statements import binds, statement
from ..tables import bookings, sessions, visa_files
from ..travel.itinerary import ENDED, GONE
from .sessions import COUNTED

if TYPE_CHECKING:
    from ..engine.connection import Connection


@dataclass(frozen=True, slots=True)
class ListItem:
    """A session in a list."""

    id: str
    title: str | None
    created_at: datetime
    message_count: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """One page of sessions and how many there are."""

    items: tuple[ListItem, ...]
    total: int


_FOUND = func.strpos(func.lower(sessions.c.title), func.lower(bindparam("q"))) > 0
_BOOKED = exists().where(
    bookings.c.tenant_id == sessions.c.tenant_id,
    bookings.c.session_id == sessions.c.id,
    bookings.c.status.not_in(GONE),
)
_APPLIED = exists().where(
    visa_files.c.tenant_id == sessions.c.tenant_id,
    visa_files.c.session_id == sessions.c.id,
    visa_files.c.status.not_in(ENDED),
)
_CONDITIONS = {
    (searched, trips): and_(_FOUND if searched else true(), or_(_BOOKED, _APPLIED) if trips else true())
    for searched in (False, True)
    for trips in (False, True)
}
PAGES = {
    asked: statement(
        select(*sessions.c["id", "title", "created_at"], COUNTED.label("message_count"))
        .filter_by(**binds("tenant_id"))
        .where(condition)
        .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
    )
    for asked, condition in _CONDITIONS.items()
}
TOTALS = {
    asked: statement(select(func.count()).select_from(sessions).filter_by(**binds("tenant_id")).where(condition))
    for asked, condition in _CONDITIONS.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Snapshot[Sessions]):
    """The agency's sessions, newest first; with ``q`` those whose title contains it, in any letter case.

    With ``trips`` those whose itinerary has something: a booking or a visa file that has not come to nothing.
    """

    limit: int
    offset: int
    q: str = ""
    trips: bool = False

    async def run(self, db: Connection) -> Sessions:
        asked = (self.q != "", self.trips)
        found = {"q": self.q} if self.q else {}
        rows = await PAGES[asked].fetch(db, tenant_id=self.tenant_id, limit=self.limit, offset=self.offset, **found)
        total = await TOTALS[asked].fetchval(db, tenant_id=self.tenant_id, **found)
        return Sessions(tuple(ListItem(**row) for row in rows), total)
