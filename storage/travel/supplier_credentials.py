"""Agencies' credentials for suppliers, sealed by the caller and never read as plain text here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.audit import AuditEvent
from .. import audit
from ..engine.operations import Command, Query
from ..engine.statements import binds, statement
from ..tables import tenant_credentials

if TYPE_CHECKING:
    from ..engine.connection import Connection

TABLE = "tenant_credentials"

_OWN = binds("tenant_id", "supplier")
_COLUMNS = tenant_credentials.c

LOAD = statement(select(_COLUMNS.sealed).filter_by(**_OWN))
LIST = statement(
    select(*_COLUMNS["supplier", "key_id", "created_at", "rotated_at"])
    .filter_by(**binds("tenant_id"))
    .order_by(_COLUMNS.supplier)
)
_NEW = insert(tenant_credentials).values(**_OWN, **binds("id", "sealed", "key_id", "created_at"))
PUT = statement(
    _NEW.on_conflict_do_update(
        index_elements=["tenant_id", "supplier"],
        set_={
            "sealed": _NEW.excluded.sealed,
            "key_id": _NEW.excluded.key_id,
            "rotated_at": _NEW.excluded.created_at,
        },
    ).returning(_COLUMNS.rotated_at.is_not(None))
)
REMOVE = statement(delete(tenant_credentials).filter_by(**_OWN).returning(_COLUMNS.id))


@dataclass(frozen=True, slots=True)
class Kept:
    """One credential as it is listed: by supplier, sealing key and age, without its value."""

    supplier: str
    key_id: str
    created_at: datetime
    rotated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Query[bytes | None]):
    """The sealed credential of the agency for a supplier."""

    supplier: str

    async def run(self, db: Connection) -> bytes | None:
        sealed: bytes | None = await LOAD.fetchval(db, tenant_id=self.tenant_id, supplier=self.supplier)
        return sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class All(Query[list[Kept]]):
    """The agency's credentials, by supplier."""

    async def run(self, db: Connection) -> list[Kept]:
        return [Kept(**row) for row in await LIST.fetch(db, tenant_id=self.tenant_id)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Put(Command[bool]):
    """Store a credential; true if it replaces one."""

    id: str
    supplier: str
    sealed: bytes
    key_id: str
    now: datetime
    entries: Sequence[AuditEvent]

    async def run(self, db: Connection) -> bool:
        rotated: bool = await PUT.fetchval(
            db,
            id=self.id,
            tenant_id=self.tenant_id,
            supplier=self.supplier,
            sealed=self.sealed,
            key_id=self.key_id,
            created_at=self.now,
        )
        await audit.append(db, self.entries)
        return rotated


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(Command[bool]):
    """Delete a credential; false if there was none."""

    supplier: str
    entries: Sequence[AuditEvent]

    async def run(self, db: Connection) -> bool:
        if await REMOVE.fetchval(db, tenant_id=self.tenant_id, supplier=self.supplier) is None:
            return False
        await audit.append(db, self.entries)
        return True
