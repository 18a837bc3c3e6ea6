"""Enquiries: create, read, change and promote them. Lists are in ``enquiry_lists``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic_core import to_json
from sqlalchemy import (
    CTE,
    JSON,
    FromClause,
    Select,
    Text,
    bindparam,
    cast,
    column,
    exists,
    func,
    literal,
    null,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from ..actors.domain import enquiries as rules
from ..actors.domain.audit import AuditEvent, Author
from ..actors.domain.enquiries import Enquiry, EnquiryBooking, Followed
from ..actors.domain.errors import NotFound
from ..actors.domain.money import Money
from . import audit
from .audit import AUDIT
from .conversation import sessions
from .engine.operations import BatchedWrite, Command, Snapshot
from .engine.statements import FENCE, INFINITE, Statement, binds, statement
from .schema.columns import Uuid
from .shown import as_shown, json_of
from .tables import bookings, enquiries

if TYPE_CHECKING:
    from .engine.connection import Connection

COLUMNS: Final = enquiries.c[rules.COLUMNS]
"""In the order of an ``Enquiry``'s fields: it is made of a row."""
_INSERTED = tuple(name for name in rules.COLUMNS if name != "updated_at")
_THIS = select(*COLUMNS).filter_by(**binds("tenant_id", "id"))

ONE = statement(_THIS)
LOCK = statement(_THIS.with_for_update(key_share=True))
WRITE = statement(
    update(enquiries)
    .filter_by(**binds("tenant_id", "id"))
    .where(enquiries.c.status == bindparam("judged"))
    .values(**binds(*rules.WRITABLE))
    .returning(enquiries.c.updated_at)
)
LINKED = statement(
    select(*COLUMNS)
    .filter_by(**binds("tenant_id", "session_id"))
    .order_by(enquiries.c.created_at.desc(), enquiries.c.id.desc())
    .limit(bindparam("limit"))
)
"""The enquiries of a session, newest first."""


_KEYS = ("email_key", "phone_key")
_ALIKE = ("id", "customer_name", "status", "created_at")
"""What is shown of an enquiry that may be of the same customer."""


_TENANT: Final = bindparam("tenant_id", type_=Uuid)


def _given(*names: str) -> FromClause:
    """The rows of new enquiries, from the text of a JSON array: with arrays the driver checks every value."""
    given = cast(bindparam("rows", type_=Text), JSON)
    columns = (column(name, enquiries.c[name].type) for name in names)
    return func.json_to_recordset(given).table_valued(*columns, name="given").render_derived(with_types=True)


def _create(*fence: FromClause) -> Statement:
    """Stores enquiries and their audit events, and finds earlier ones that may be of the same customers.

    One row for each: its id, and those that were found for it. How many it finds is no parameter: one plan serves all
    calls, where the planner would else make another each time, which takes as long as all the rest.
    """
    new = _given(*(name for name in _INSERTED if name != "tenant_id"))
    rows = select(*(new.c.get(name, _TENANT) for name in _INSERTED)).select_from(new, *fence)
    stored = insert(enquiries).from_select(_INSERTED, rows).on_conflict_do_nothing(index_elements=["id"])
    made = stored.returning(*enquiries.c["id", *_KEYS]).cte("made")
    is_made = exists(select(made.c.id))
    audited = select(AUDIT.label("audited")).where(is_made).cte("audited")
    before = select(*enquiries.c["id", *_KEYS], null()).filter_by(**binds("tenant_id"))
    before = before.where(enquiries.c.id.in_(select(_given("id").c.id)), ~is_made)
    kept = select(made, audited).select_from(made.join(audited, true())).union_all(before).cte("kept")
    like = union_all(
        _like(kept, "email_key", shortest=1), _like(kept, "phone_key", shortest=rules.FEWEST_DIGITS)
    ).subquery("like")
    newest = (
        select(*like.c[_ALIKE], func.array_agg(aggregate_order_by(like.c.same, like.c.same)).label("same"))
        .group_by(*like.c[_ALIKE])
        .order_by(like.c.created_at.desc(), like.c.id.desc())
        .limit(literal(rules.MOST_DUPLICATES))
        .correlate(kept)
        .subquery("newest")
    )
    return statement(select(kept.c.id, json_of(select(*map(as_shown, newest.c)).correlate(kept))))


def _like(kept: CTE, name: str, *, shortest: int) -> Select[Any]:
    """The newest earlier enquiries with the same key. Each key has an index of its own, in that order."""
    key, same = kept.c[name], literal(name.removesuffix("_key")).label("same")
    earlier = (
        select(*enquiries.c[_ALIKE], same)
        .filter_by(**binds("tenant_id"))
        .where(enquiries.c[name] == key, func.char_length(key) >= shortest, enquiries.c.id != kept.c.id)
        .order_by(enquiries.c.created_at.desc(), enquiries.c.id.desc())
        .limit(literal(rules.MOST_DUPLICATES))
        .correlate(kept)
        .subquery(name)
    )
    return select(earlier)


