"""The outbox: e-mails are written in the transaction they report on, and delivered asynchronously."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from .engine.operations import Command, Query

if TYPE_CHECKING:
    from .engine.pool import Connection

TABLE, COLUMN = "outbox", "payload_sealed"
"""Table and column a payload is sealed to, beside the e-mail's id."""

RECIPIENT = "recipient_"
"""Prefix of causes that concern one recipient's address, not the transport."""

INSERT = """
INSERT INTO outbox (id, tenant_id, kind, recipient, payload_sealed, key_id, state, due_at, expires_at, message_id,
                    created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $11, $7, $8, $9, $10, $10)
"""

CLAIM = """
UPDATE outbox o SET due_at = $2, attempts = attempts + 1
  FROM (SELECT id FROM outbox WHERE sent_at IS NULL AND state = 'due' AND due_at <= $1
         ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) AS due
 WHERE o.id = due.id
RETURNING o.id, o.kind, o.recipient, o.payload_sealed, o.attempts, o.expires_at, o.message_id, o.created_at,
          (SELECT s.locale FROM tenant_settings s WHERE s.tenant_id = o.tenant_id) AS locale
"""

SENT = """
UPDATE outbox SET state = 'sent', sent_at = $2, payload_sealed = NULL, key_id = NULL WHERE id = $1 AND state = 'due'
"""
GIVEN_UP = """
UPDATE outbox SET state = $2, cause = coalesce($3, cause), payload_sealed = NULL, key_id = NULL
 WHERE id = $1 AND state = 'due'
"""
DROP = """
UPDATE outbox SET state = 'dropped', payload_sealed = NULL, key_id = NULL
 WHERE id = ANY($1) AND state IN ('due', 'held')
"""
LATER = "UPDATE outbox SET due_at = $2, cause = $3 WHERE id = $1 AND state = 'due'"
COUNT_BY_STATE = "SELECT state, count(*) AS letters FROM outbox WHERE sent_at IS NULL GROUP BY state"
OLDEST_UNDELIVERED = f"""
SELECT min(created_at) FROM outbox
 WHERE sent_at IS NULL AND state = 'due' AND coalesce(cause, '') NOT LIKE '{RECIPIENT}%'
   AND (cause IS NOT NULL OR due_at <= $1)
"""  # noqa: S608 -- a constant of ours
ADDRESS = (
    "SELECT email, email_verified FROM users WHERE tenant_id = $1 AND id = $2 AND is_active AND released_at IS NULL"
)
LOCK_RECIPIENT = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.recipient:' || $1, 0))"
COUNT_RECENT = "SELECT count(*) FROM outbox WHERE kind = $1 AND recipient = $2 AND created_at > $3"

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
    sealed = (mail.payload_sealed, mail.key_id)
    values = (mail.id, tenant_id, mail.kind, mail.recipient, *sealed)
    await db.execute(INSERT, *values, due_at, mail.expires_at, mail.message_id, now, "held" if held else "due")


async def notify(db: Connection, notice: QueuedEmail, tenant_id: str | None, user_id: str, now: datetime) -> None:
    """Enqueue ``notice`` to the user's current address; closed accounts get none.

    An unverified address may be anybody's: the cap of other e-mails applies to its notices too.
    """
    address = await db.fetchrow(ADDRESS, tenant_id, user_id)
    if address is not None:
        addressed = replace(notice, recipient=address["email"])
        if address["email_verified"] or not await enough(db, addressed, now):
            await enqueue(db, addressed, tenant_id, now, now)


async def drop(db: Connection, ids: Sequence[str]) -> None:
    """Cancel these e-mails, unless they have been sent."""
    if ids:
        await db.execute(DROP, ids)


async def enough(db: Connection, mail: QueuedEmail, now: datetime) -> bool:
    """Whether the address has reached its cap for this kind, over all agencies. Serialized by address.

    On an agency's connection row-level security hides what others sent: only notices are counted there.
    """
    await db.fetchval(LOCK_RECIPIENT, mail.recipient)
    return int(await db.fetchval(COUNT_RECENT, mail.kind, mail.recipient, now - CAP_SPAN)) >= CAP


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

    tenant_id: None = None
    id: str
    now: datetime

    async def run(self, db: Connection) -> None:
        await db.execute(SENT, self.id, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp(Command[None]):
    """Give an e-mail up: ``dropped`` if it is obsolete, ``dead`` if it is undeliverable."""

    tenant_id: None = None
    id: str
    state: str
    cause: str | None = None

    async def run(self, db: Connection) -> None:
        await db.execute(GIVEN_UP, self.id, self.state, self.cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Later(Command[None]):
    """Retry an e-mail at ``due_at``; ``cause`` is a safe code for the failure."""

    tenant_id: None = None
    id: str
    due_at: datetime
    cause: str

    async def run(self, db: Connection) -> None:
        await db.execute(LATER, self.id, self.due_at, self.cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(Query[Mapping[str, int]]):
    """The number of undelivered e-mails by state."""

    tenant_id: None = None

    async def run(self, db: Connection) -> Mapping[str, int]:
        return {row["state"]: row["letters"] for row in await db.fetch(COUNT_BY_STATE)}


@dataclass(frozen=True, slots=True, kw_only=True)
class OldestUndelivered(Query[datetime | None]):
    """When the oldest undelivered e-mail was created; None if deliveries work.

    It counts e-mails whose attempts failed, unless their own address was refused, and those
    not attempted although they were due at ``due_by``.
    """

    tenant_id: None = None
    due_by: datetime

    async def run(self, db: Connection) -> datetime | None:
        oldest: datetime | None = await db.fetchval(OLDEST_UNDELIVERED, self.due_by)
        return oldest
