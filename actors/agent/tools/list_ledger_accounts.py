"""list_ledger_accounts: the agency's chart of accounts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ....storage import general_ledger
from ...domain.books import AccountType
from ...domain.outcomes import Outcome
from .tool import ReadTool, ToolContext, ToolInput, ToolOutput

SHOWN = 200


class AccountsInput(ToolInput):
    """The tool takes no input."""


class LedgerAccount(ToolOutput):
    """One account."""

    id: str
    code: str
    name: str
    type: AccountType
    is_control: bool


class LedgerAccounts(ToolOutput):
    """The accounts by code; ``count`` is their total number."""

    count: int
    accounts: Annotated[list[LedgerAccount], Field(max_length=SHOWN)]


class ListLedgerAccounts(ReadTool[AccountsInput]):
    """Lists the active accounts."""

    name = "list_ledger_accounts"
    description = (
        "List the ledger accounts with their ids and codes; either names an account elsewhere. A control account "
        "takes postings from invoices, bills and payments only."
    )
    Input = AccountsInput
    Output = LedgerAccounts
    desks = frozenset({"accounting"})

    async def look(self, given: AccountsInput, context: ToolContext) -> Outcome:
        del given
        chart = await context.store.ask(general_ledger.Chart(tenant_id=context.tenant_id, now=context.now))
        accounts = [
            LedgerAccount(id=each.id, code=each.code, name=each.name, type=each.type, is_control=each.is_control)
            for each in chart
            if each.is_active
        ]
        return self.succeed(count=len(accounts), accounts=accounts[:SHOWN])