CREATE, CREATE_FENCED = _create(), _create(FENCE)
"""Run again with the same ids, they store nothing and find the same, and those of one run each other as well; or no
row at all, if the first run ended while this one waited for it.
"""
BOOKED = statement(
    select(*bookings.c["id", "kind", "supplier", "locator", "status", "cost", "currency", "session_id", "created_at"])
    .filter_by(**binds("tenant_id", "enquiry_id"))
    .order_by(bookings.c.created_at, bookings.c.id)
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A new enquiry, and the newest ones that may be of the same customer, as a JSON array. Nothing is ever merged.

    An object has ``id``, ``customer_name``, ``status``, ``created_at`` and ``same``: ``email`` for the same address in
    any case, ``phone`` for the same last ten digits, or both.
    """

    enquiry: Enquiry
    possible_duplicates: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(BatchedWrite[Opened]):
    """Store a new enquiry, and look for others that may be of the same customer.

    Refusal: ``session_not_found``, if it names a session that the agency does not have.
    """

    enquiry: Enquiry
    author: Author

    @classmethod
    async def run_all(cls, db: Connection, operations: Sequence[Self]) -> list[Opened]:
        first, new = operations[0], [each.enquiry for each in operations]
        events = [each.event for each in operations]
        create, lease = (CREATE, {}) if first.lease is None else (CREATE_FENCED, first.lease._asdict())
        rows = to_json([_in_json(each) for each in new]).decode()
        values = {"tenant_id": first.tenant_id, "rows": rows, **audit.written(*events), **lease}
        alike = dict(await create.fetch(db, **values))
        if not alike:  # its first run was committed while this one waited for it, so its snapshot has no row of it
            alike = dict(await create.fetch(db, **values))
        audit.count(events)
        return [Opened(each, alike[each.id]) for each in new]

    @property
    def event(self) -> AuditEvent:
        new = self.enquiry
        given = {name for name, value in zip(rules.COLUMNS, new, strict=True) if value is not None}
        return _event("created", new, self.author, new.created_at, given, to=new.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Snapshot[Followed]):
    """One enquiry with its bookings. Refusal: ``enquiry_not_found``."""

    enquiry_id: str

    async def run(self, db: Connection) -> Followed:
        found = _found(await ONE.fetchrow(db, tenant_id=self.tenant_id, id=self.enquiry_id))
        rows = await BOOKED.fetch(db, tenant_id=self.tenant_id, enquiry_id=found.id)
        return Followed(enquiry=found, bookings=tuple(map(_booking, rows)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Command[Enquiry]):
    """Change the ``given`` fields, judged against the locked row. A change without effect writes nothing.

    Refusals: ``enquiry_not_found``, those of ``domain.enquiries.differences``, then ``session_not_found``.
    """

    enquiry_id: str
    given: Mapping[str, Any]
    author: Author
    now: datetime

    async def run(self, db: Connection) -> Enquiry:
        before = _found(await LOCK.fetchrow(db, tenant_id=self.tenant_id, id=self.enquiry_id))
        changes = rules.differences(before, self.given)
        if not changes:
            return before
        after = await _write(db, before, changes)
        status = {"from": before.status, "to": after.status} if "status" in changes else {}
        await audit.append(db, [_event("changed", after, self.author, self.now, set(changes), **status)])
        return after


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """An enquiry and the session it is linked to."""

    enquiry: Enquiry
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote(Command[Promoted]):
    """Link an enquiry to a new session, unless it is linked to one: any number at once make one session.

    A linked session exists, since deleting it clears the link. Refusal: ``enquiry_not_found``.
    """

    enquiry_id: str
    new_session_id: str
    author: Author
    now: datetime

    async def run(self, db: Connection) -> Promoted:
        before = _found(await LOCK.fetchrow(db, tenant_id=self.tenant_id, id=self.enquiry_id))
        if before.session_id is not None:
            return Promoted(enquiry=before, session_id=before.session_id)
        await sessions.CREATE.execute(
            db,
            id=self.new_session_id,
            tenant_id=self.tenant_id,
            actor_id=self.author.user_id,
            created_at=self.now,
        )
        after = await _write(db, before, {"session_id": self.new_session_id})
        await audit.append(db, [_event("promoted", after, self.author, self.now, {"session_id"})])
        return Promoted(enquiry=after, session_id=self.new_session_id)


async def _write(db: Connection, before: Enquiry, changes: Mapping[str, Any]) -> Enquiry:
    """Write a locked row. The UPDATE demands the status that was judged."""
    after = before._replace(**changes)
    row = {name: getattr(after, name) for name in rules.WRITABLE}
    moment = await WRITE.fetchval(db, tenant_id=after.tenant_id, id=after.id, judged=before.status, **row)
    if moment is None:
        raise RuntimeError("a locked enquiry has changed its status")
    return after._replace(updated_at=moment)


def _in_json(enquiry: Enquiry) -> dict[str, Any]:
    """An enquiry's columns, of which JSON is made; the ends of the calendar are infinite, as the driver stores them."""
    depart, back = enquiry.depart_date, enquiry.return_date
    days = {"depart_date": INFINITE.get(depart, depart), "return_date": INFINITE.get(back, back)}
    return enquiry._asdict() | days


def _booking(row: Any) -> EnquiryBooking:
    given = dict(row)
    given["cost"] = Money.of(given["cost"], given.pop("currency"))
    return EnquiryBooking(**given)


def _found(row: Any) -> Enquiry:
    if row is None:
        raise NotFound("enquiry_not_found")
    return Enquiry._make(row)


def _event(act: str, enquiry: Enquiry, author: Author, now: datetime, changed: set[str], **status: str) -> AuditEvent:
    """The audit event: the names of the fields and the status, no personal data."""
    refs = {"enquiry_id": enquiry.id}
    if enquiry.session_id is not None:
        refs["session_id"] = enquiry.session_id
    inputs: dict[str, Any] = {"fields": [name for name in rules.WRITABLE if name in changed]}
    if status:
        inputs["status"] = status
    return AuditEvent.by_person(
        f"enquiry.{act}", enquiry.tenant_id, author.user_id, author.origin, now, inputs=inputs, refs=refs
    )
