"""Random books: whatever is done in whatever order, what the documents say is what the ledger says, on any day."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voyagent.actors.domain.books import DraftLine, InvalidJournal
from voyagent.actors.domain.documents import InvalidDocument, InvoiceLine, TaxLine
from voyagent.actors.domain.money import Money
from voyagent.storage import general_ledger
from voyagent.storage.books import bills, invoices, payments, reversals
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import connect

START = date(2028, 2, 20)
"""Leap day is near."""
NOW = datetime(2028, 2, 20, 12, tzinfo=UTC)
CURRENCIES = ("INR", "KWD", "JPY")
DESKS = ("ticketing_visa", "hotels_holidays", "other")

STATES = """
WITH days AS (SELECT d::date AS as_of FROM generate_series($1::date - 3, $1::date + 60, interval '1 day') AS d),
document AS (
    SELECT 'invoice' AS kind, id, currency, total, issue_date, voided_on FROM invoices WHERE issued_at IS NOT NULL
     UNION ALL SELECT 'bill', id, currency, total, issue_date, voided_on FROM bills WHERE issued_at IS NOT NULL),
documents AS (
    SELECT as_of, kind, id, currency,
           total - coalesce((SELECT sum(amount) FROM payments p WHERE coalesce(p.invoice_id, p.bill_id) = document.id
                                AND p.paid_on <= as_of), 0) AS amount
      FROM days JOIN document ON issue_date <= as_of AND (voided_on IS NULL OR voided_on > as_of)),
ledger AS (
    SELECT as_of, CASE a.code WHEN '1100' THEN 'invoice' ELSE 'bill' END AS kind,
           coalesce(j.invoice_id, j.bill_id) AS id, l.currency,
           sum(CASE a.code WHEN '1100' THEN 1 ELSE -1 END * (coalesce(l.debit, 0) - coalesce(l.credit, 0))) AS amount
      FROM days JOIN journals j ON j.entry_date <= as_of
      JOIN journal_lines l ON l.journal_id = j.id JOIN ledger_accounts a ON a.id = l.account_id
     WHERE a.is_control GROUP BY 1, 2, 3, 4)
SELECT as_of, string_agg(concat_ws(' ', kind, id, currency, coalesce(l.amount, 0)), '; ' ORDER BY kind, id)
                  FILTER (WHERE coalesce(l.amount, 0) <> 0) AS state,
       coalesce(min(l.amount), 0) AS least,
       string_agg(concat_ws(' ', kind, id, d.amount, 'in the ledger', l.amount), '; ')
           FILTER (WHERE coalesce(d.amount, 0) <> coalesce(l.amount, 0)) AS wrong
  FROM days LEFT JOIN (documents d FULL JOIN ledger l USING (as_of, kind, id, currency)) USING (as_of)
 GROUP BY as_of ORDER BY as_of
"""
"""Of each day what is open of each document by the ledger, and where the documents themselves say something else.

The ledger's part is of control accounts alone: a line without a document would show as an id that is null.
"""
UNBALANCED = """
SELECT j.entry_date, l.currency FROM journals j JOIN journal_lines l ON l.journal_id = j.id
 GROUP BY 1, 2 HAVING sum(coalesce(l.debit, 0)) <> sum(coalesce(l.credit, 0))
"""
WRONG_LINES = """
SELECT total, subtotal, discount FROM invoice_lines
 WHERE total <> subtotal - discount
              + (SELECT coalesce(sum((tax->>'tax_amount')::numeric), 0) FROM jsonb_array_elements(taxes) AS tax)
