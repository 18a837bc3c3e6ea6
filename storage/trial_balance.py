"""What an agency's accounts add up to at the end of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select

from ..actors.domain.aging import CONTROL_ACCOUNTS
from ..actors.domain.books import LedgerAccount
from ..actors.domain.trial_balance import AccountTotals, TrialBalances, reconciled, trial_balances
from .aging import reconciliations
from .engine.operations import Report
from .engine.statements import binds, statement
from .general_ledger import ACCOUNTS
from .tables import daily_totals

if TYPE_CHECKING:
    from .engine.connection import Connection

TOTALS = statement(
    select(
        *daily_totals.c["account_id", "currency"],
        func.sum(daily_totals.c.debit).label("debit"),
        func.sum(daily_totals.c.credit).label("credit"),
    )
    .filter_by(**binds("tenant_id"))
    .where(daily_totals.c.entry_date <= bindparam("as_of"))
    .group_by(*daily_totals.c["account_id", "currency"])
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Report[TrialBalances]):
    """The trial balance of each currency over all journals with an entry date up to ``as_of``."""

    as_of: date
    default_currency: str
    include_zero: bool

    async def run(self, db: Connection) -> TrialBalances:
        accounts = await ACCOUNTS.fetch(db, tenant_id=self.tenant_id)
        totals = await TOTALS.fetch(db, tenant_id=self.tenant_id, as_of=self.as_of)
        balances = trial_balances(
            tuple(LedgerAccount(**row) for row in accounts),
            (AccountTotals(**row) for row in totals),
            default_currency=self.default_currency,
            include_zero=self.include_zero,
        )
        sides = {side: await reconciliations(db, self.tenant_id, side, self.as_of) for side in CONTROL_ACCOUNTS}
        return TrialBalances(balances=balances, reconciliation=reconciled(sides, balances))
