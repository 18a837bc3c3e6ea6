"""The outbox: e-mails are written in the transaction they report on, and delivered asynchronously."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, and_, bindparam, func, insert, or_, select, update

from .accounts.principals import PRESENT, THIS_USER
from .engine.operations import OUTBOX, Command, Query
from .engine.statements import any_of, binds, statement
from .tables import outbox, users

if TYPE_CHECKING:
    from .engine.connection import Connection

TABLE, COLUMN = "outbox", "payload_sealed"
"""Table and column a payload is sealed to, beside the e-mail's id."""

RECIPIENT = "recipient_"
"""Prefix of causes that concern one recipient's address, not the transport."""

THIS_DUE = and_(outbox.c.id == bindparam("id"), outbox.c.state == "due")
ERASED: dict[str, Any] = {"payload_sealed": None, "key_id": None}

INSERT = statement(
    insert(outbox).values(
        **binds("id", "tenant_id", "kind", "recipient", "payload_sealed", "key_id", "state", "due_at", "expires_at"),
        **binds("message_id", "created_at"),
    )
)

CLAIM = """
UPDATE outbox o SET due_at = $2, attempts = attempts + 1
  FROM (SELECT id FROM outbox WHERE sent_at IS NULL AND state = 'due' AND due_at <= $1
         ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) AS due
 WHERE o.id = due.id
RETURNING o.id, o.kind, o.recipient, o.payload_sealed, o.attempts, o.expires_at, o.message_id, o.created_at,
          (SELECT s.locale FROM tenant_settings s WHERE s.tenant_id = o.tenant_id) AS locale
"""
"""SQL text: rows that another claimer has locked are skipped in the same statement that leases the others."""

SENT = statement(
    update(outbox).where(THIS_DUE).values(state="sent", sent_at=bindparam("now"), **ERASED).returning(outbox.c.id)
)
GIVEN_UP = statement(
    update(outbox)
    .where(THIS_DUE)
    .values(state=bindparam("to"), cause=func.coalesce(bindparam("cause", type_=Text), outbox.c.cause), **ERASED)
)
DROP = statement(
    update(outbox)
    .where(any_of(outbox.c.id, "ids"), outbox.c.state.in_(("due", "held")))
    .values(state="dropped", **ERASED)
)
LATER = statement(update(outbox).where(THIS_DUE).values(**binds("due_at", "cause")))
COUNT_BY_STATE = statement(
    select(outbox.c.state, func.count().label("emails")).where(outbox.c.sent_at.is_(None)).group_by(outbox.c.state)
)
OLDEST_UNDELIVERED = statement(
    select(func.min(outbox.c.created_at)).where(
        outbox.c.sent_at.is_(None),
        outbox.c.state == "due",
        func.coalesce(outbox.c.cause, "").not_like(f"{RECIPIENT}%"),
        or_(outbox.c.cause.is_not(None), outbox.c.due_at <= bindparam("due_by")),
    )
)
ADDRESS = statement(select(*users.c["email", "email_verified"]).where(THIS_USER, PRESENT))
LOCK_RECIPIENT = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.recipient:' || $1, 0))"
"""SQL text: it is about no table."""
COUNT_RECENT = statement(
    select(func.count())
    .select_from(outbox)
    .filter_by(**binds("kind", "recipient"))
    .where(outbox.c.created_at > bindparam("since"))
)

CAP, CAP_SPAN = 5, timedelta(hours=1)
"""So many e-mails of one kind to one address in an hour, from all agencies: nobody's mailbox is flooded."""

