"""The books in the database: nothing unbalanced is committed, nothing posted is changed, and a key posts once.

``JOURNAL`` and ``LINE`` are written past the service, by its own role: the database alone refuses then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voyagent.actors.domain import ids
from voyagent.actors.domain.books import CHART, DraftLine, InvalidJournal
from voyagent.actors.domain.documents import InvoiceLine
from voyagent.actors.domain.money import Money
from voyagent.storage import general_ledger
from voyagent.storage.books import bills, invoices
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import connect

DAY = date(2026, 11, 23)


@pytest.fixture
async def db(agency: Any, database: Any) -> AsyncIterator[Connection]:
    """The service's own connection, serving the agency."""
    connection = await connect(database.url)
    await connection.serve(agency.tenant_id)
    yield connection
    await connection.close()


def draft(agency: Any, *lines: tuple[str, str | None, str | None, str], clock: Any) -> general_ledger.DraftJournal:
    return general_ledger.DraftJournal(
        tenant_id=agency.tenant_id,
        entry_date=DAY,
        narration="Capital",
        source_event="manual.journal",
        drafts=tuple(
            DraftLine(
                account=account,
                code=None,
                currency=currency,
                debit=None if debit is None else Decimal(debit),
                credit=None if credit is None else Decimal(credit),
                memo=None,
            )
            for account, debit, credit, currency in lines
        ),
        today=DAY,
        now=clock.now(),
    )


def capital(agency: Any, clock: Any) -> general_ledger.DraftJournal:
    return draft(agency, ("1000", "500", None, "INR"), ("3000", None, "500", "INR"), clock=clock)


def posting(wanted: general_ledger.DraftJournal, agency: Any, key: str = "call:1") -> general_ledger.Post:
    return general_ledger.Post(tenant_id=agency.tenant_id, draft=wanted, key=key, by=agency.user_id)


async def test_b54_every_agency_has_the_chart_and_its_ids_stay(agency: Any, other_agency: Any, clock: Any) -> None:
    wanted = general_ledger.Chart(tenant_id=agency.tenant_id, now=clock.now())
    first, *rest = await asyncio.gather(*(agency.store.ask(wanted) for _ in range(8)))
    assert all(each == first for each in rest), "first readers agree"
    assert [(each.code, each.name, each.is_control) for each in first] == [
        (each.code, each.name, each.is_control) for each in CHART
    ]
    theirs = await agency.store.ask(replace(wanted, tenant_id=other_agency.tenant_id))
    assert not {each.id for each in theirs} & {each.id for each in first}
    assert general_ledger.find_account(first, first[0].id.upper()) == first[0]
    assert general_ledger.find_account(first, "1000") == first[0]
    assert general_ledger.find_account(first, theirs[0].id) is None


async def test_b52_a_journal_is_posted_once_per_key(agency: Any, clock: Any) -> None:
    post = posting(capital(agency, clock), agency)
    posted = await asyncio.gather(*(agency.store.ask(post) for _ in range(8)))
    assert len(set(posted)) == 1
    assert await agency.store.ask(posting(capital(agency, clock), agency, "call:2")) != posted[0]
    assert await agency.db.fetchval("SELECT count(*) FROM journals") == 2
    assert await agency.db.fetchval("SELECT count(*) FROM journal_lines") == 4


async def test_b49_balances_are_of_each_currency_and_of_a_day(agency: Any, clock: Any) -> None:
    dollars = draft(agency, ("1000", "3", None, "USD"), ("3000", None, "3", "USD"), clock=clock)
    await agency.store.ask(posting(capital(agency, clock), agency))
    await agency.store.ask(posting(replace(dollars, entry_date=date(2026, 11, 24)), agency, "call:2"))

    async def balances(account: str, day: date) -> list[str] | None:
        asked = general_ledger.Balances(tenant_id=agency.tenant_id, account=account, as_of=day, now=clock.now())
        found = await agency.store.ask(asked)
        return None if found is None else [each.text for each in found]

    assert await balances("1000", date(2026, 11, 22)) == []
    assert await balances("1000", DAY) == ["INR 500.00"]
    assert await balances("3000", date(2026, 11, 24)) == ["INR -500.00", "USD -3.00"]
    assert await balances("9999", DAY) is None


async def test_b54_an_unfit_journal_is_answered_and_leaves_nothing(agency: Any, clock: Any) -> None:
    control = draft(agency, ("1100", "3", None, "INR"), ("3000", None, "3", "INR"), clock=clock)
    answer = await agency.store.ask(posting(control, agency))
    assert isinstance(answer, InvalidJournal)
    assert answer.reason == "control_account"
    assert await agency.db.fetchval("SELECT count(*) FROM journals") == 0


