"""An agency's open invoices and bills at the end of any day, and what their control accounts say of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ..actors.domain.aging import (
    CONTROL_ACCOUNTS,
    TOP,
    ZERO,
    Aging,
    Due,
    OpenDocuments,
    PartyAmount,
    Reconciliation,
    Subledger,
    agings,
)
from .engine.operations import Report
from .general_ledger import BALANCES

if TYPE_CHECKING:
    from .engine.connection import Connection

PARTS: Final = """
WITH part AS (
    SELECT d.id, d.currency, d.party_name, d.due_date, d.issue_date, d.total - d.amount_paid AS amount
      FROM {table} d WHERE d.tenant_id = $1 AND d.status = ANY('{{{open}}}') AND d.issue_date <= $2
     UNION ALL
    SELECT d.id, d.currency, d.party_name, d.due_date, d.issue_date, p.amount
      FROM payments p JOIN {table} d ON d.tenant_id = p.tenant_id AND d.id = p.{key}
     WHERE p.tenant_id = $1 AND p.paid_on > $2 AND d.issue_date <= $2
     UNION ALL
    SELECT d.id, d.currency, d.party_name, d.due_date, d.issue_date, d.total
      FROM {table} d WHERE d.tenant_id = $1 AND d.status = 'void' AND d.voided_on > $2 AND d.issued_at IS NOT NULL
       AND d.issue_date <= $2
)
"""
"""What was outstanding at the end of day $2, of each document in up to two parts: what is so now, what was paid later,
what was voided later. Documents settled by then are not read, as long as the day is not far back."""
_TOTAL: Final = "SELECT currency, sum(amount) AS amount FROM part GROUP BY 1"
_AGING: Final = """, document AS (
    SELECT id, currency, party_name, due_date, issue_date BETWEEN $3 AND $4 AS in_window, sum(amount) AS amount
      FROM part GROUP BY id, currency, party_name, due_date, issue_date
)
SELECT currency, due_date, party_name, count, amount FROM (
    SELECT currency, due_date, party_name, in_window, count(*) AS count, sum(amount) AS amount,
           grouping(due_date) = 0 AS of_day, grouping(party_name) = 0 AS of_party,
           row_number() OVER (PARTITION BY currency, in_window, grouping(due_date, party_name)
                              ORDER BY sum(amount) DESC, party_name COLLATE "C") AS place
      FROM document WHERE amount > 0
     GROUP BY GROUPING SETS ((currency), (currency, in_window, due_date), (currency, in_window, party_name))
) AS sums
 WHERE NOT (of_day OR of_party) OR in_window AND (of_day OR place <= {top})
 ORDER BY currency, of_day, place
"""
"""In one pass: the sum of a currency, of each due date in the window, and of the largest parties there."""
NAMES: Final[Mapping[Subledger, Mapping[str, str]]] = {
    "receivables": {"table": "invoices", "key": "invoice_id", "open": "issued,partially_paid"},
    "payables": {"table": "bills", "key": "bill_id", "open": "received,scheduled"},
}
TOTALS: Final = {side: (PARTS + _TOTAL).format(**names) for side, names in NAMES.items()}
AGINGS: Final = {side: (PARTS + _AGING).format(**names, top=TOP) for side, names in NAMES.items()}
"""Text: grouping sets and a rank, over the tables of either side."""


async def reconciliations(
    db: Connection, tenant_id: str | None, side: Subledger, as_of: date
) -> dict[str, Reconciliation]:
    """For each currency all open documents of ``side`` as of the day, and the balance of their control account."""
    totals = {row["currency"]: row["amount"] for row in await db.fetch(TOTALS[side], tenant_id, as_of)}
    return await _reconciled(db, tenant_id, side, as_of, totals)


async def _reconciled(
    db: Connection, tenant_id: str | None, side: Subledger, as_of: date, totals: Mapping[str, Decimal]
) -> dict[str, Reconciliation]:
    rows = await BALANCES.fetch(db, tenant_id=tenant_id, code=CONTROL_ACCOUNTS[side], as_of=as_of)
    sign = 1 if side == "receivables" else -1
    balances: dict[str, Decimal] = {row["currency"]: sign * row["balance"] for row in rows}
    return {
        currency: Reconciliation(aging_total=totals.get(currency, ZERO), control_account=balances.get(currency, ZERO))
        for currency in {*totals, *balances}
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Report[tuple[Aging, ...]]):
    """The aging of each currency as of a day, of documents issued from ``first`` to ``last``, both inclusive."""

    side: Subledger
    first: date
    last: date
    as_of: date
    default_currency: str

    async def run(self, db: Connection) -> tuple[Aging, ...]:
        due: list[Due] = []
        top: defaultdict[str, list[PartyAmount]] = defaultdict(list)
        totals: dict[str, Decimal] = {}
        for row in await db.fetch(AGINGS[self.side], self.tenant_id, self.as_of, self.first, self.last):
            currency, amount = row["currency"], row["amount"]
            if row["due_date"] is not None:
                due.append(Due(currency=currency, due_date=row["due_date"], count=row["count"], amount=amount))
            elif row["party_name"] is not None:
                top[currency].append(PartyAmount(name=row["party_name"], amount=amount))
            else:
                totals[currency] = amount
        reconciled = await _reconciled(db, self.tenant_id, self.side, self.as_of, totals)
        found = OpenDocuments(due=due, top=top, reconciliations=reconciled)
        return agings(found, as_of=self.as_of, default_currency=self.default_currency)