CAPPED = frozenset({"verification", "password_reset", "invite"})
"""Kinds that go to an unverified address named by a client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedEmail:
    """An e-mail to enqueue. Its secrets are already sealed to its own row."""

    id: str
    kind: str
    recipient: str
    payload_sealed: bytes | None
    key_id: str | None
    expires_at: datetime | None
    message_id: str


async def enqueue(
    db: Connection, mail: QueuedEmail, tenant_id: str | None, now: datetime, due_at: datetime, *, held: bool = False
) -> None:
    """Put ``mail`` into the outbox: it goes out if, and only if, this transaction is committed.

    A ``held`` one waits until it is released. Kinds in ``CAPPED`` are enqueued only after
    ``enough``, as ``offer`` does; the e-mail of an undo is bounded by its tokens.
    """
    await INSERT.execute(
        db,
        id=mail.id,
        tenant_id=tenant_id,
        kind=mail.kind,
        recipient=mail.recipient,
        payload_sealed=mail.payload_sealed,
        key_id=mail.key_id,
        state="held" if held else "due",
        due_at=due_at,
        expires_at=mail.expires_at,
        message_id=mail.message_id,
        created_at=now,
    )


async def notify(db: Connection, notice: QueuedEmail, tenant_id: str | None, user_id: str, now: datetime) -> None:
    """Enqueue ``notice`` to the user's current address; closed accounts get none.

    An unverified address may be anybody's: the cap of other e-mails applies to its notices too.
    """
    address = await ADDRESS.fetchrow(db, tenant_id=tenant_id, user_id=user_id)
    if address is not None:
        addressed = replace(notice, recipient=address["email"])
        if address["email_verified"] or not await enough(db, addressed, now):
            await enqueue(db, addressed, tenant_id, now, now)


async def drop(db: Connection, ids: Sequence[str]) -> None:
    """Cancel these e-mails, unless they have been sent."""
    if ids:
        await DROP.execute(db, ids=ids)


async def enough(db: Connection, mail: QueuedEmail, now: datetime) -> bool:
    """Whether the address has reached its cap for this kind, over all agencies. Serialized by address.

    On an agency's connection row-level security hides what others sent: only notices are counted there.
    """
    await db.fetchval(LOCK_RECIPIENT, mail.recipient)
    count = await COUNT_RECENT.fetchval(db, kind=mail.kind, recipient=mail.recipient, since=now - CAP_SPAN)
    return int(count) >= CAP


async def offer(db: Connection, mail: QueuedEmail, tenant_id: str | None, now: datetime, *, held: bool = False) -> bool:
    """``enqueue`` the e-mail unless its address had ``enough``. Returns whether it was enqueued."""
    if await enough(db, mail, now):
        return False
    await enqueue(db, mail, tenant_id, now, now, held=held)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An e-mail leased to its claimer."""

    id: str
    kind: str
    recipient: str
    payload_sealed: bytes | None
    attempts: int
    expires_at: datetime | None
    message_id: str
    created_at: datetime
    locale: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Command[list[Claimed]]):
    """Lease up to ``limit`` due e-mails until ``until``: those of a killed claimer become due again.

    System work: e-mails of all agencies.
    """

    UNFENCED = OUTBOX

    tenant_id: None = None
    now: datetime
    until: datetime
    limit: int

    async def run(self, db: Connection) -> list[Claimed]:
        rows = await db.fetch(CLAIM, self.now, self.until, self.limit)
        return [Claimed(**dict(row)) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Command[None]):
    """Mark an e-mail as sent and erase its payload."""

    UNFENCED = OUTBOX

    tenant_id: None = None
    id: str
    now: datetime

    async def run(self, db: Connection) -> None:
        await SENT.execute(db, id=self.id, now=self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp(Command[None]):
    """Give an e-mail up: ``dropped`` if it is obsolete, ``dead`` if it is undeliverable."""

    UNFENCED = OUTBOX

    tenant_id: None = None
    id: str
    state: str
    cause: str | None = None

    async def run(self, db: Connection) -> None:
        await GIVEN_UP.execute(db, id=self.id, to=self.state, cause=self.cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Later(Command[None]):
    """Retry an e-mail at ``due_at``; ``cause`` is a safe code for the failure."""

    UNFENCED = OUTBOX

    tenant_id: None = None
    id: str
    due_at: datetime
    cause: str

    async def run(self, db: Connection) -> None:
        await LATER.execute(db, id=self.id, due_at=self.due_at, cause=self.cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(Query[Mapping[str, int]]):
    """The number of undelivered e-mails by state."""

    tenant_id: None = None

    async def run(self, db: Connection) -> Mapping[str, int]:
        return {row["state"]: row["emails"] for row in await COUNT_BY_STATE.fetch(db)}


@dataclass(frozen=True, slots=True, kw_only=True)
class OldestUndelivered(Query[datetime | None]):
    """When the oldest undelivered e-mail was created; None if deliveries work.

    It counts e-mails whose attempts failed, unless their own address was refused, and those
    not attempted although they were due at ``due_by``.
    """

    tenant_id: None = None
    due_by: datetime

    async def run(self, db: Connection) -> datetime | None:
        oldest: datetime | None = await OLDEST_UNDELIVERED.fetchval(db, due_by=self.due_by)
        return oldest
