"""reverse_journal_entry: take the effect of a manual journal back by its reversal."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ....storage.books.act import Act
from ....storage.books.reversals import Reverse
from ...domain.books import JournalEntry
from ...domain.outcomes import Outcome
from . import journal_summary
from .document_tool import DocumentTool, Reason
from .schema import Day, Id
from .summary import code
from .tool import ToolContext, ToolInput, ToolOutput


class ReversalInput(ToolInput):
    """Input of the tool."""

    journal_id: Id
    narration: Reason
    entry_date: Annotated[
        Day | None, Field(description="Not before the journal's own date; the agency's today if nothing is said")
    ] = None


class Reversed(ToolOutput):
    """A posted reversal."""

    reversed: Literal[True] = True
    journal_id: str


class ReverseJournalEntry(DocumentTool[ReversalInput, JournalEntry, str]):
    """Posts the reversal of a journal; gated by an approval."""

    name = "reverse_journal_entry"
    description = (
        "Reverse a journal that was posted by hand, once. The journals of invoices, bills and payments belong to their "
        "documents: void these instead. A human is asked first."
    )
    Input = ReversalInput
    Output = Reversed
    verb = "reversed"
    reasons = frozenset({"not_found", "already_reversed", "owned_by_document", "invalid_date"})

    def act(self, given: ReversalInput, context: ToolContext, **who: Any) -> Act[JournalEntry, str]:
        del context
        return Reverse(journal_id=given.journal_id, narration=given.narration, entry_date=given.entry_date, **who)

    def ask(self, given: ReversalInput, prepared: JournalEntry, context: ToolContext) -> tuple[str, dict[str, Any]]:
        del given, context
        original = code(prepared.reverses or "")
        asked = f"Reverse journal {original} by a {journal_summary.summary(prepared)}"
        return asked, journal_summary.bound(prepared) | {"reverses": prepared.reverses}

    def output(self, given: ReversalInput, done: str) -> Outcome:
        del given
        return self.succeed(journal_id=done)
