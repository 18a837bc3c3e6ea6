"""Reversals of manual journals, once each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import select

from ...actors.domain.books import InvalidJournal, JournalEntry, PostedJournal, check_date
from ...actors.domain.documents import InvalidDocument
from .. import general_ledger
from ..engine.statements import binds, statement
from ..tables import journals
from .act import Act

if TYPE_CHECKING:
    from ..engine.connection import Connection

REVERSED_BY = statement(select(*journals.c["id", "source_ref"]).filter_by(**binds("tenant_id", "reverses")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverse(Act[JournalEntry, str]):
    """Reverse a manual journal; returns the new journal's id. Without ``entry_date`` today, or its date if later."""

    journal_id: str
    narration: str
    entry_date: date | None = None

    async def prepare(self, db: Connection) -> JournalEntry:
        posted = await general_ledger.find_journal(db, self.tenant_id, self.journal_id, self.now)
        if posted is None:
            raise InvalidDocument("not_found", "There is no journal with this id.")
        if posted.entry.invoice_id or posted.entry.bill_id:
            raise InvalidDocument(
                "owned_by_document", "The journal is a document's: void the invoice or the bill instead."
            )
        if await REVERSED_BY.fetchrow(db, tenant_id=self.tenant_id, reverses=posted.id) is not None:
            raise _reversed(posted)
        if self.entry_date is not None:
            self._check_date(self.entry_date, posted)
        return posted.reversal(self.entry_date or self.today, self.narration, "journal.reversed", self._source)

    async def carry_out(self, db: Connection, prepared: JournalEntry) -> str:
        posted = await general_ledger.post(
            db, self.tenant_id, prepared, key=f"journal:{prepared.reverses}:reversal", by=self.by, now=self.now
        )
        made = await REVERSED_BY.fetchrow(db, tenant_id=self.tenant_id, reverses=prepared.reverses)
        if made is None or made["source_ref"] != self._source:  # another reversal was faster, and is found instead
            raise InvalidDocument("already_reversed", "The journal has been reversed already.")
        return posted

    async def carried_out(self, db: Connection) -> str | None:
        posted = await general_ledger.find_journal(db, self.tenant_id, self.journal_id, self.now)
        row = posted and await REVERSED_BY.fetchrow(db, tenant_id=self.tenant_id, reverses=posted.id)
        return row["id"] if row and row["source_ref"] == self._source else None

    @property
    def _source(self) -> str:
        return f"call:{self.key}"

    def _check_date(self, day: date, posted: PostedJournal) -> None:
        try:
            check_date(day, self.today)
        except InvalidJournal as invalid:
            raise InvalidDocument("invalid_date", invalid.detail) from None
        if day < posted.entry.entry_date:
            raise InvalidDocument("invalid_date", f"{day} is before the journal's date {posted.entry.entry_date}.")


def _reversed(posted: PostedJournal) -> InvalidDocument:
    return InvalidDocument("already_reversed", f"The journal of {posted.entry.entry_date} has been reversed already.")
