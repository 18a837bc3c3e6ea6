"""The journals of an agency as vouchers, read by keyset: an export holds neither all its rows nor a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import bindparam, select

from ..actors.domain.books import JournalEntry, LedgerAccount, Line, PostedJournal
from ..actors.domain.money import Money
from ..actors.domain.tally import BilledDocument, PartyKind, Voucher
from .engine.operations import Query, Report
from .engine.statements import binds, statement
from .general_ledger import ACCOUNTS
from .tables import daily_totals, journals

if TYPE_CHECKING:
    from .engine.connection import Connection

JOURNALS: Final = 100
LINES: Final = 500
"""What a batch has at most: journals, and of them lines, unless one journal alone has more. Some milliseconds' work."""
PARTIES: Final = 2_000

NEWEST = statement(
    select(journals.c.id).filter_by(**binds("tenant_id")).order_by(journals.c.id.desc()).limit(1),
)
OTHER_CURRENCIES = statement(
    select(daily_totals.c.currency)
    .distinct()
    .filter_by(**binds("tenant_id"))
    .where(
        daily_totals.c.entry_date.between(bindparam("first"), bindparam("last")),
        daily_totals.c.currency != bindparam("currency"),
    )
    .order_by(daily_totals.c.currency)
)
NAMESAKES: Final = """
WITH party AS (
    SELECT 'customer' AS kind, party_name, min(issued_at) AS since FROM invoices
     WHERE tenant_id = $1 AND issued_at IS NOT NULL GROUP BY party_name
     UNION ALL
    SELECT 'vendor', party_name, min(issued_at) FROM bills
     WHERE tenant_id = $1 AND issued_at IS NOT NULL GROUP BY party_name
), named AS (
    SELECT kind, party_name, since, lower(regexp_replace(party_name, '[[:space:][:cntrl:][:punct:]]+', '', 'g')) AS name
      FROM party
), shared AS (
    SELECT name, CASE WHEN min(since) FILTER (WHERE kind = 'customer') <= min(since) FILTER (WHERE kind = 'vendor')
                      THEN 'vendor' ELSE 'customer' END AS later
      FROM named GROUP BY name HAVING count(DISTINCT kind) = 2
)
SELECT kind, party_name FROM named JOIN shared USING (name) WHERE kind = later
"""
"""Text, like the next ones: of each name that customers and vendors have, those of the kind that came into the books
later. What comes later still changes nothing of that."""
BATCH: Final = """
WITH found AS (
    SELECT j.* FROM journals j
     WHERE j.tenant_id = $1 AND j.entry_date BETWEEN $2 AND $3 AND j.id <= $4 AND (j.entry_date, j.id) > ($6, $7)
       AND EXISTS (SELECT FROM journal_lines l WHERE l.tenant_id = $1 AND l.journal_id = j.id AND l.currency = $5)
     ORDER BY j.entry_date, j.id LIMIT $8
), page AS (
    SELECT found.*, row_number() OVER before AS place, sum(line_count) OVER before AS lines
      FROM found WINDOW before AS (ORDER BY entry_date, id)
)
SELECT j.id, j.entry_date, j.narration, j.source_event, l.account_id, l.debit, l.credit, l.memo,
       CASE WHEN j.invoice_id IS NOT NULL THEN 'customer' WHEN j.bill_id IS NOT NULL THEN 'vendor' END AS kind,
       coalesce(i.number, b.number) AS number, coalesce(i.party_name, b.party_name) AS party_name,
       coalesce(i.issue_date, b.issue_date) AS issue_date, coalesce(i.due_date, b.due_date) AS due_date,
       CASE WHEN j.source_event = 'bill.received' THEN b.vendor_reference
            ELSE coalesce(received.reference, sent.reference) END AS reference
  FROM page j
  JOIN journal_lines l ON l.tenant_id = $1 AND l.journal_id = j.id AND l.currency = $5
  LEFT JOIN invoices i ON i.tenant_id = $1 AND i.id = j.invoice_id
  LEFT JOIN bills b ON b.tenant_id = $1 AND b.id = j.bill_id
  LEFT JOIN payments received
    ON received.tenant_id = $1 AND received.invoice_id = j.invoice_id AND received.journal_id = j.id
  LEFT JOIN payments sent ON sent.tenant_id = $1 AND sent.bill_id = j.bill_id AND sent.journal_id = j.id
 WHERE place = 1 OR lines <= $9
 ORDER BY j.entry_date, j.id, l.line_no
"""
NAMED: Final = """
SELECT DISTINCT ON (kind, name COLLATE "C") kind, name, party_name FROM (
    SELECT 'customer' AS kind, lower(d.party_name COLLATE "C") AS name, d.party_name
      FROM journals j JOIN invoices d ON d.tenant_id = $1 AND d.id = j.invoice_id AND d.currency = $5
     WHERE j.tenant_id = $1 AND j.entry_date BETWEEN $2 AND $3 AND j.id <= $4
     UNION ALL
    SELECT 'vendor', lower(d.party_name COLLATE "C"), d.party_name
      FROM journals j JOIN bills d ON d.tenant_id = $1 AND d.id = j.bill_id AND d.currency = $5
     WHERE j.tenant_id = $1 AND j.entry_date BETWEEN $2 AND $3 AND j.id <= $4
) AS party
 WHERE (kind, name COLLATE "C") > ($6, $7)
 ORDER BY kind, name COLLATE "C", party_name COLLATE "C" LIMIT $8
"""
"""The parties of the journals' documents, each name once whatever its case (of A to Z)."""
_FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What an export has: the journals of some days up to the newest there was, their lines in one currency.

    Journals never change and a later one has a higher id, so no transaction stays open while a client downloads; one
    that is posted just as it begins may be in it, whole, or not.
    ``namesakes`` are parties whose name one of the other kind had before, ``others`` the days' further currencies.
    """

    first: date
    last: date
    currency: str
    newest: str
    accounts: Mapping[str, LedgerAccount]
    namesakes: frozenset[tuple[PartyKind, str]]
    others: tuple[str, ...]


class Party(NamedTuple):
    """A customer or vendor, with the name by which its page goes on."""

    kind: PartyKind
    key: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Report[Extent]):
    """Find out what an export of the days from ``first`` to ``last``, both inclusive, has."""

    first: date
    last: date
    currency: str

    async def run(self, db: Connection) -> Extent:
        rows = await ACCOUNTS.fetch(db, tenant_id=self.tenant_id)
        days = {"first": self.first, "last": self.last}
        others = await OTHER_CURRENCIES.fetch(db, tenant_id=self.tenant_id, currency=self.currency, **days)
        return Extent(
            **days,
            currency=self.currency,
            newest=await NEWEST.fetchval(db, tenant_id=self.tenant_id) or _FIRST_ID,
            accounts={row["id"]: LedgerAccount(**row) for row in rows},
            namesakes=frozenset((row["kind"], row["party_name"]) for row in await db.fetch(NAMESAKES, self.tenant_id)),
            others=tuple(row["currency"] for row in others),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Query[list[Voucher]]):
    """The next vouchers of an export by day and id, after the journal of ``after``; none at its end."""

    of: Extent
    after: PostedJournal | None = None

    async def run(self, db: Connection) -> list[Voucher]:
        day, last_id = (self.after.entry.entry_date, self.after.id) if self.after else (self.of.first, _FIRST_ID)
        extent = (self.of.first, self.of.last, self.of.newest, self.of.currency)
        rows = await db.fetch(BATCH, self.tenant_id, *extent, day, last_id, JOURNALS, LINES)
        return [self._voucher(list(lines)) for _, lines in groupby(rows, key=lambda row: row["id"])]

    def _voucher(self, rows: Sequence[Mapping[str, Any]]) -> Voucher:
        first = rows[0]
        entry = JournalEntry(
            entry_date=first["entry_date"],
            narration=first["narration"],
            source_event=first["source_event"],
            lines=tuple(self._line(row) for row in rows),
        )
        named = ("kind", "party_name", "number", "issue_date", "due_date")
        document = None if first["kind"] is None else BilledDocument(**{name: first[name] for name in named})
        return Voucher(
            journal=PostedJournal(id=first["id"], entry=entry), document=document, reference=first["reference"]
        )

    def _line(self, row: Mapping[str, Any]) -> Line:
        return Line(
            account=self.of.accounts[row["account_id"]],
            side="credit" if row["debit"] is None else "debit",
            money=Money.of(row["credit"] if row["debit"] is None else row["debit"], self.of.currency),
            memo=row["memo"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties(Report[list[Party]]):
    """The next parties of an export's vouchers, customers first; none at their end."""

    of: Extent
    after: Party | None = None

    async def run(self, db: Connection) -> list[Party]:
        kind, key = ("", "") if self.after is None else (self.after.kind, self.after.key)
        extent = (self.of.first, self.of.last, self.of.newest, self.of.currency)
        rows = await db.fetch(NAMED, self.tenant_id, *extent, kind, key, PARTIES)
        return [Party(row["kind"], row["name"], row["party_name"]) for row in rows]
