"""Enquiries: create, read, change and promote them. Lists are in ``enquiry_lists``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, insert, select, update

from ..actors.domain import enquiries as rules
from ..actors.domain.audit import AuditEvent, Author
from ..actors.domain.enquiries import Enquiry
from ..actors.domain.errors import NotFound
from . import audit
from .conversation import sessions
from .engine.operations import Command, Query
from .engine.statements import binds, statement
from .tables import enquiries

if TYPE_CHECKING:
    from .engine.connection import Connection

COLUMNS: Final = enquiries.c[rules.COLUMNS]
"""In the order of an ``Enquiry``'s fields: it is made of a row."""
_INSERTED = tuple(name for name in rules.COLUMNS if name != "updated_at")
_THIS = select(*COLUMNS).filter_by(**binds("tenant_id", "id"))

INSERT = statement(insert(enquiries).values(**binds(*_INSERTED)))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Command[Enquiry]):
    """Store a new enquiry. Refusal: ``session_not_found``, if it names a session that the agency does not have."""

    enquiry: Enquiry
    author: Author

    async def run(self, db: Connection) -> Enquiry:
        new = self.enquiry
        await INSERT.execute(db, **{name: getattr(new, name) for name in _INSERTED})
        given = {name for name in rules.WRITABLE if getattr(new, name) is not None}
        await audit.append(db, [_event("created", new, self.author, new.created_at, given, to=new.status)])
        return new


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Query[Enquiry]):
    """One enquiry. Refusal: ``enquiry_not_found``."""

    enquiry_id: str

    async def run(self, db: Connection) -> Enquiry:
        return _found(await ONE.fetchrow(db, tenant_id=self.tenant_id, id=self.enquiry_id))


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
