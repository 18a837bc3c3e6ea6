"""post_journal_entry: post a manual journal. Needs an approval; only what the approver was shown is posted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ....storage import general_ledger
from ....storage.engine.operations import Operation
from ...domain.books import DraftLine, InvalidJournal, JournalEntry
from ...domain.outcomes import Outcome
from . import journal_summary
from .schema import Amount, Currency, Day, Id, Said
from .tool import (
    ALL_ACCOUNTING,
    ApprovalProposal,
    GatedDatabaseTool,
    Objection,
    Then,
    ToolContext,
    ToolInput,
    ToolOutput,
)

MOST_LINES = 500

Memo = Annotated[str, Field(max_length=1000)]


class LineInput(ToolInput):
    """Input of the tool."""

    account_id: Annotated[Id, Field(description="Its id or its code")]
    currency: Currency
    account_code: Annotated[str, Field(max_length=32)] | None = None
    debit_amount: Amount | None = None
    credit_amount: Amount | None = None
    narration: Memo | None = None


class EntryInput(ToolInput):
    """Input of the tool."""

    narration: Annotated[Said, Field(max_length=1000)]
    lines: Annotated[list[LineInput], Field(min_length=2, max_length=MOST_LINES)]
    entry_date: Annotated[Day | None, Field(description="The agency's today if nothing is said")] = None
    source_event: Annotated[Said, Field(max_length=64)] = "manual.journal"


class JournalInput(ToolInput):
    """Input of the tool."""

    entry: EntryInput


class Posted(ToolOutput):
    """A posted journal."""

    posted: Literal[True] = True
    journal_id: str


class PostJournalEntry(GatedDatabaseTool[JournalInput]):
    """Posts a manual journal; gated by an approval."""

    name = "post_journal_entry"
    description = (
        "Post a journal entry to the ledger. Each line has exactly one of debit_amount and credit_amount, and debits "
        "equal credits in each currency. A human is asked first; what is posted is never changed, only reversed."
    )
    Input = JournalInput
    Output = Posted
    desks = frozenset({"accounting"})
    verb = "posted"
    reasons = frozenset({"invalid_line", "validation_failed", "control_account"})
    effect = "irreversible"
    approvers = ALL_ACCOUNTING

    def gate(self, given: JournalInput, context: ToolContext) -> Operation[ApprovalProposal | Outcome]:
        return Then(tenant_id=context.tenant_id, first=_draft(given.entry, context), then=self._asked)

    def plan(self, given: JournalInput, context: ToolContext, key: str) -> Operation[Outcome]:
        post = general_ledger.Post(
            tenant_id=context.tenant_id, draft=_draft(given.entry, context), key=f"call:{key}", by=context.user_id
        )
        return Then(tenant_id=context.tenant_id, first=post, then=self._outcome)

    def _asked(self, entry: JournalEntry | InvalidJournal) -> ApprovalProposal | Outcome:
        if isinstance(entry, InvalidJournal):
            return self.refuse(Objection(entry.reason, entry.detail))
        return ApprovalProposal(f"Post {journal_summary.summary(entry)}", journal_summary.bound(entry), None)

    def _outcome(self, outcome: str | InvalidJournal) -> Outcome:
        if isinstance(outcome, InvalidJournal):
            return self.refuse(Objection(outcome.reason, outcome.detail))
        return self.succeed(journal_id=outcome)


def _draft(entry: EntryInput, context: ToolContext) -> general_ledger.DraftJournal:
    return general_ledger.DraftJournal(
        tenant_id=context.tenant_id,
        entry_date=entry.entry_date or context.today,
        today=context.today,
        narration=entry.narration,
        source_event=entry.source_event,
        drafts=tuple(
            DraftLine(
                account=line.account_id,
                code=line.account_code,
                currency=line.currency,
                debit=line.debit_amount,
                credit=line.credit_amount,
                memo=line.narration,
            )
            for line in entry.lines
        ),
        now=context.now,
    )
