"""Reading the audit trail: filters, one page, and an export by keyset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, func, select, true

from ..actors.domain.audit import AuditEvent, Author
from ..actors.domain.audit_reading import Stored
from ..actors.domain.errors import BadRequest
from . import audit
from .engine.operations import Command, Query
from .engine.statements import Statement, any_of, statement
from .tables import audit_events, users

if TYPE_CHECKING:
    from .engine.connection import Connection

EXPORT_LIMIT: Final = 100_000
"""Rows of one export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What an audit event has to match; ``None`` matches all. ``created_before`` is exclusive."""

    actor_id: str | None = None
    kinds: tuple[str, ...] | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None

    def given(self) -> dict[str, Any]:
        """The filters that are set."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Events:
    """One page of audit events and how many match."""

    items: tuple[Stored, ...]
    total: int


CONDITIONS: Final[dict[str, ColumnElement[bool]]] = {
    "actor_id": audit_events.c.actor_id == bindparam("actor_id"),
    "kinds": any_of(audit_events.c.kind, "kinds"),
    "created_from": audit_events.c.created_at >= bindparam("created_from"),
    "created_before": audit_events.c.created_at < bindparam("created_before"),
}
COLUMNS: Final = audit_events.c[(*audit.ENTRY, "seq", "hash")]


def _matching(given: frozenset[str]) -> list[ColumnElement[bool]]:
    own = audit_events.c.tenant_id == bindparam("tenant_id")
    return [own, *(condition for name, condition in CONDITIONS.items() if name in given)]


def _stored(row: Mapping[str, Any], actor_email: str | None) -> Stored:
    event = AuditEvent(**{name: row[name] for name in audit.ENTRY})
    return Stored(event, row["seq"], row["hash"], actor_email)


@cache
def page(given: frozenset[str]) -> Statement:
    """The statement for a set of filters: a row for each event of the page, and one in any case, with the total."""
    matching = _matching(given)
    counted = select(func.count().label("total")).select_from(audit_events).where(*matching).subquery("counted")
    shown = (
        select(*COLUMNS)
        .where(*matching)
        .order_by(audit_events.c.seq.desc())
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
        .subquery("shown")
    )
    actor = and_(users.c.tenant_id == bindparam("tenant_id"), users.c.id == shown.c.actor_id)
    return statement(
        select(counted.c.total, *shown.c, users.c.email)
        .select_from(counted.outerjoin(shown, true()).outerjoin(users, actor))
        .order_by(shown.c.seq.desc())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Query[Events]):
    """One page of the agency's audit events, newest first, with the total of the same snapshot."""

    filters: Filters
    limit: int
    offset: int

    async def run(self, db: Connection) -> Events:
        given = self.filters.given()
        one = page(frozenset(given))
        rows = await one.fetch(db, tenant_id=self.tenant_id, limit=self.limit, offset=self.offset, **given)
        items = tuple(_stored(row, row["email"]) for row in rows if row["id"] is not None)
        return Events(items, rows[0]["total"])


@cache
def extent(given: frozenset[str]) -> Statement:
    """How many events match, one more than may be exported at most, and the first and last of them."""
    found = select(audit_events.c.seq).where(*_matching(given)).limit(EXPORT_LIMIT + 1).subquery("found")
    return statement(
        select(func.count().label("rows"), func.min(found.c.seq).label("first"), func.max(found.c.seq).label("last"))
    )


EMAILS = statement(select(users.c.id, users.c.email).where(users.c.tenant_id == bindparam("tenant_id")))


@dataclass(frozen=True, slots=True)
class Extent:
    """What an export has: its filters, the number of rows, the first and last ``seq``, and the actors' addresses.

    Events never change and a later one has a higher ``seq``, so a snapshot is all events up to one: no transaction
    stays open while a client downloads.
    """

    filters: Filters
    rows: int
    first: int
    last: int
    emails: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginExport(Command[Extent]):
    """Take the snapshot of an export, and audit the export with its ``asked`` filters unless it has no ``author``.

    BadRequest ``export_too_large``.
    """

    tenant_id: str
    filters: Filters
    asked: Mapping[str, Any]
    author: Author | None
    now: datetime

    async def run(self, db: Connection) -> Extent:
        given = self.filters.given()
        found = await extent(frozenset(given)).fetchrow(db, tenant_id=self.tenant_id, **given)
        rows = found["rows"]
        if rows > EXPORT_LIMIT:
            raise BadRequest("export_too_large")
        emails = {row["id"]: row["email"] for row in await EMAILS.fetch(db, tenant_id=self.tenant_id)}
        if self.author is not None:
            await audit.append(db, [self._event(self.author, rows)])
        return Extent(self.filters, rows, found["first"] or 0, found["last"] or 0, emails)

    def _event(self, author: Author, rows: int) -> AuditEvent:
        inputs = {"filters": self.asked, "rows": rows}
        return AuditEvent.by_person(
            "audit.exported", self.tenant_id, author.user_id, author.origin, self.now, inputs=inputs
        )


@cache
def batch(given: frozenset[str]) -> Statement:
    """The statement for a set of filters: the newest events between two others, the older of them included."""
    return statement(
        select(*COLUMNS)
        .where(
            *_matching(given),
            audit_events.c.seq >= bindparam("first", type_=BigInteger),
            audit_events.c.seq < bindparam("before", type_=BigInteger),
        )
        .order_by(audit_events.c.seq.desc())
        .limit(bindparam("limit"))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Query[list[Stored]]):
    """The next rows of an export: the newest before an event of it."""

    of: Extent
    before: int
    limit: int

    async def run(self, db: Connection) -> list[Stored]:
        given = self.of.filters.given()
        between = {"first": self.of.first, "before": self.before, "limit": self.limit}
        rows = await batch(frozenset(given)).fetch(db, tenant_id=self.tenant_id, **between, **given)
        return [_stored(row, self.of.emails.get(row["actor_id"])) for row in rows]
