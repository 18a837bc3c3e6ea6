"""Counters of documents: each number of a series once, without gaps, whatever runs at the same time.

A counter's row is locked until the transaction of its document ends: a document that is not made moves no counter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.documents import InvalidDocument
from ...actors.domain.numbers import LARGEST_COUNT, Series, is_number
from ...actors.domain.settings import TenantSettings
from ..engine.statements import binds, statement
from ..tables import document_counters, tenant_settings

if TYPE_CHECKING:
    from ..engine.connection import Connection

Kind = Literal["invoice", "bill", "credit_note"]

MAKE = statement(
    insert(document_counters).values(**binds("tenant_id", "kind", "period", "created_at")).on_conflict_do_nothing()
)
_COUNTER = binds("tenant_id", "kind", "period")
LOCK = statement(select(document_counters.c.next).filter_by(**_COUNTER).with_for_update(key_share=True))
MOVE = statement(update(document_counters).filter_by(**_COUNTER).values(next=bindparam("following")))
PATTERNS = statement(
    select(
        *tenant_settings.c["invoice_series", "bill_series", "credit_note_series", "financial_year_start_month"]
    ).filter_by(**binds("tenant_id"))
)


async def series_of(db: Connection, tenant_id: str, kind: Kind) -> Series:
    """The agency's series of numbers."""
    row = await PATTERNS.fetchrow(db, tenant_id=tenant_id)
    settings = TenantSettings(tenant_id=tenant_id) if row is None else TenantSettings(tenant_id=tenant_id, **row)
    patterns: dict[Kind, str] = {
        "invoice": settings.invoice_series,
        "bill": settings.bill_series,
        "credit_note": settings.credit_note_series,
    }
    return Series(patterns[kind], settings.financial_year_start_month)


async def number(
    db: Connection,
    tenant_id: str,
    kind: Kind,
    *,
    day: date,
    now: datetime,
    insert: Callable[[str], Awaitable[str]],
    reason: str,
) -> str:
    """Insert a document under the next free number of its series; returns what ``insert`` does.

    ``insert`` gets a number and returns the number it is stored with, ``""`` if that is taken: numbers given by hand
    are skipped. Raises ``InvalidDocument`` for ``reason`` if the series has no numbers left.
    """
    series = await series_of(db, tenant_id, kind)
    counter = {"tenant_id": tenant_id, "kind": kind, "period": series.period(day)}
    await MAKE.execute(db, **counter, created_at=now)
    count: int = await LOCK.fetchval(db, **counter)
    while count < LARGEST_COUNT and is_number(candidate := series.number(count, day)):
        count += 1
        if stored := await insert(candidate):
            await MOVE.execute(db, **counter, following=count)
            return stored
    raise InvalidDocument(reason, f"The series {series.pattern} has no numbers left: it needs another pattern.")
