"""What statements were reconciled with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.audit import canonical
from ...actors.domain.reconciliation import Item, Reconciliation
from ..engine.operations import Command
from ..engine.statements import binds, statement
from ..tables import reconciliations

if TYPE_CHECKING:
    from ..engine.connection import Connection

_KEY = ("tenant_id", "report_id", "digest")
INSERT = statement(
    insert(reconciliations)
    .values(
        **binds(*_KEY, "id", "matched", "unmatched_external", "unmatched_internal", "discrepancy", "tentative"),
        **binds("items", "created_at"),
    )
    .on_conflict_do_nothing(index_elements=_KEY)
)
FIND = statement(select(reconciliations.c.id).filter_by(**binds(*_KEY)))


def row_of(result: Reconciliation) -> dict[str, Any]:
    """A result as it is stored. A long one takes a while."""
    items = [_stored(item) for item in result.items]
    return {**result.counts, "items": items, "digest": hashlib.sha256(canonical({"items": items})).hexdigest()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Command[str]):
    """Keep a result, of ``row_of``, and return its id: that of the same one if it was kept before."""

    id: str
    report_id: str
    row: Mapping[str, Any]
    now: datetime

    async def run(self, db: Connection) -> str:
        of = {"tenant_id": self.tenant_id, "report_id": self.report_id}
        await INSERT.execute(db, **of, **self.row, id=self.id, created_at=self.now)
        kept: str = await FIND.fetchval(db, **of, digest=self.row["digest"])
        return kept


def _stored(item: Item) -> dict[str, Any]:
    return {
        "outcome": item.outcome,
        "confidence_bps": item.confidence_bps,
        "external_refs": list(item.external_refs),
        "internal_refs": list(item.internal_refs),
        "external_amount": item.external_amount and item.external_amount.text,
        "internal_amount": item.internal_amount and item.internal_amount.text,
        "delta": item.delta and item.delta.text,
        "evidence": item.evidence,
    }