"""
NUMBERS = "SELECT number FROM {} ORDER BY created_at, id"


def _amounts(currency: str) -> Decimal:
    return {"INR": Decimal("0.01"), "KWD": Decimal("0.001"), "JPY": Decimal(1)}[currency]


Act = tuple[Any, ...]
SIZES = st.integers(1, 200_000)
CHOICE = st.integers(0, 2)
LINE = st.tuples(
    st.sampled_from(DESKS),
    st.integers(1, 9),
    st.integers(0, 3_000_000),
    st.sampled_from((0, 500, 1800)),
    st.sampled_from((0, 0, 1, 333, 1000)),
)
WAIT = st.tuples(st.just("wait"), st.integers(1, 12))
INVOICE = st.tuples(
    st.just("invoice"),
    st.sampled_from(CURRENCIES),
    st.lists(LINE, min_size=1, max_size=3),
    st.integers(-8, 1),
    st.sampled_from((True, True, True, False)),
)
BILL = st.tuples(st.just("bill"), st.sampled_from(CURRENCIES), st.sampled_from(DESKS), SIZES, st.integers(-8, 1))
RECEIVE = st.tuples(st.just("receive"), CHOICE, st.integers(1, 10), st.integers(-4, 1))
PAY = st.tuples(st.just("pay"), CHOICE, st.integers(1, 10), st.integers(-4, 2))
VOID = st.tuples(st.just("void"), st.booleans(), CHOICE)
ACT: st.SearchStrategy[Act] = st.one_of(
    *(WAIT, WAIT, INVOICE, BILL, RECEIVE, RECEIVE, PAY, PAY, VOID, VOID),
    st.tuples(st.just("issue"), CHOICE),
    st.tuples(st.just("transfer"), st.sampled_from(CURRENCIES), SIZES, st.integers(-9, 9)),
    st.tuples(st.just("reverse"), CHOICE),
)
ACTS: st.SearchStrategy[list[Act]] = st.builds(
    lambda first, more: [*first, *more],
    st.tuples(INVOICE, INVOICE, BILL, BILL),
    st.lists(ACT, min_size=6, max_size=14),
)


@dataclass
class Books:
    """One agency's books, and what has been made in them."""

    db: Connection
    tenant_id: str
    user_id: str
    today: date = START
    keys: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)
    made: dict[str, list[str]] = field(default_factory=lambda: {"invoice": [], "bill": [], "journal": []})
    done: int = 0

    def who(self) -> dict[str, Any]:
        return {
            "tenant_id": self.tenant_id,
            "key": str(self.keys()),
            "by": self.user_id,
            "session_id": None,
            "today": self.today,
            "now": NOW + timedelta(seconds=self.keys()),
        }

    def pick(self, kind: str, choice: int) -> str | None:
        known = self.made[kind]
        return known[choice % len(known)] if known else None

    def day(self, offset: int) -> date:
        return self.today + timedelta(days=offset)

    async def do(self, act: Act) -> date | None:
        """Do it; returns the earliest day it may have changed."""
        name, *parts = act
        match name:
            case "wait":
                self.today += timedelta(days=parts[0])
                return None
            case "invoice":
                return await self._draft(*parts)
            case "bill":
                return await self._bill(*parts)
            case "transfer":
                return await self._transfer(*parts)
        changed = await self._change(name, parts)
        if changed is None:
            return None
        operation, day = changed
        result = await operation.run(self.db)
        if isinstance(result, InvalidDocument):
            return None
        self.done += 1
        return day

    async def _change(self, name: str, parts: list[Any]) -> tuple[Any, date | None] | None:
        kind = {"issue": "invoice", "receive": "invoice", "pay": "bill", "reverse": "journal"}.get(name)
        kind = kind or ("bill" if parts[0] else "invoice")
        found = self.pick(kind, parts[1] if name == "void" else parts[0])
        if found is None:
            return None
        match name:
            case "issue":
                return invoices.Issue(invoice_id=found, **self.who()), await self._dated("invoices", found)
            case "reverse":
                day = await self.db.fetchval("SELECT entry_date FROM journals WHERE id = $1", found)
                return reversals.Reverse(journal_id=found, narration="x", **self.who()), max(self.today, day)
            case "void" if kind == "bill":
                return bills.Void(bill_id=found, reason="x", **self.who()), self.today
            case "void":
                return invoices.Void(invoice_id=found, reason="x", **self.who()), self.today
        day, table = self.day(parts[2]), f"{kind}s"
        row = await self.db.fetchrow(f"SELECT total, amount_paid, currency FROM {table} WHERE id = $1", found)
        step = _amounts(row["currency"])
        amount = (row["total"] * parts[1] / 9).quantize(step)  # sometimes all of it, sometimes too much
        paid = {"method": "cash", "reference": None}
        if name == "receive":
            money = Money.of(amount, row["currency"])
            return payments.Receive(invoice_id=found, amount=money, received_on=day, **paid, **self.who()), day
        whole = None if parts[1] > 8 else amount
        return (
            payments.Pay(bill_id=found, amount=whole, currency=row["currency"], paid_on=day, **paid, **self.who()),
            day,
        )

    async def _dated(self, table: str, found: str) -> date:
        day: date = await self.db.fetchval(f"SELECT issue_date FROM {table} WHERE id = $1", found)
        return day

    async def _draft(self, currency: str, lines: list[Any], offset: int, at_once: bool) -> date | None:
        day = self.day(offset)
        draft = invoices.Draft(
            number=None,
            party_name="Asha Rao",
            issue_date=day,
            due_date=day + timedelta(days=30),
            lines=tuple(_line(currency, *line) for line in lines),
            **self.who(),
        )
        made = await draft.run(self.db)
        if isinstance(made, InvalidDocument):
            return None
        self.made["invoice"].append(made.id)
        issued = at_once and await invoices.Issue(invoice_id=made.id, **self.who()).run(self.db)
        if not isinstance(issued, invoices.Issued):
            return None
        self.done += 1
        return day

    async def _bill(self, currency: str, desk: Any, size: int, offset: int) -> date | None:
        day = self.day(offset)
        record = bills.Record(
            vendor_name="Emirates",
            vendor_reference=str(self.keys()),
            issue_date=day,
            due_date=day + timedelta(days=15),
            amount=Money.of(size * _amounts(currency), currency),
            desk=desk,
            **self.who(),
        )
        made = await record.run(self.db)
        if isinstance(made, InvalidDocument):
            return None
        self.made["bill"].append(made.bill.id)
        self.done += 1
        return day

    async def _transfer(self, currency: str, size: int, offset: int) -> date:
        day, amount, now = self.day(offset), size * _amounts(currency), NOW
        sides = (("1000", amount, None), ("3000", None, amount))
        drafts = tuple(
            DraftLine(account=account, code=None, currency=currency, debit=debit, credit=credit, memo=None)
            for account, debit, credit in sides
        )
        draft = general_ledger.DraftJournal(
            tenant_id=self.tenant_id,
            entry_date=day,
            narration="n",
            source_event="manual.journal",
            drafts=drafts,
            today=self.today,
            now=now,
        )
        post = general_ledger.Post(tenant_id=self.tenant_id, draft=draft, key=f"t:{self.keys()}", by=self.user_id)
        posted = await post.run(self.db)
        assert not isinstance(posted, InvalidJournal)
        self.made["journal"].append(posted)
        return day

    async def states(self) -> dict[date, str | None]:
        """What is open at the end of each day, by the ledger and by the documents alike."""
        rows = await self.db.fetch(STATES, START)
        assert [(row["as_of"], row["wrong"]) for row in rows if row["wrong"]] == []
        assert min(row["least"] for row in rows) >= 0
        return {row["as_of"]: row["state"] for row in rows}


