"""The general ledger: an agency's chart of accounts, its journals and account balances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from ..actors.domain.books import CHART, DraftLine, InvalidJournal, JournalEntry, LedgerAccount, check_date, drawn_up
from ..actors.domain.ids import uuid7
from ..actors.domain.money import Money
from .engine.operations import Command

if TYPE_CHECKING:
    from .engine.connection import Connection

SEED = """
INSERT INTO ledger_accounts (id, tenant_id, code, name, type, is_control, created_at)
SELECT a.id, $1, a.code, a.name, a.type, a.is_control, $7
  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bool[]) AS a (id, code, name, type, is_control)
ON CONFLICT (tenant_id, code) DO NOTHING
"""
ACCOUNTS = """
SELECT id, code, name, type, is_control, is_active FROM ledger_accounts WHERE tenant_id = $1 ORDER BY code, id
"""
POST = """
INSERT INTO journals (id, tenant_id, entry_date, narration, source_event, source_ref, line_count, idempotency_key,
                      posted_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant_id, idempotency_key) DO NOTHING RETURNING id
"""
BY_KEY = "SELECT id FROM journals WHERE tenant_id = $1 AND idempotency_key = $2"
LINES = """
INSERT INTO journal_lines (tenant_id, journal_id, line_no, account_id, currency, debit, credit, memo)
SELECT $1, $2, l.line_no, l.account_id, l.currency, l.debit, l.credit, l.memo
  FROM unnest($3::uuid[], $4::text[], $5::numeric[], $6::numeric[], $7::text[])
       WITH ORDINALITY AS l (account_id, currency, debit, credit, memo, line_no)
"""
BALANCES = """
SELECT l.currency, coalesce(sum(l.debit), 0) - coalesce(sum(l.credit), 0) AS balance
  FROM journal_lines l JOIN journals j ON j.tenant_id = l.tenant_id AND j.id = l.journal_id
 WHERE l.tenant_id = $1 AND l.account_id = $2 AND j.entry_date <= $3
 GROUP BY l.currency ORDER BY l.currency
"""


async def seed_chart(db: Connection, tenant_id: str | None, now: datetime) -> None:
    """Insert the default chart of accounts; existing accounts are left unchanged."""
    columns = zip(*((uuid7(), each.code, each.name, each.type, each.is_control) for each in CHART), strict=True)
    await db.execute(SEED, tenant_id, *map(list, columns), now)


async def chart(db: Connection, tenant_id: str | None, now: datetime) -> tuple[LedgerAccount, ...]:
    """An agency's accounts, by code. The default chart is seeded on first use, safely under concurrency."""
    rows = await db.fetch(ACCOUNTS, tenant_id)
    if not rows:
        await seed_chart(db, tenant_id, now)
        rows = await db.fetch(ACCOUNTS, tenant_id)
    return tuple(_account(row) for row in rows)


def named(accounts: Sequence[LedgerAccount], id_or_code: str) -> LedgerAccount | None:
    """The account with this id, in any letter case, or with this code."""
    return next((each for each in accounts if id_or_code.lower() == each.id or id_or_code == each.code), None)


async def post(
    db: Connection, tenant_id: str | None, entry: JournalEntry, *, key: str, by: str | None, now: datetime
) -> str:
    """Post a journal once per ``key``; returns its id, or that of the first with this key."""
    new_id = await db.fetchval(
        POST,
        uuid7(),
        tenant_id,
        entry.entry_date,
        entry.narration,
        entry.source_event,
        None,
        len(entry.lines),
        key,
        now,
        by,
    )
    if new_id is None:
        first: str = await db.fetchval(BY_KEY, tenant_id, key)
        return first
    await db.execute(
        LINES,
        tenant_id,
        new_id,
        [line.account.id for line in entry.lines],
        [line.money.currency for line in entry.lines],
        [line.money.amount if line.side == "debit" else None for line in entry.lines],
        [line.money.amount if line.side == "credit" else None for line in entry.lines],
        [line.memo for line in entry.lines],
    )
    return str(new_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart(Command[tuple[LedgerAccount, ...]]):
    """The agency's accounts, by code."""

    now: datetime

    async def run(self, db: Connection) -> tuple[LedgerAccount, ...]:
        return await chart(db, self.tenant_id, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftJournal(Command[JournalEntry | InvalidJournal]):
    """Validate a manual journal against the current chart; nothing is written."""

    entry_date: date
    narration: str
    source_event: str
    wishes: tuple[DraftLine, ...]
    now: datetime

    async def run(self, db: Connection) -> JournalEntry | InvalidJournal:
        accounts = await chart(db, self.tenant_id, self.now)
        try:
            check_date(self.entry_date, self.now.date())
            lines = drawn_up(self.wishes, lambda id_or_code: named(accounts, id_or_code))
        except InvalidJournal as unfit:
            return unfit
        return JournalEntry(
            entry_date=self.entry_date, narration=self.narration, source_event=self.source_event, lines=lines
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Post(Command[str | InvalidJournal]):
    """Validate a journal and post it, once per ``key``; returns its id."""

    draft: DraftJournal
    key: str
    by: str

    async def run(self, db: Connection) -> str | InvalidJournal:
        entry = await self.draft.run(db)
        if isinstance(entry, InvalidJournal):
            return entry
        return await post(db, self.tenant_id, entry, key=self.key, by=self.by, now=self.draft.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances(Command[tuple[Money, ...] | None]):
    """Balance of an account at the end of a day: debits less credits by currency. None if there is no such account."""

    account: str
    as_of: date
    now: datetime

    async def run(self, db: Connection) -> tuple[Money, ...] | None:
        account = named(await chart(db, self.tenant_id, self.now), self.account)
        if account is None:
            return None
        rows = await db.fetch(BALANCES, self.tenant_id, account.id, self.as_of)
        return tuple(Money.of(row["balance"], row["currency"]) for row in rows)


def _account(row: Mapping[str, Any]) -> LedgerAccount:
    return LedgerAccount(
        id=row["id"],
        code=row["code"],
        name=row["name"],
        type=row["type"],
        is_control=row["is_control"],
        is_active=row["is_active"],
    )
