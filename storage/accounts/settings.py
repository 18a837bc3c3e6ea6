"""The row of an agency's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain import audit as audits
from ...actors.domain.errors import NotFound
from ...actors.domain.settings import TenantSettings
from .. import audit
from ..engine.operations import Command
from ..engine.statements import binds, statement
from ..schema.columns import Time
from ..tables import tenant_settings, tenants

if TYPE_CHECKING:
    from ..engine.connection import Connection

MAKE = statement(
    insert(tenant_settings)
    .from_select(
        ["tenant_id", "default_currency", "created_at"],
        select(*tenants.c["id", "default_currency"], bindparam("now", type_=Time)).where(
            tenants.c.id == bindparam("tenant_id")
        ),
    )
    .on_conflict_do_nothing(index_elements=["tenant_id"])
)

FIELDS = tuple(field.name for field in fields(TenantSettings))
_OF_AGENCY = select(*tenant_settings.c[FIELDS]).filter_by(**binds("tenant_id"))
READ = statement(_OF_AGENCY)

LOCK = statement(_OF_AGENCY.with_for_update(key_share=True))

WRITE = statement(
    update(tenant_settings)
    .filter_by(**binds("tenant_id"))
    .values(**binds(*(name for name in FIELDS if name != "tenant_id")))
)

FOLLOW_CURRENCY = statement(
    update(tenants)
    .where(tenants.c.id == bindparam("tenant_id"), tenants.c.default_currency != bindparam("currency"))
    .values(default_currency=bindparam("currency"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Command[TenantSettings]):
    """An agency's settings; an agency without a row gets one, and any number of first readers agree on it."""

    now: datetime

    async def run(self, db: Connection) -> TenantSettings:
        row = await READ.fetchrow(db, tenant_id=self.tenant_id)
        if row is None:
            await MAKE.execute(db, tenant_id=self.tenant_id, now=self.now)
            row = await READ.fetchrow(db, tenant_id=self.tenant_id)
        return _settings(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Command[TenantSettings]):
    """Change the named fields and leave the rest. A change without effect writes no audit event."""

    tenant_id: str
    changes: Mapping[str, Any]
    by: str
    origin: audits.Origin
    now: datetime

    async def run(self, db: Connection) -> TenantSettings:
        await MAKE.execute(db, tenant_id=self.tenant_id, now=self.now)
        before = _settings(await LOCK.fetchrow(db, tenant_id=self.tenant_id))
        after = before.changed(self.changes)
        if after == before:
            return before
        await WRITE.execute(db, **{name: getattr(after, name) for name in FIELDS})
        await FOLLOW_CURRENCY.execute(db, tenant_id=self.tenant_id, currency=after.default_currency)
        old, new = before.differences(after)
        entry = audits.AuditEvent.by_person(
            "settings.changed", self.tenant_id, self.by, self.origin, self.now, inputs={"before": old, "after": new}
        )
        await audit.append(db, [entry])
        return after


def _settings(row: Any) -> TenantSettings:
    if row is None:
        raise NotFound("tenant_not_found")
    return TenantSettings(**dict(row))