def _line(currency: str, desk: Any, quantity: int, price: int, bps: int, share: int) -> InvoiceLine:
    """``share`` is what the discount takes off, in thousandths."""
    unit = Money.of(Decimal(price) / 10_000, currency)  # often more decimals than the currency has
    gross = unit.times(quantity).amount
    discount = (gross * share / 1000).quantize(Decimal("0.0001"))
    taxable = gross - discount
    tax = (taxable * bps / 10_000).quantize(Decimal("0.0001"))
    taxes = (
        (TaxLine(regime="gst_india", code="IGST", rate_bps=bps, taxable_amount=taxable, tax_amount=tax),) if tax else ()
    )
    return InvoiceLine(
        description="x",
        quantity=Decimal(quantity),
        unit_price=unit,
        taxes=taxes,
        desk=desk,
        discount=discount,
        discount_reason="Commission" if discount else None,
    )


@pytest.fixture
async def db(agency: Any, database: Any) -> AsyncIterator[Connection]:
    connection = await connect(database.url)
    await connection.serve(agency.tenant_id)
    await general_ledger.chart(connection, agency.tenant_id, NOW)
    yield connection
    await connection.close()


async def play(db: Connection, agency: Any, acts: list[Act]) -> int:
    """Do all of it in a transaction that is rolled back, judging the books after each; how much was done."""
    await db.execute("BEGIN")
    try:
        books = Books(db, agency.tenant_id, agency.user_id)
        before = await books.states()
        assert set(before.values()) == {None}
        for act in acts:
            day = await books.do(act)
            after = await books.states()
            untouched = [each for each in after if day is None or each < day]
            assert [after[each] for each in untouched] == [before[each] for each in untouched]
            before = after
        await db.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert await db.fetch(UNBALANCED) == []
        assert await db.fetch(WRONG_LINES) == []
        for table, prefix in (("invoices", "INV"), ("bills", "BILL")):
            numbers = [row["number"] for row in await db.fetch(NUMBERS.format(table))]
            assert numbers == [f"{prefix}-{count:06}" for count in range(1, len(numbers) + 1)]
        return books.done
    finally:
        await db.execute("ROLLBACK")


_SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=150, deadline=None, suppress_health_check=_SUPPRESSED)
@given(acts=ACTS)
async def test_b47_b48_documents_and_ledger_agree_on_every_day(acts: list[Act], db: Connection, agency: Any) -> None:
    await play(db, agency, acts)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
@settings(max_examples=500, deadline=None, suppress_health_check=_SUPPRESSED)
@given(acts=ACTS)
async def test_b47_b48_documents_and_ledger_agree_in_ten_thousand_books(
    acts: list[Act], part: int, db: Connection, agency: Any
) -> None:
    """In parts of 500, which can be run one by one or side by side."""
    del part
    await play(db, agency, acts)


async def test_the_books_of_these_tests_are_not_empty(db: Connection, agency: Any) -> None:
    """Each kind of act is carried out at least once in this one."""
    line = ("other", 1, 1_000_000, 1800, 333)
    acts: list[Act] = [
        ("invoice", "INR", [line], 0, False),
        ("issue", 0),
        ("receive", 0, 3, 0),
        ("bill", "INR", "other", 500, 0),
        ("pay", 0, 3, 2),
        ("wait", 9),
        ("pay", 0, 12, 0),
        ("receive", 0, 6, -1),
        ("invoice", "JPY", [line], 0, True),
        ("bill", "KWD", "other", 500, -1),
        ("wait", 3),
        ("void", False, 1),
        ("void", True, 1),
        ("transfer", "INR", 1, 5),
        ("reverse", 0),
    ]
    assert await play(db, agency, acts) == 11
