"""Daily totals follow the journal lines, and the trial balance is their sum (business 8.3)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voyagent.actors.domain.books import DraftLine
from voyagent.actors.domain.ids import uuid7
from voyagent.storage import trial_balance
from voyagent.storage.general_ledger import DraftJournal, Post

DAY = date(2026, 11, 23)
CURRENCIES = ("INR", "USD", "KWD")
FREE_ACCOUNTS = ("1000", "3000", "4000", "5000", "7000")

LINES = """
SELECT a.code, l.currency, coalesce(sum(l.debit), 0) AS debit, coalesce(sum(l.credit), 0) AS credit
  FROM journal_lines l JOIN journals j ON j.id = l.journal_id JOIN ledger_accounts a ON a.id = l.account_id
 WHERE l.tenant_id = $1 AND j.entry_date <= $2 GROUP BY 1, 2
"""
"""The trial balance as plain sums of journal lines: what daily totals have to add up to."""

Transfer = tuple[int, str, str, str, int]
"""A journal: days from DAY, account debited, account credited, currency, whole amount."""

TRANSFERS = st.lists(
    st.tuples(
        st.integers(-40, 40),
        st.sampled_from(FREE_ACCOUNTS),
        st.sampled_from(FREE_ACCOUNTS),
        st.sampled_from(CURRENCIES),
        st.integers(1, 10**6),
    ),
    max_size=12,
)


def posting(agency: Any, clock: Any, transfer: Transfer) -> Post:
    days, debited, credited, currency, amount = transfer

    def line(account: str, debit: int | None, credit: int | None) -> DraftLine:
        debits, credits_ = (None if each is None else Decimal(each) for each in (debit, credit))
        return DraftLine(account=account, code=None, currency=currency, debit=debits, credit=credits_, memo=None)

    draft = DraftJournal(
        tenant_id=agency.tenant_id,
        entry_date=DAY + timedelta(days=days),
        narration="Transfer",
        source_event="manual.journal",
        drafts=(line(debited, amount, None), line(credited, None, amount)),
        today=clock.now().date(),
        now=clock.now(),
    )
    return Post(tenant_id=agency.tenant_id, draft=draft, key=uuid7(), by=agency.user_id)


async def post(agency: Any, clock: Any, *transfers: Transfer) -> None:
    for posted in await asyncio.gather(*(agency.store.ask(posting(agency, clock, each)) for each in transfers)):
        assert isinstance(posted, str), posted


async def read(agency: Any, as_of: date) -> tuple[Any, ...]:
    wanted = trial_balance.Read(tenant_id=agency.tenant_id, as_of=as_of, default_currency="INR", include_zero=False)
    return tuple((await agency.store.ask(wanted)).balances)


def rows(found: tuple[Any, ...]) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    return {(row.code, each.currency): (row.debit, row.credit) for each in found for row in each.accounts}


async def sums(db: asyncpg.Connection, agency: Any, as_of: date) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    return {
        (row["code"], row["currency"]): (row["debit"], row["credit"])
        for row in await db.fetch(LINES, agency.tenant_id, as_of)
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TRANSFERS, st.integers(-45, 45))
async def test_b49_the_trial_balance_is_the_sum_of_the_journal_lines(
    agency: Any, clock: Any, transfers: list[Transfer], days: int
) -> None:
    """The ledger grows from example to example: each adds some journals of any date to those before it."""
    await post(agency, clock, *transfers)
    as_of = DAY + timedelta(days=days)
    found = await read(agency, as_of)
    assert rows(found) == await sums(agency.db, agency, as_of)
    assert all(each.in_balance for each in found)


async def test_what_is_posted_with_a_later_date_changes_no_earlier_day(agency: Any, clock: Any) -> None:
    await post(agency, clock, (0, "1000", "3000", "INR", 500), (0, "1000", "3000", "USD", 7))
    before = await read(agency, DAY)
    await post(agency, clock, (1, "5000", "1000", "INR", 20), (2, "1000", "4000", "KWD", 1))
    assert await read(agency, DAY) == before
    assert await read(agency, DAY + timedelta(days=2)) != before


async def test_journals_of_one_day_posted_at_once_are_all_counted(agency: Any, clock: Any) -> None:
    pairs = [("1000", "3000"), ("3000", "1000")] * 16
    await post(agency, clock, *((0, debited, credited, "INR", 5) for debited, credited in pairs))
    assert rows(await read(agency, DAY)) == {("1000", "INR"): (80, 80), ("3000", "INR"): (80, 80)}


async def test_another_agencys_journals_are_not_counted(agency: Any, other_agency: Any, clock: Any) -> None:
    await post(other_agency, clock, (0, "1000", "3000", "INR", 500))
    assert rows(await read(agency, DAY)) == {}


async def test_a_journal_with_several_lines_of_an_account_adds_one_row_of_totals(agency: Any, clock: Any) -> None:
    once = posting(agency, clock, (0, "1000", "3000", "INR", 5))
    thrice = replace(once, draft=replace(once.draft, drafts=once.draft.drafts * 3))
    assert isinstance(await agency.store.ask(thrice), str)
    assert rows(await read(agency, DAY)) == {("1000", "INR"): (15, 0), ("3000", "INR"): (0, 15)}
    assert await agency.db.fetchval("SELECT count(*) FROM daily_totals") == 2
