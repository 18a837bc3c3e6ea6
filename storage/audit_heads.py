"""The heads of all audit chains, and whether a chain still has the rows it is known to have had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from .audit_chain import Point
from .engine.operations import Snapshot
from .engine.statements import statement
from .tables import audit_heads

if TYPE_CHECKING:
    from .engine.connection import Connection

HEADS: Final = statement(select(*audit_heads.c["tenant_id", "seq", "hash"]).order_by(audit_heads.c.tenant_id))
LOST: Final = """
SELECT known.tenant_id FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS known (tenant_id, seq, hash)
 WHERE NOT EXISTS (SELECT FROM audit_events e
                    WHERE e.tenant_id = known.tenant_id AND e.seq = known.seq AND e.hash = known.hash)
 ORDER BY 1
"""
"""SQL text: Core's ``unnest`` of several arrays is no shorter."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The head of each agency's chain, and the agencies that have lost a row they are known to have had."""

    now: Mapping[str, Point]
    lost: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadHeads(Snapshot[Heads]):
    """Read every head, and look for the ``known`` rows."""

    tenant_id: None = None
    known: Mapping[str, Point] = field(default_factory=dict)

    async def run(self, db: Connection) -> Heads:
        points = list(self.known.values())
        columns = (list(self.known), [point.seq for point in points], [point.hash for point in points])
        lost = frozenset(row["tenant_id"] for row in await db.fetch(LOST, *columns))
        return Heads({row["tenant_id"]: Point(row["seq"], row["hash"]) for row in await HEADS.fetch(db)}, lost)
