"""The trial balance: what every account was debited and credited up to the end of a day, by currency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .aging import Reconciliation, Subledger
from .books import CHART, AccountType, ChartEntry, LedgerAccount

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTotals:
    """The debits and credits of one account in one currency."""

    account_id: str
    currency: str
    debit: Decimal
    credit: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
    """One row of a trial balance."""

    code: str
    name: str
    type: AccountType
    debit: Decimal
    credit: Decimal

    @property
    def balance(self) -> Decimal:
        """Debit less credit, for every type of account."""
        return self.debit - self.credit


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBalance:
    """The accounts of one currency, by code."""

    currency: str
    accounts: tuple[AccountBalance, ...]

    @property
    def total_debit(self) -> Decimal:
        return sum((each.debit for each in self.accounts), ZERO)

    @property
    def total_credit(self) -> Decimal:
        return sum((each.credit for each in self.accounts), ZERO)

    @property
    def in_balance(self) -> bool:
        return self.total_debit == self.total_credit


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrencyReconciliation:
    """The open documents of one currency against their control accounts."""

    currency: str
    receivables: Reconciliation
    payables: Reconciliation


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBalances:
    """The trial balance of each currency, and what its control accounts are reconciled with."""

    balances: tuple[TrialBalance, ...]
    reconciliation: tuple[CurrencyReconciliation, ...]


def trial_balances(
    chart: Sequence[LedgerAccount],
    totals: Iterable[AccountTotals],
    *,
    default_currency: str,
    include_zero: bool = False,
) -> tuple[TrialBalance, ...]:
    """A trial balance for each currency: the default one first and in any case, the others by the alphabet.

    ``include_zero`` adds the accounts without a debit or credit to that of the default currency, those among them that
    the agency's chart is still to be seeded with.
    """
    accounts = {each.id: each for each in chart}
    rows: dict[str, dict[str, AccountBalance]] = {default_currency: {}}
    if include_zero:
        listed: tuple[ChartEntry | LedgerAccount, ...] = (*CHART, *chart)
        for each in listed:
            rows[default_currency][each.code] = AccountBalance(
                code=each.code, name=each.name, type=each.type, debit=ZERO, credit=ZERO
            )
    for total in totals:
        account = accounts[total.account_id]
        rows.setdefault(total.currency, {})[account.code] = AccountBalance(
            code=account.code, name=account.name, type=account.type, debit=total.debit, credit=total.credit
        )
    return tuple(
        TrialBalance(currency=currency, accounts=tuple(rows[currency][code] for code in sorted(rows[currency])))
        for currency in _in_order(rows, default_currency)
    )


def reconciled(
    sides: Mapping[Subledger, Mapping[str, Reconciliation]], balances: Sequence[TrialBalance]
) -> tuple[CurrencyReconciliation, ...]:
    """The reconciliation of each currency, in the order of the trial balances, whose first is the default one's."""
    currencies = {each.currency for each in balances}.union(*sides.values())
    nothing = Reconciliation()
    return tuple(
        CurrencyReconciliation(
            currency=currency,
            receivables=sides["receivables"].get(currency, nothing),
            payables=sides["payables"].get(currency, nothing),
        )
        for currency in _in_order(currencies, balances[0].currency)
    )


def _in_order(currencies: Iterable[str], first: str) -> list[str]:
    return sorted(currencies, key=lambda each: (each != first, each))
