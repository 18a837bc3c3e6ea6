"""The agencies of this database: for those who run the service, who see no more of them than their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..engine.operations import Query

if TYPE_CHECKING:
    from ..engine.pool import Connection

ALL = "SELECT id, display_name FROM tenants ORDER BY created_at, id"


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency by its id and its name."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class All(Query[list[Agency]]):
    """Every agency, oldest first."""

    tenant_id: None = None

    async def run(self, db: Connection) -> list[Agency]:
        return [Agency(row["id"], row["display_name"]) for row in await db.fetch(ALL)]
