"""The general ledger: an agency's chart of accounts, its journals and account balances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from ..actors.domain.books import (
    CHART,
    DraftLine,
    InvalidJournal,
    JournalEntry,
    LedgerAccount,
    Line,
    PostedJournal,
    check_date,
    validate_lines,
)
from ..actors.domain.ids import parse_uuid, uuid7
from ..actors.domain.money import Money
from .engine.operations import Command
from .engine.statements import binds, statement
from .tables import daily_totals, journal_lines, journals, ledger_accounts

if TYPE_CHECKING:
    from .engine.connection import Connection

CODES = frozenset(each.code for each in CHART)
SEED = """
INSERT INTO ledger_accounts (id, tenant_id, code, name, type, is_control, created_at)
SELECT a.id, $1, a.code, a.name, a.type, a.is_control, $7
  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bool[]) AS a (id, code, name, type, is_control)
ON CONFLICT (tenant_id, code) DO NOTHING
"""
"""Text, like ``LINES``: all rows at once, an array for each column."""
ACCOUNTS = statement(
    select(*ledger_accounts.c["id", "code", "name", "type", "is_control", "is_active"])
    .filter_by(**binds("tenant_id"))
    .order_by(ledger_accounts.c.code, ledger_accounts.c.id)
)
POST = statement(
    insert(journals)
    .values(
        **binds("id", "tenant_id", "entry_date", "narration", "source_event", "line_count", "idempotency_key"),
        **binds("posted_at", "created_by", "source_ref", "reverses", "invoice_id", "bill_id"),
    )
    .on_conflict_do_nothing(index_elements=["tenant_id", "idempotency_key"])
    .returning(journals.c.id)
)
ENTRY_FIELDS = ("entry_date", "narration", "source_event", "source_ref", "reverses", "invoice_id", "bill_id")
JOURNAL = statement(select(*journals.c[ENTRY_FIELDS]).filter_by(**binds("tenant_id", "id")))
JOURNAL_LINES = statement(
    select(*journal_lines.c["account_id", "currency", "debit", "credit", "memo"])
    .filter_by(**binds("tenant_id", "journal_id"))
    .order_by(journal_lines.c.line_no)
)
BY_KEY = statement(select(journals.c.id).filter_by(**binds("tenant_id", "idempotency_key")))
LINES = """
INSERT INTO journal_lines (tenant_id, journal_id, line_no, account_id, currency, debit, credit, memo)
SELECT $1, $2, l.line_no, l.account_id, l.currency, l.debit, l.credit, l.memo
  FROM unnest($3::uuid[], $4::text[], $5::numeric[], $6::numeric[], $7::text[])
       WITH ORDINALITY AS l (account_id, currency, debit, credit, memo, line_no)
"""
_ITS_ACCOUNT = and_(
    ledger_accounts.c.tenant_id == daily_totals.c.tenant_id, ledger_accounts.c.id == daily_totals.c.account_id
)
BALANCES = statement(
    select(
        daily_totals.c.currency,
        (func.sum(daily_totals.c.debit) - func.sum(daily_totals.c.credit)).label("balance"),
    )
    .select_from(daily_totals.join(ledger_accounts, _ITS_ACCOUNT))
    .where(
        daily_totals.c.tenant_id == bindparam("tenant_id"),
        ledger_accounts.c.code == bindparam("code"),
        daily_totals.c.entry_date <= bindparam("as_of"),
    )
    .group_by(daily_totals.c.currency)
    .order_by(daily_totals.c.currency)
)
"""Debits less credits of an account at the end of a day, by currency."""


async def seed_chart(db: Connection, tenant_id: str | None, now: datetime) -> None:
    """Insert the default chart of accounts; existing accounts are left unchanged."""
    columns = zip(*((uuid7(), each.code, each.name, each.type, each.is_control) for each in CHART), strict=True)
    await db.execute(SEED, tenant_id, *map(list, columns), now)


async def chart(db: Connection, tenant_id: str | None, now: datetime) -> tuple[LedgerAccount, ...]:
    """An agency's accounts, by code. What it lacks of the default chart is added, safely under concurrency."""
    rows = await ACCOUNTS.fetch(db, tenant_id=tenant_id)
    if not {row["code"] for row in rows} >= CODES:
        await seed_chart(db, tenant_id, now)
        rows = await ACCOUNTS.fetch(db, tenant_id=tenant_id)
    return tuple(LedgerAccount(**row) for row in rows)


def find_account(accounts: Sequence[LedgerAccount], id_or_code: str) -> LedgerAccount | None:
    """The account with this id, in any letter case, or with this code."""
    return next((each for each in accounts if id_or_code.lower() == each.id or id_or_code == each.code), None)


async def find_journal(db: Connection, tenant_id: str | None, journal_id: str, now: datetime) -> PostedJournal | None:
    """A journal with its lines."""
    if (known := parse_uuid(journal_id)) is None:
        return None
    row = await JOURNAL.fetchrow(db, tenant_id=tenant_id, id=known)
    if row is None:
        return None
    accounts = {each.id: each for each in await chart(db, tenant_id, now)}
    lines = tuple(
        Line(
            account=accounts[line["account_id"]],
            side="credit" if line["debit"] is None else "debit",
            money=Money.of(line["credit"] if line["debit"] is None else line["debit"], line["currency"]),
            memo=line["memo"],
        )
        for line in await JOURNAL_LINES.fetch(db, tenant_id=tenant_id, journal_id=known)
    )
    return PostedJournal(id=known, entry=JournalEntry(lines=lines, **{name: row[name] for name in ENTRY_FIELDS}))


async def find_by_key(db: Connection, tenant_id: str | None, key: str) -> str | None:
    """The id of the journal that was posted with this key."""
    found: str | None = await BY_KEY.fetchval(db, tenant_id=tenant_id, idempotency_key=key)
    return found


async def post(
    db: Connection, tenant_id: str | None, entry: JournalEntry, *, key: str, by: str | None, now: datetime
) -> str:
    """Post a journal once per ``key``; returns its id, or that of the first with this key."""
    new_id = await POST.fetchval(
        db,
        id=uuid7(),
        tenant_id=tenant_id,
        entry_date=entry.entry_date,
        narration=entry.narration,
        source_event=entry.source_event,
        line_count=len(entry.lines),
        idempotency_key=key,
        posted_at=now,
        created_by=by,
        source_ref=entry.source_ref,
        reverses=entry.reverses,
        invoice_id=entry.invoice_id,
        bill_id=entry.bill_id,
    )
    if new_id is None:
        first: str = await BY_KEY.fetchval(db, tenant_id=tenant_id, idempotency_key=key)
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
    drafts: tuple[DraftLine, ...]
    today: date
    now: datetime

    async def run(self, db: Connection) -> JournalEntry | InvalidJournal:
        accounts = await chart(db, self.tenant_id, self.now)
        try:
            check_date(self.entry_date, self.today)
            lines = validate_lines(self.drafts, lambda id_or_code: find_account(accounts, id_or_code))
        except InvalidJournal as invalid:
            return invalid
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
        account = find_account(await chart(db, self.tenant_id, self.now), self.account)
        if account is None:
            return None
        rows = await BALANCES.fetch(db, tenant_id=self.tenant_id, code=account.code, as_of=self.as_of)
        return tuple(Money.of(row["balance"], row["currency"]) for row in rows)
