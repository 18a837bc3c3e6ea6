"""The audit trail of each agency, a hash chain: appending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from ..actors.domain.audit import GENESIS, HASH_VERSION, AuditEvent, chained
from ..actors.foundation import metrics
from .engine.statements import binds, statement
from .tables import audit_heads

if TYPE_CHECKING:
    from .engine.connection import Connection

ENTRY = tuple(field.name for field in fields(AuditEvent))
_HEAD = select(*audit_heads.c["seq", "hash"]).filter_by(**binds("tenant_id"))
HEAD = statement(_HEAD)
LOCK_HEAD = statement(_HEAD.with_for_update())
FIRST_HEAD = statement(
    insert(audit_heads).values(**binds("tenant_id", "hash"), seq=0).on_conflict_do_nothing(index_elements=["tenant_id"])
)
APPEND = """
WITH appended AS (
    INSERT INTO audit_events (id, tenant_id, seq, prev_hash, hash, hash_v, actor_id, actor_kind, kind, driver, inputs,
                              outputs, entity_refs, error, approval_required, approved_by, approved_at, completed_at,
                              status, created_at)
    SELECT id, $1, seq, prev_hash, hash, $2, actor_id, actor_kind, kind, driver, inputs, outputs, entity_refs, error,
           approval_required, approved_by, approved_at, completed_at, status, created_at
      FROM unnest($3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::uuid[], $8::text[], $9::text[], $10::text[],
                  $11::jsonb[], $12::jsonb[], $13::jsonb[], $14::text[], $15::bool[], $16::uuid[], $17::timestamptz[],
                  $18::timestamptz[], $19::text[], $20::timestamptz[])
           AS given (id, seq, prev_hash, hash, actor_id, actor_kind, kind, driver, inputs, outputs, entity_refs, error,
                     approval_required, approved_by, approved_at, completed_at, status, created_at)
)
UPDATE audit_heads SET seq = $21, hash = $22 WHERE tenant_id = $1
"""
"""SQL text: hot, every command ends with it. Any number of events are stored and the head moves in one statement."""


async def append(db: Connection, entries: Sequence[AuditEvent]) -> None:
    """Add ``entries`` to the chains of their agencies, in their order. The last statement before COMMIT.

    Each chain's head stays locked until then: concurrent appends wait, so that numbers are unique and without gaps.
    """
    try:
        # in the order of the agencies: two that append to the same chains never wait for each other
        for tenant_id, own in groupby(sorted(entries, key=attrgetter("tenant_id")), attrgetter("tenant_id")):
            await _append(db, tenant_id, list(own))
    except BaseException:
        metrics.AUDIT_WRITE_FAILURES_TOTAL.inc()
        raise
    for entry in entries:
        metrics.AUDIT_EVENTS_TOTAL.labels(entry.kind).inc()


async def _append(db: Connection, tenant_id: str, entries: Sequence[AuditEvent]) -> None:
    seq, newest = await _lock_head(db, tenant_id)
    rows: list[tuple[object, ...]] = []
    for entry in entries:
        seq += 1
        own = chained(entry, seq, newest)
        rows.append(
            (
                entry.id,
                seq,
                newest,
                own,
                entry.actor_id,
                entry.actor_kind,
                entry.kind,
                entry.driver,
                dict(entry.inputs),
                dict(entry.outputs),
                dict(entry.entity_refs),
                entry.error,
                entry.approval_required,
                entry.approved_by,
                entry.approved_at,
                entry.completed_at,
                entry.status,
                entry.created_at,
            )
        )
        newest = own
    columns = [list(column) for column in zip(*rows, strict=True)]
    await db.execute(APPEND, tenant_id, HASH_VERSION, *columns, seq, newest)


async def _lock_head(db: Connection, tenant_id: str) -> tuple[int, str]:
    head = await LOCK_HEAD.fetchrow(db, tenant_id=tenant_id)
    if head is None:
        await FIRST_HEAD.execute(db, tenant_id=tenant_id, hash=GENESIS)
        head = await LOCK_HEAD.fetchrow(db, tenant_id=tenant_id)
    if head is None:
        raise RuntimeError("an audit chain without a head")
    return head["seq"], head["hash"]
