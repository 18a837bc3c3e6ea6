"""The invoices or bills that an aging adds up, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from ..actors.domain.aging import OpenDocument, OpenDocumentList, Subledger, days_due
from .aging import NAMES, PARTS
from .engine.operations import Report

if TYPE_CHECKING:
    from .engine.connection import Connection

_LISTED: Final = """, document AS (
    SELECT id, currency, party_name, due_date, issue_date, sum(amount) AS outstanding
      FROM part
     WHERE issue_date BETWEEN $3 AND $4 AND due_date BETWEEN $5 AND $6
       AND ($7::text IS NULL OR currency = $7) AND ($8::text IS NULL OR party_name = $8)
     GROUP BY id, currency, party_name, due_date, issue_date HAVING sum(amount) > 0
), page AS (
    SELECT * FROM document ORDER BY due_date, id LIMIT $9 OFFSET $10
)
SELECT counted.found, d.number, d.{reference} AS reference, d.total, d.session_id, page.*
  FROM (SELECT count(*) AS found FROM document) AS counted
  LEFT JOIN (page JOIN {table} d ON d.tenant_id = $1 AND d.id = page.id) ON true
 ORDER BY page.due_date, page.id
"""
"""A row for each document of the page, and one in any case; the total in front."""
_REFERENCES: Final = {"receivables": "party_reference", "payables": "vendor_reference"}
LISTS: Final = {side: (PARTS + _LISTED).format(**names, reference=_REFERENCES[side]) for side, names in NAMES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Report[OpenDocumentList]):
    """One page of what was open at the end of ``as_of``, those due first in front; issued from ``first`` to ``last``.

    ``bucket``, ``currency`` and ``party`` leave those of that age, currency and name.
    """

    side: Subledger
    first: date
    last: date
    as_of: date
    bucket: str | None
    currency: str | None
    party: str | None
    limit: int
    offset: int

    async def run(self, db: Connection) -> OpenDocumentList:
        due = days_due(self.bucket, self.as_of)
        window = (self.tenant_id, self.as_of, self.first, self.last)
        rows = await db.fetch(LISTS[self.side], *window, *due, self.currency, self.party, self.limit, self.offset)
        return OpenDocumentList(
            items=tuple(
                OpenDocument(
                    id=row["id"],
                    number=row["number"],
                    reference=row["reference"],
                    party_name=row["party_name"],
                    issue_date=row["issue_date"],
                    due_date=row["due_date"],
                    age=(self.as_of - row["due_date"]).days,
                    currency=row["currency"],
                    total=row["total"],
                    outstanding=row["outstanding"],
                    session_id=row["session_id"],
                )
                for row in rows
                if row["id"] is not None
            ),
            total=rows[0]["found"],
        )
