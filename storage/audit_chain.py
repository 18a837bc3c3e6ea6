"""Verification of the audit trail: every row of an agency's chain is recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import bindparam, select

from ..actors.domain.audit import GENESIS, HASH_VERSION, AuditEvent, chained
from .audit import ENTRY, HEAD
from .engine.operations import Snapshot
from .engine.statements import statement
from .tables import audit_events

if TYPE_CHECKING:
    from .engine.connection import Connection

Why = Literal["hash", "prev_hash", "gap"]

CHAIN = statement(
    select(*audit_events.c[ENTRY], *audit_events.c["seq", "prev_hash", "hash", "hash_v"])
    .where(audit_events.c.tenant_id == bindparam("tenant_id"), audit_events.c.seq > bindparam("after"))
    .order_by(audit_events.c.seq)
    .limit(bindparam("limit"))
)
HASH_AT = statement(
    select(audit_events.c.hash).where(
        audit_events.c.tenant_id == bindparam("tenant_id"), audit_events.c.seq == bindparam("seq")
    )
)
BATCH: Final = 200
"""Rows recomputed at a time: some milliseconds, between which the event loop serves others."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place in a chain and the hash of its row."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row that is missing or not what it was. ``id`` is null for a row that is missing.

    ``gap``: a row is missing, or one is there that the head does not know. ``prev_hash``: it does not follow the row
    before. ``hash``: it has changed, or is not the row that the head or a signed head names.
    """

    seq: int
    id: str | None
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of a verification of the rows ``from_seq`` to ``last_seq``."""

    from_seq: int
    last_seq: int
    checked: int
    head: Point
    broken: Broken | None = None

    @property
    def ok(self) -> bool:
        """Whether every row is there and unchanged."""
        return self.broken is None

    @property
    def broken_at(self) -> int | None:
        """The first row that is not as it was."""
        return None if self.broken is None else self.broken.seq


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify(Snapshot[Verdict]):
    """Recompute an agency's chain from ``from_seq`` on, at most ``limit`` rows, and compare its end with its head.

    The row before the first is trusted. ``signed`` is a place the chain is known to have had.
    """

    from_seq: int = 1
    limit: int | None = None
    signed: Point | None = None

    async def run(self, db: Connection) -> Verdict:
        row = await HEAD.fetchrow(db, tenant_id=self.tenant_id)
        head = Point(0, GENESIS) if row is None else Point(row["seq"], row["hash"])
        before = await self._hash_before(db)
        checked, broken = 0, None
        if before is None:
            missing = self.from_seq - 1
            broken = Broken(missing, None, "gap") if missing <= head.seq else None
        else:
            checked, broken = await self._walk(db, head, before)
        last = self.from_seq - 1 + checked
        return Verdict(from_seq=self.from_seq, last_seq=last, checked=checked, head=head, broken=broken)

    async def _hash_before(self, db: Connection) -> str | None:
        if self.from_seq == 1:
            return GENESIS
        found: str | None = await HASH_AT.fetchval(db, tenant_id=self.tenant_id, seq=self.from_seq - 1)
        return found

    async def _walk(self, db: Connection, head: Point, newest: str) -> tuple[int, Broken | None]:
        """How many rows are right, and what is wrong after them."""
        checked, seq, newest_id = 0, self.from_seq - 1, None
        while limit := BATCH if self.limit is None else min(BATCH, self.limit - checked):
            rows = await CHAIN.fetch(db, tenant_id=self.tenant_id, after=seq, limit=limit)
            for row in rows:
                why = self._fault(row, seq + 1, newest, head)
                if why is not None:
                    return checked, Broken(seq + 1, row["id"] if row["seq"] == seq + 1 else None, why)
                seq, newest, newest_id, checked = seq + 1, row["hash"], row["id"], checked + 1
            if seq == head.seq and newest != head.hash:
                return max(checked - 1, 0), Broken(seq, newest_id, "hash")
            if len(rows) < limit:
                return checked, self._cut(seq, head)
        return checked, None

    def _fault(self, row: Mapping[str, Any], seq: int, newest: str, head: Point) -> Why | None:
        if row["seq"] != seq or seq > head.seq:
            return "gap"
        if row["prev_hash"] != newest:
            return "prev_hash"
        event = AuditEvent(**{name: row[name] for name in ENTRY})
        if row["hash_v"] != HASH_VERSION or row["hash"] != chained(event, seq, newest):
            return "hash"
        signed = self.signed is not None and self.signed.seq == seq
        return "hash" if signed and self.signed != Point(seq, row["hash"]) else None

    def _cut(self, last: int, head: Point) -> Broken | None:
        """Whether rows are missing after the last one."""
        end = max(head.seq, 0 if self.signed is None else self.signed.seq)
        return Broken(last + 1, None, "gap") if last < end else None
