"""The row of an agency's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...actors.domain import audit as audits
from ...actors.domain.errors import NotFound
from ...actors.domain.ids import uuid7
from ...actors.domain.settings import TenantSettings
from .. import audit
from ..engine.operations import Command

if TYPE_CHECKING:
    from ..engine.pool import Connection

MAKE = """
INSERT INTO tenant_settings (tenant_id, default_currency, created_at, updated_at)
SELECT id, default_currency, $2, $2 FROM tenants WHERE id = $1 ON CONFLICT (tenant_id) DO NOTHING
"""

READ = """
SELECT tenant_id, model, system_prompt_suffix, rate_limit_per_minute, rate_limit_per_hour, daily_token_budget, locale,
       timezone, default_currency
  FROM tenant_settings WHERE tenant_id = $1
"""

LOCK = READ + "FOR NO KEY UPDATE"

WRITE = """
UPDATE tenant_settings SET model = $2, system_prompt_suffix = $3, rate_limit_per_minute = $4, rate_limit_per_hour = $5,
                           daily_token_budget = $6, locale = $7, timezone = $8, default_currency = $9
 WHERE tenant_id = $1
"""

FOLLOW_CURRENCY = "UPDATE tenants SET default_currency = $2 WHERE id = $1 AND default_currency <> $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Command[TenantSettings]):
    """An agency's settings; an agency without a row gets one, and any number of first readers agree on it."""

    now: datetime

    async def run(self, db: Connection) -> TenantSettings:
        row = await db.fetchrow(READ, self.tenant_id)
        if row is None:
            await db.execute(MAKE, self.tenant_id, self.now)
            row = await db.fetchrow(READ, self.tenant_id)
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
        await db.execute(MAKE, self.tenant_id, self.now)
        before = _settings(await db.fetchrow(LOCK, self.tenant_id))
        after = before.changed(self.changes)
        if after == before:
            return before
        await db.execute(WRITE, *(getattr(after, field.name) for field in fields(after)))
        await db.execute(FOLLOW_CURRENCY, self.tenant_id, after.default_currency)
        old, new = before.differences(after)
        entry = audits.AuditEvent(
            id=uuid7(),
            tenant_id=self.tenant_id,
            created_at=self.now,
            kind="settings.changed",
            status="succeeded",
            actor_kind="human",
            actor_id=self.by,
            inputs=self.origin.inputs() | {"before": old, "after": new},
        )
        await audit.append(db, [entry])
        return after


def _settings(row: Any) -> TenantSettings:
    if row is None:
        raise NotFound("tenant_not_found")
    return TenantSettings(**dict(row))
