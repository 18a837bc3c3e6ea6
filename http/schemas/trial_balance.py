"""Request and response of ``/reports/trial-balance`` (docs/contract/business.md 8.3)."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from ...actors.domain.books import AccountType
from ...actors.domain.money import reported
from ...actors.domain.trial_balance import AccountBalance, CurrencyReconciliation, TrialBalance, TrialBalances
from .aging import ReconciliationResponse
from .shared import ADDITION, Closed, Query, QueryDate, QueryInt, Reply


class TrialBalanceQuery(Query):
    """The last day included, by default the agency's today. ``include_zero`` adds accounts without an amount."""

    as_of: QueryDate | None = None
    include_zero: Annotated[QueryInt, Field(ge=0, le=1)] = 0


class TrialBalanceAccount(Closed):
    """An account. ``balance`` is debit less credit for every type."""

    code: str
    name: str
    type: AccountType
    debit: str
    credit: str
    balance: str
    currency: str

    @classmethod
    def of(cls, account: AccountBalance, currency: str) -> TrialBalanceAccount:
        return cls(
            code=account.code,
            name=account.name,
            type=account.type,
            debit=reported(account.debit, currency),
            credit=reported(account.credit, currency),
            balance=reported(account.balance, currency),
            currency=currency,
        )


class OtherTrialBalance(Reply):
    """The accounts of one further currency, by code, with their totals."""

    currency: str
    accounts: list[TrialBalanceAccount]
    total_debit: str
    total_credit: str
    in_balance: bool

    @classmethod
    def of(cls, found: TrialBalance) -> OtherTrialBalance:
        return cls(
            currency=found.currency,
            accounts=_accounts(found),
            total_debit=reported(found.total_debit, found.currency),
            total_credit=reported(found.total_credit, found.currency),
            in_balance=found.in_balance,
        )


class TrialBalanceReconciliation(Reply):
    """The control accounts of one currency against all open documents."""

    currency: str
    receivables: ReconciliationResponse
    payables: ReconciliationResponse

    @classmethod
    def of(cls, found: CurrencyReconciliation) -> TrialBalanceReconciliation:
        return cls(
            currency=found.currency,
            receivables=ReconciliationResponse.of(found.receivables, found.currency),
            payables=ReconciliationResponse.of(found.payables, found.currency),
        )


class TrialBalanceResponse(Closed):
    """The accounts of the agency's default currency, by code, with their totals. Currencies are never added."""

    tenant_id: str
    as_of: date
    accounts: list[TrialBalanceAccount]
    total_debit: str
    total_credit: str
    in_balance: bool
    other_currencies: Annotated[list[OtherTrialBalance], ADDITION]
    reconciliation: Annotated[list[TrialBalanceReconciliation], ADDITION]

    @classmethod
    def of(cls, tenant_id: str, as_of: date, found: TrialBalances) -> TrialBalanceResponse:
        first, *others = found.balances
        return cls(
            tenant_id=tenant_id,
            as_of=as_of,
            accounts=_accounts(first),
            total_debit=reported(first.total_debit, first.currency),
            total_credit=reported(first.total_credit, first.currency),
            in_balance=first.in_balance,
            other_currencies=[OtherTrialBalance.of(each) for each in others],
            reconciliation=[TrialBalanceReconciliation.of(each) for each in found.reconciliation],
        )


def _accounts(found: TrialBalance) -> list[TrialBalanceAccount]:
    return [TrialBalanceAccount.of(each, found.currency) for each in found.accounts]
