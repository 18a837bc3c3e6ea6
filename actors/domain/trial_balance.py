"""The trial balance: what every account was debited and credited up to the end of a day, by currency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .books import CHART, AccountType, LedgerAccount

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


def trial_balances(
    chart: Sequence[LedgerAccount],
    totals: Iterable[AccountTotals],
    *,
    default_currency: str,
    include_zero: bool = False,
) -> tuple[TrialBalance, ...]:
    """A trial balance for each currency: the default one first and in any case, the others by the alphabet.

    ``include_zero`` adds the accounts without a debit or credit to that of the default currency. An agency whose chart
    is not seeded yet has the accounts that it will be seeded with.
    """
    accounts = {each.id: each for each in chart}
    rows: dict[str, dict[str, AccountBalance]] = {default_currency: {}}
    if include_zero:
        for each in chart or CHART:
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
        for currency in sorted(rows, key=lambda each: (each != default_currency, each))
    )
