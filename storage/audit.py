"""The audit trail of each agency, a hash chain: appending."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from sqlalchemy import Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from ..actors.domain.audit import AuditEvent, unchained
from ..actors.foundation import metrics
from .engine.statements import binds, statement
from .schema.columns import Uuid
from .tables import audit_heads

if TYPE_CHECKING:
    from .engine.connection import Connection

ENTRY = tuple(field.name for field in fields(AuditEvent))
AUDIT = func.voyagent_audit(
    bindparam("tenant_id", type_=Uuid),
    bindparam("audit_heads", type_=ARRAY(Text)),
    bindparam("audit_tails", type_=ARRAY(Text)),
)
HEAD = statement(select(*audit_heads.c["seq", "hash"]).filter_by(**binds("tenant_id")))
APPEND = statement(select(AUDIT))
"""Any number of events of one agency, by the function that ``migrations/guards`` declares."""


async def append(db: Connection, entries: Sequence[AuditEvent]) -> None:
    """Add ``entries`` to the chains of their agencies, in their order. The last statement before COMMIT.

    Each chain's head stays locked until then: concurrent appends wait, so that numbers are unique and without gaps.
    """
    # in the order of the agencies: two that append to the same chains never wait for each other
    for tenant_id, own in groupby(sorted(entries, key=attrgetter("tenant_id")), attrgetter("tenant_id")):
        await APPEND.execute(db, tenant_id=tenant_id, **written(*own))
    count(entries)


def written(*entries: AuditEvent) -> dict[str, list[str]]:
    """The parameters of ``AUDIT`` for events of one agency, besides its id."""
    heads, tails = zip(*map(unchained, entries), strict=True)
    return {"audit_heads": [*heads], "audit_tails": [*tails]}


def count(entries: Iterable[AuditEvent]) -> None:
    """Count events that were appended. Where that fails, so does the act, and its operation is counted as failed."""
    for entry in entries:
        metrics.AUDIT_EVENTS_TOTAL.labels(entry.kind).inc()
