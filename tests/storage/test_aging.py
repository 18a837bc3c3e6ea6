"""Agings of random books: equal to the control accounts and the trial balance, on any day, for good (business 8.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import pytest

from tests.ledgers import Ledger, control_balances, shown
from voyagent.actors.database import StorageActor
from voyagent.actors.domain.aging import CONTROL_ACCOUNTS
from voyagent.actors.domain.business_date import business_date
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.runtime.ref import Ref
from voyagent.http.request_context import encoded
from voyagent.http.schemas.aging import AgingQuery, AgingReportResponse
from voyagent.http.schemas.trial_balance import TrialBalanceResponse

FIRST = date(2027, 12, 1)
"""The books begin here, so that many run over 29 February 2028."""
LEDGERS, MANY, PART = 150, 10_000, 500
FOREVER = date(2099, 12, 31)


@pytest.fixture
async def store(database: Any) -> AsyncIterator[Ref]:
    actor = StorageActor.start(database.url, size=4)
    yield actor
    await actor.stop_and_wait(5.0)


@pytest.fixture
async def admin_db(database: Any) -> AsyncIterator[asyncpg.Connection]:
    db = await asyncpg.connect(database.admin_url)
    yield db
    await db.close()


async def new_ledger(store: Ref, db: asyncpg.Connection, seed: int) -> Ledger:
    tenant_id = uuid7()
    await db.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Rao', $2)", tenant_id, NOW)
    return Ledger(store, tenant_id, Random(seed), today=FIRST, earliest=FIRST)


NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


async def texts(ledger: Ledger, as_of: date) -> list[bytes]:
    """The bodies of the three reports."""
    query = AgingQuery.model_validate({"from": FIRST, "to": FOREVER})
    bodies = [
        encoded(
            AgingReportResponse.of(
                ledger.tenant_id, query, as_of, side, await ledger.aging(side, as_of, query.from_, query.to)
            )
        )
        for side in CONTROL_ACCOUNTS
    ]
    balances = await ledger.trial_balance(as_of)
    return [*bodies, encoded(TrialBalanceResponse.of(ledger.tenant_id, as_of, balances))]


async def check(ledger: Ledger, as_of: date) -> None:
    """Aging, control account and trial balance agree with each other and with the model, in each currency."""
    balances = await ledger.trial_balance(as_of)
    assert all(each.in_balance for each in balances.balances)
    window = ledger.day(FIRST), ledger.day(FIRST)
    for side in CONTROL_ACCOUNTS:
        for first, last in ((FIRST, FOREVER), (min(window), max(window))):
            found = await ledger.aging(side, as_of, first, last)
            assert shown(found) == ledger.expected(side, as_of, first, last)
            for each in found:
                assert each.reconciliation.difference == 0
                assert each.total_outstanding == sum(bucket.amount for bucket in each.buckets)
                if (first, last) == (FIRST, FOREVER):
                    assert each.total_outstanding == each.reconciliation.aging_total
        control = control_balances(balances, side)
        assert control == {
            each.currency: each.reconciliation.control_account for each in found if each.reconciliation.control_account
        }
        assert control == {
            each.currency: getattr(each, side).aging_total
            for each in balances.reconciliation
            if getattr(each, side).aging_total
        }
        assert all(getattr(each, side).difference == 0 for each in balances.reconciliation)


async def check_ledger(ledger: Ledger) -> None:
    """Fill the books, print reports of some days, go on with later dates alone, and print them again."""
    await ledger.pass_days(ledger.random.randint(2, 10))
    edge = ledger.today
    days = sorted({ledger.day(FIRST), ledger.day(FIRST), edge})
    for day in days:
        await check(ledger, day)
    before = [await texts(ledger, day) for day in days]
    ledger.earliest = edge + timedelta(days=1)
    await ledger.pass_days(ledger.random.randint(1, 6))
    assert [await texts(ledger, day) for day in days] == before
    await check(ledger, ledger.today)
    await check(ledger, ledger.day(FIRST))


async def check_ledgers(store: Ref, db: asyncpg.Connection, seeds: range) -> None:
    for seed in seeds:
        try:
            await check_ledger(await new_ledger(store, db, seed))
        except AssertionError as error:
            error.add_note(f"the books of seed {seed}")
            raise


async def test_b46_b47_b48_random_books_agree_on_any_day_and_later_dates_change_no_earlier_report(
    store: Ref, admin_db: asyncpg.Connection
) -> None:
    await check_ledgers(store, admin_db, range(LEDGERS))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(LEDGERS, LEDGERS + MANY, PART))
async def test_b48_many_random_books_agree_on_any_day(first: int, store: Ref, admin_db: asyncpg.Connection) -> None:
    """In parts, which can be run one by one or side by side."""
    await check_ledgers(store, admin_db, range(first, first + PART))


async def test_t10_a_void_after_midnight_is_dated_the_agencys_own_day(store: Ref, admin_db: asyncpg.Connection) -> None:
    now = datetime(2026, 3, 31, 20, 0, tzinfo=UTC)
    today = business_date(TenantSettings(tenant_id="", timezone="Asia/Kolkata"), now)
    assert today == date(2026, 4, 1)
    ledger = await new_ledger(store, admin_db, 1)
    ledger.today = ledger.earliest = today
    await ledger.invoice()
    await ledger.void()
    assert ledger.documents[0].voided == today
    for day in (date(2026, 3, 31), today):
        balances = await ledger.trial_balance(day)
        assert all(each.in_balance for each in balances.balances)
        assert {getattr(each, side).difference for each in balances.reconciliation for side in CONTROL_ACCOUNTS} == {0}
        assert control_balances(balances, "receivables") == {}
        assert shown(await ledger.aging("receivables", day, FIRST, FOREVER)) == {}
