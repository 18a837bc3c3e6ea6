"""The agencies of this database: for those who run the service, who see no more of them than their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from ..engine.operations import Query
from ..engine.statements import statement
from ..tables import tenants

if TYPE_CHECKING:
    from ..engine.connection import Connection

ALL = statement(select(*tenants.c["id", "display_name"]).order_by(tenants.c.created_at, tenants.c.id))


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
        return [Agency(row["id"], row["display_name"]) for row in await ALL.fetch(db)]
