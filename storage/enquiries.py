"""Enquiries: create, read, change and promote them. Lists are in ``enquiry_lists``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import CTE, Select, bindparam, func, literal, null, select, true, union_all, update
from sqlalchemy.dialects.postgresql import insert

from ..actors.domain import enquiries as rules
from ..actors.domain.audit import AuditEvent, Author
from ..actors.domain.enquiries import Enquiry, EnquiryBooking, Followed, Opened, PossibleDuplicate
from ..actors.domain.errors import NotFound
from ..actors.domain.money import Money
from . import audit
from .audit import AUDIT
from .conversation import sessions
from .engine.operations import Command, Snapshot, Write
from .engine.statements import FENCE, Statement, binds, statement
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


_ROW = select(*(bindparam(name, type_=enquiries.c[name].type) for name in _INSERTED))
_KEYS = ("email_key", "phone_key")


def _create(row: Select[Any]) -> Statement:
    """Stores an enquiry and its audit event, and finds earlier ones that may be of the same customer."""
    new = insert(enquiries).from_select(_INSERTED, row).on_conflict_do_nothing(index_elements=["id"])
    made = new.returning(*enquiries.c[_KEYS]).cte("made")
    before = select(*enquiries.c[_KEYS], null()).filter_by(**binds("tenant_id", "id"))
    stored = select(*made.c[_KEYS], AUDIT.label("audited")).union_all(before).cte("stored")
    return statement(
        union_all(_like(stored, "email_key", shortest=1), _like(stored, "phone_key", shortest=rules.FEWEST_DIGITS))
    )


def _like(stored: CTE, name: str, *, shortest: int) -> Select[Any]:
    """The newest earlier enquiries with the same key. Each key has an index of its own, in that order."""
    key, same = stored.c[name], literal(name.removesuffix("_key")).label("same")
    earlier = (
        select(*enquiries.c["id", "customer_name", "status", "created_at"], same)
        .filter_by(**binds("tenant_id"))
        .where(enquiries.c[name] == key, func.char_length(key) >= shortest, enquiries.c.id != bindparam("id"))
        .order_by(enquiries.c.created_at.desc(), enquiries.c.id.desc())
        .limit(bindparam("limit"))
        .lateral(name)
    )
    return select(earlier).select_from(stored.join(earlier, true()))


CREATE, CREATE_FENCED = _create(_ROW), _create(_ROW.select_from(FENCE))
"""Run again with the same id, they store nothing and find the same."""
BOOKED = statement(
    select(*bookings.c["id", "kind", "supplier", "locator", "status", "cost", "currency", "session_id", "created_at"])
    .filter_by(**binds("tenant_id", "enquiry_id"))
    .order_by(bookings.c.created_at, bookings.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Write[Opened]):
    """Store a new enquiry, and look for others that may be of the same customer.

    Refusal: ``session_not_found``, if it names a session that the agency does not have.
    """

    enquiry: Enquiry
    author: Author

    async def run(self, db: Connection) -> Opened:
        new = self.enquiry
        given = {name for name, value in zip(rules.COLUMNS, new, strict=True) if value is not None}
        event = _event("created", new, self.author, new.created_at, given, to=new.status)
        values = {**new._asdict(), **audit.written(event), "limit": rules.MOST_DUPLICATES}
        del values["updated_at"]
        with audit.counted([event]):
            if self.lease is None:
                rows = await CREATE.fetch(db, **values)
            else:
                rows = await CREATE_FENCED.fetch(db, **values, **self.lease._asdict())
        return Opened(enquiry=new, possible_duplicates=_possible_duplicates(rows))


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


def _possible_duplicates(rows: Sequence[Any]) -> tuple[PossibleDuplicate, ...]:
    """Each enquiry once, newest first, with all that it has in common with the new one."""
    found: dict[str, PossibleDuplicate] = {}
    for row in sorted(rows, key=itemgetter("created_at", "id"), reverse=True):
        known = found.get(row["id"])
        same = () if known is None else known.same
        found[row["id"]] = PossibleDuplicate(**{**row, "same": (*same, row["same"])})
    return tuple(found.values())[: rules.MOST_DUPLICATES]


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
