"""read_account_balance: the balance of an account at the end of a day."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ....storage import general_ledger
from ...domain.books import grouped
from ...domain.money import Money
from ...domain.outcomes import Outcome
from .schema import Currency, Day, Id
from .tool import Objection, ReadTool, ToolContext, ToolInput, ToolOutput

Balance = Annotated[str, Field(pattern=r"^[A-Z]{3} -?[0-9]{1,3}(,[0-9]{3})*(\.[0-9]+)?$")]
"""``"INR 1,234.56"``."""


class BalanceInput(ToolInput):
    """Input of the tool."""

    account_id: Annotated[Id, Field(description="Its id or its code")]
    as_of: Day


class AccountBalance(ToolOutput):
    """Debits less credits, in the agency's currency; other currencies are listed separately."""

    read: Literal[True] = True
    balance: Balance
    currency: Currency
    other_balances: list[Balance]


class ReadAccountBalance(ReadTool[BalanceInput]):
    """Sums the postings up to and including that day."""

    name = "read_account_balance"
    description = "Read the balance of a ledger account at the end of a day: debits less credits, each currency apart."
    Input = BalanceInput
    Output = AccountBalance
    desks = frozenset({"accounting"})
    verb = "read"
    reasons = frozenset({"account_not_found", "capability_not_supported"})

    async def look(self, given: BalanceInput, context: ToolContext) -> Outcome:
        asked = general_ledger.Balances(
            tenant_id=context.tenant_id, account=given.account_id, as_of=given.as_of, now=context.now
        )
        found = await context.store.ask(asked)
        if found is None:
            return self.refuse(Objection("account_not_found", "No account of this agency has this id or code."))
        currency = context.settings.default_currency
        own = next((each for each in found if each.currency == currency), Money.of(0, currency))
        others = [grouped(each) for each in found if each.currency != currency]
        return self.succeed(balance=grouped(own), currency=currency, other_balances=others)