JOURNAL = """
INSERT INTO journals (id, tenant_id, entry_date, narration, source_event, line_count, idempotency_key, posted_at)
VALUES ($1, $2, $3, 'x', 'x', $4, $1::uuid::text, now())
"""
LINE = """
INSERT INTO journal_lines (tenant_id, journal_id, line_no, account_id, currency, debit, credit)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
Raw = tuple[str, Decimal | None, Decimal | None]
SIDES = st.sampled_from([Decimal(1), Decimal(2), Decimal("0.5")])
RAW = st.tuples(st.sampled_from(["INR", "USD"]), SIDES, st.booleans()).map(
    lambda each: (each[0], each[1] if each[2] else None, None if each[2] else each[1])
)


async def write(db: Connection, agency: Any, account: str, lines: list[Raw], count: int | None = None) -> str:
    """Post past the service, as a mistake of ours would."""
    journal = ids.uuid7()
    async with db.transaction():
        await db.execute(JOURNAL, journal, agency.tenant_id, DAY, len(lines) if count is None else count)
        for place, (currency, debit, credit) in enumerate(lines, start=1):
            await db.execute(LINE, agency.tenant_id, journal, place, account, currency, debit, credit)
    return journal


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(lines=st.lists(RAW, max_size=5), missing=st.integers(0, 1))
async def test_b49_the_database_commits_exactly_what_balances(
    lines: list[Raw], missing: int, db: Connection, agency: Any, clock: Any
) -> None:
    chart = await agency.store.ask(general_ledger.Chart(tenant_id=agency.tenant_id, now=clock.now()))
    fits = (
        len(lines) >= 2
        and not missing
        and all(
            sum(debit or 0 for of, debit, _ in lines if of == currency)
            == sum(credit or 0 for of, _, credit in lines if of == currency)
            for currency in ("INR", "USD")
        )
    )
    before = await db.fetchval("SELECT count(*) FROM journals")
    if fits:
        await write(db, agency, chart[0].id, lines)
    else:
        with pytest.raises(asyncpg.CheckViolationError):
            await write(db, agency, chart[0].id, lines, max(2, len(lines)) + missing)
    assert await db.fetchval("SELECT count(*) FROM journals") == before + fits


BALANCED: list[Raw] = [("INR", Decimal(1), None), ("INR", None, Decimal(1))]


@pytest.mark.parametrize(
    "line",
    [
        ("INR", None, None),
        ("INR", Decimal(1), Decimal(1)),
        ("INR", Decimal(0), None),
        ("INR", Decimal(-1), None),
        ("inr", Decimal(1), None),
    ],
)
async def test_a_line_without_one_side_above_zero_is_refused_at_once(
    line: Raw, db: Connection, agency: Any, clock: Any
) -> None:
    chart = await agency.store.ask(general_ledger.Chart(tenant_id=agency.tenant_id, now=clock.now()))
    with pytest.raises(asyncpg.CheckViolationError):
        await write(db, agency, chart[0].id, [line, *BALANCED])


async def test_nothing_is_added_to_a_posted_journal_even_if_it_balances(
    db: Connection, agency: Any, clock: Any
) -> None:
    chart = await agency.store.ask(general_ledger.Chart(tenant_id=agency.tenant_id, now=clock.now()))
    journal = await write(db, agency, chart[0].id, BALANCED)

    async def add() -> None:
        async with db.transaction():
            for place, (currency, debit, credit) in enumerate(BALANCED, start=3):
                await db.execute(LINE, agency.tenant_id, journal, place, chart[0].id, currency, debit, credit)

    with pytest.raises(asyncpg.CheckViolationError):
        await add()
    assert await db.fetchval("SELECT count(*) FROM journal_lines") == 2


DEEDS = [
    "UPDATE journals SET narration = 'nothing'",
    "UPDATE journals SET id = id",
    "DELETE FROM journals",
    "TRUNCATE journals CASCADE",
    "UPDATE journal_lines SET debit = 2 WHERE debit = 1",
    "DELETE FROM journal_lines",
    "TRUNCATE journal_lines",
]


@pytest.mark.parametrize("deed", DEEDS)
async def test_b52_what_is_posted_stays(deed: str, db: Connection, agency: Any, clock: Any) -> None:
    chart = await agency.store.ask(general_ledger.Chart(tenant_id=agency.tenant_id, now=clock.now()))
    await write(db, agency, chart[0].id, BALANCED)
    for held in (db, agency.db):  # by the grant; and by the trigger, which holds a superuser, too
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await held.execute(deed)
    with pytest.raises(asyncpg.PostgresError):
        await db.execute("DELETE FROM ledger_accounts WHERE code = '1000'")


DOCUMENTED = """
INSERT INTO journals (id, tenant_id, entry_date, narration, source_event, line_count, idempotency_key, posted_at,
                      invoice_id, bill_id)
