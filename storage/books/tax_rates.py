"""Tax rates of an agency: read, set, and applied to the lines of a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.audit import AuditEvent, Origin
from ...actors.domain.documents import InvoiceLine
from ...actors.domain.tax_rates import RequestedLine, TaxRate, UnlistedRate, defaults, settle
from .. import audit
from ..engine.operations import Command
from ..engine.statements import binds, statement
from ..tables import tax_rates

if TYPE_CHECKING:
    from ..engine.connection import Connection

_KEY = ("regime", "code", "jurisdiction", "supply", "holds_from")
READ = statement(select(*tax_rates.c[TaxRate._fields]).filter_by(**binds("tenant_id")).order_by(*tax_rates.c[_KEY]))
SEED = """
INSERT INTO tax_rates (tenant_id, regime, code, jurisdiction, supply, holds_from, rate_bps, created_at)
SELECT $1, r.regime, r.code, r.jurisdiction, r.supply, r.holds_from, r.rate_bps, $2
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::date[], $8::int[])
       AS r (regime, code, jurisdiction, supply, holds_from, rate_bps)
ON CONFLICT DO NOTHING
"""
"""SQL text: all rows at once, an array for each column."""
_NEW = insert(tax_rates).values(**binds("tenant_id", *TaxRate._fields, "set_by", "created_at"))
SET = statement(
    _NEW.on_conflict_do_update(
        index_elements=["tenant_id", *_KEY], set_={name: _NEW.excluded[name] for name in ("rate_bps", "set_by")}
    )
)


async def read(db: Connection, tenant_id: str, now: datetime) -> tuple[TaxRate, ...]:
    """An agency's rates in the order of their taxes and days. What it lacks of the defaults is added."""
    found = await _stored(db, tenant_id)
    if {_key(rate) for rate in found} >= {_key(rate) for rate in defaults()}:
        return found
    columns = [list(column) for column in zip(*defaults(), strict=True)]
    await db.execute(SEED, tenant_id, now, *columns)
    return await _stored(db, tenant_id)


async def apply(
    db: Connection, tenant_id: str, lines: Sequence[InvoiceLine | RequestedLine], day: date, now: datetime
) -> tuple[tuple[InvoiceLine, ...], tuple[UnlistedRate, ...]]:
    """The lines of a document of ``day`` with their taxes, as ``settle`` has them. Raises ``InvalidDocument``."""
    asks = any(isinstance(line, RequestedLine) and line.taxes for line in lines)
    return settle(lines, await read(db, tenant_id, now) if asks else (), day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Command[tuple[TaxRate, ...]]):
    """The agency's rates of all days."""

    tenant_id: str
    now: datetime

    async def run(self, db: Connection) -> tuple[TaxRate, ...]:
        return await read(db, self.tenant_id, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Command[tuple[TaxRate, ...]]):
    """Set rates: a new day is added, a known one gets the new rate. Returns all rates.

    What changes nothing writes no audit event. Documents keep the taxes they were made with.
    """

    tenant_id: str
    rates: tuple[TaxRate, ...]
    by: str
    origin: Origin
    now: datetime

    async def run(self, db: Connection) -> tuple[TaxRate, ...]:
        before = {_key(rate): rate for rate in await read(db, self.tenant_id, self.now)}
        changed = {_key(rate): rate for rate in self.rates if before.get(_key(rate)) != rate}
        if not changed:
            return tuple(before.values())
        for rate in changed.values():
            await SET.execute(db, tenant_id=self.tenant_id, set_by=self.by, created_at=self.now, **rate._asdict())
        after = await _stored(db, self.tenant_id)
        inputs = {"rates": [_told(rate, before.get(key)) for key, rate in changed.items()]}
        event = AuditEvent.by_person("tax_rates.set", self.tenant_id, self.by, self.origin, self.now, inputs=inputs)
        await audit.append(db, [event])
        return after


async def _stored(db: Connection, tenant_id: str) -> tuple[TaxRate, ...]:
    return tuple(TaxRate(*row) for row in await READ.fetch(db, tenant_id=tenant_id))


def _key(rate: TaxRate) -> tuple[Any, ...]:
    return rate[: len(_KEY)]


def _told(rate: TaxRate, before: TaxRate | None) -> dict[str, Any]:
    """A change as the audit keeps it."""
    return {
        **rate._asdict(),
        "holds_from": rate.holds_from.isoformat(),
        "rate_bps_before": None if before is None else before.rate_bps,
    }