VALUES ($1, $2, $3, 'x', 'x', 2, $1::uuid::text, now(), $4, $5)
"""


async def documents(agency: Any, clock: Any) -> dict[str | None, tuple[str | None, str | None]]:
    """An invoice and a bill in the books, and no document: what a journal says it belongs to."""
    common = {"tenant_id": agency.tenant_id, "by": agency.user_id, "session_id": None, "today": DAY, "now": clock.now()}
    dates, price = {"issue_date": DAY, "due_date": DAY}, Money.of(100, "INR")
    line = InvoiceLine(description="Fare", quantity=Decimal(1), unit_price=price)
    issued = await agency.store.ask(
        invoices.Create(**common, **dates, key="i", number=None, party_name="Asha Rao", lines=(line,))
    )
    received = await agency.store.ask(
        bills.Record(**common, **dates, key="b", vendor_name="Emirates", vendor_reference="EK-1", amount=price)
    )
    return {"invoice": (issued.invoice.id, None), "bill": (None, received.bill.id), None: (None, None)}


@pytest.mark.parametrize(("code", "document"), [("1100", "invoice"), ("2000", "bill")])
async def test_b54_a_control_account_takes_lines_of_its_documents_alone(
    code: str, document: str, db: Connection, agency: Any, clock: Any
) -> None:
    known = await documents(agency, clock)
    accounts = {each.code: each.id for each in await general_ledger.chart(db, agency.tenant_id, clock.now())}

    async def put(kind: str | None) -> None:
        journal = ids.uuid7()
        async with db.transaction():
            await db.execute(DOCUMENTED, journal, agency.tenant_id, DAY, *known[kind])
            for place, (account, debit, credit) in enumerate((("1000", 1, None), (code, None, 1)), start=1):
                await db.execute(LINE, agency.tenant_id, journal, place, accounts[account], "INR", debit, credit)

    count = "SELECT count(*) FROM journals"
    before = await db.fetchval(count)
    for kind in known:
        if kind == document:
            await put(kind)
            continue
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await put(kind)
        assert refused.value.constraint_name == "control_account"
    assert await db.fetchval(count) == before + 1


@pytest.mark.parametrize("change", ["is_control = NOT is_control", "code = '9' || code", "type = 'equity'"])
async def test_b54_an_account_stays_what_it_is(change: str, db: Connection, agency: Any, clock: Any) -> None:
    await general_ledger.chart(db, agency.tenant_id, clock.now())
    for held in (db, agency.db):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await held.execute(f"UPDATE ledger_accounts SET {change} WHERE code = '1100'")
    assert await db.execute("UPDATE ledger_accounts SET name = 'Debtors' WHERE code = '1100'") == "UPDATE 1"


async def test_b52_a_key_and_a_reversal_are_once_in_the_database_too(db: Connection, agency: Any, clock: Any) -> None:
    chart = await agency.store.ask(general_ledger.Chart(tenant_id=agency.tenant_id, now=clock.now()))
    journal = await write(db, agency, chart[0].id, BALANCED)
    columns = "tenant_id, entry_date, narration, source_event, line_count, idempotency_key, reverses, posted_at"
    again = f"""
        WITH again AS (INSERT INTO journals (id, {columns})
                       SELECT $2, tenant_id, entry_date, 'x', 'x', 2, $3, $4, posted_at FROM journals WHERE id = $1
                       RETURNING id)
        INSERT INTO journal_lines (tenant_id, journal_id, line_no, account_id, currency, debit, credit)
        SELECT l.tenant_id, again.id, l.line_no, l.account_id, l.currency, l.credit, l.debit
          FROM again, journal_lines l WHERE l.journal_id = $1
    """
    await db.execute(again, journal, ids.uuid7(), "reversal", journal)
    for key, reverses, broken in (
        ("reversal", None, "uq_journals_idempotency_key"),
        ("another", journal, "uq_journals_reverses"),
    ):
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await db.execute(again, journal, ids.uuid7(), key, reverses)
        assert refused.value.constraint_name == broken
    assert await db.fetchval("SELECT count(*) FROM journals") == 2
