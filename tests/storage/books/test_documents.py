"""Documents in the database: what has been paid stays, numbers have no gaps, and half an act leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from tests.waiting import until
from voyagent.actors.domain.books import CHART, DraftLine
from voyagent.actors.domain.documents import InvoiceLine
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.domain.money import Money
from voyagent.storage import general_ledger
from voyagent.storage.books import bills, invoices, lists, payments, reversals
from voyagent.storage.books.act import Judge
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import connect

DAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
STATE = """
SELECT (SELECT count(*) FROM invoices), (SELECT count(*) FROM invoice_lines), (SELECT count(*) FROM bills),
       (SELECT count(*) FROM payments), (SELECT count(*) FROM journals), (SELECT count(*) FROM journal_lines),
       (SELECT coalesce(sum(amount_paid), 0) FROM invoices), (SELECT coalesce(sum(next), 0) FROM document_counters),
       (SELECT count(*) FROM invoices WHERE status <> 'draft')
"""

ANOTHER_LINE = """
INSERT INTO invoice_lines (tenant_id, invoice_id, line_no, description, quantity, unit_price, subtotal, total,
                           discount, discount_reason)
SELECT tenant_id, id, 2, 'x', 1, 5, 5, 5, {} FROM invoices
"""
BY_AN_EARLIER_RELEASE = """
INSERT INTO invoice_lines (tenant_id, invoice_id, line_no, description, quantity, unit_price, subtotal, total)
SELECT tenant_id, id, 2, 'x', 1, 5, 5, 5 FROM invoices WHERE id = $1
"""
BLOCKED = "SELECT count(*) = $1 FROM pg_locks WHERE NOT granted AND relation = 'journals'::regclass"


def who(agency: Any) -> dict[str, Any]:
    return {
        "tenant_id": agency.tenant_id,
        "key": uuid7(),
        "by": agency.user_id,
        "session_id": agency.session_id,
        "today": DAY,
        "now": NOW,
    }


def own(agency: Any) -> dict[str, Any]:
    return {"tenant_id": agency.tenant_id}


def draft(agency: Any, *lines: str, number: str | None = None) -> invoices.Draft:
    return invoices.Draft(
        number=number,
        party_name="Asha Rao",
        issue_date=DAY,
        due_date=DAY,
        lines=tuple(
            InvoiceLine(description="x", quantity=Decimal(1), unit_price=Money.of(price, "INR"))
            for price in lines or ("100",)
        ),
        **who(agency),
    )


def bill(agency: Any, reference: str | None = None) -> bills.Record:
    return bills.Record(
        vendor_name="Emirates",
        vendor_reference=reference or uuid7(),
        issue_date=DAY,
        due_date=DAY,
        amount=Money.of(100, "INR"),
        **who(agency),
    )


async def issued(agency: Any) -> str:
    made = await agency.store.ask(draft(agency))
    await agency.store.ask(invoices.Issue(invoice_id=made.id, **who(agency)))
    return str(made.id)


def receipt(agency: Any, invoice_id: str, amount: str = "40") -> payments.Receive:
    money = Money.of(amount, "INR")
    return payments.Receive(invoice_id=invoice_id, amount=money, received_on=DAY, method="upi", **who(agency))


@pytest.fixture
async def db(agency: Any, database: Any) -> AsyncIterator[Connection]:
    """The service's own connection, serving the agency."""
    connection = await connect(database.url)
    await connection.serve(agency.tenant_id)
    yield connection
    await connection.close()


@pytest.mark.parametrize("make", [draft, bill])
async def test_b50_sixty_four_at_once_have_consecutive_numbers(make: Any, agency: Any) -> None:
    made = await asyncio.gather(*(agency.store.ask(make(agency)) for _ in range(64)))
    numbers = [each.number if make is draft else each.bill.number for each in made]
    prefix = "INV" if make is draft else "BILL"
    assert sorted(numbers) == [f"{prefix}-{count:06}" for count in range(1, 65)]


async def test_t9_given_and_next_numbers_at_once_are_all_different(agency: Any) -> None:
    by_hand = [draft(agency, number=f"INV-{count:06}") for count in (3, 3, 7, 20)]
    made = await asyncio.gather(*(agency.store.ask(each) for each in (*by_hand, *(draft(agency) for _ in range(20)))))
    refused = [each for each in made if not hasattr(each, "number")]
    assert [each.reason for each in refused] == ["invoice_number_conflict"]
    numbers = sorted(each.number for each in made if hasattr(each, "number"))
    assert numbers == [f"INV-{count:06}" for count in range(1, 24)]


async def test_of_one_vendor_reference_at_once_one_bill_is_made(agency: Any) -> None:
    made = await asyncio.gather(*(agency.store.ask(bill(agency, "EK/1")) for _ in range(8)))
    assert sum(isinstance(each, bills.Received) for each in made) == 1
    assert {each.reason for each in made if not isinstance(each, bills.Received)} == {"duplicate_reference"}
    assert (await agency.store.ask(bill(agency))).bill.number == "BILL-000002"


async def test_of_reversals_of_one_journal_at_once_one_is_made_and_the_others_are_told_so(agency: Any) -> None:
    drafts = [
        DraftLine(account=account, code=None, currency="INR", debit=debit, credit=credit, memo=None)
        for account, debit, credit in (("1000", Decimal(5), None), ("3000", None, Decimal(5)))
    ]
    own = {"tenant_id": agency.tenant_id, "entry_date": DAY, "narration": "Capital", "source_event": "manual.journal"}
    journal = general_ledger.DraftJournal(**own, drafts=tuple(drafts), today=DAY, now=NOW)
    posted = await agency.store.ask(
        general_ledger.Post(tenant_id=agency.tenant_id, draft=journal, key="j", by=agency.user_id)
    )
    days = [DAY + timedelta(days=more) for more in range(3)]
    acts = [reversals.Reverse(journal_id=posted, narration="Wrong", entry_date=day, **who(agency)) for day in days]
    async with agency.db.transaction():
        await agency.db.execute("LOCK TABLE journals IN SHARE MODE")  # each is judged before any is written
        asked = [asyncio.create_task(agency.store.ask(act)) for act in acts]
        await until(lambda: agency.db.fetchval(BLOCKED, len(acts)))
    made = await asyncio.gather(*asked)
    [(done, day)] = [(each, day) for each, day in zip(made, days, strict=True) if isinstance(each, str)]
    assert {each.reason for each in made if not isinstance(each, str)} == {"already_reversed"}
    entries = await agency.db.fetch("SELECT id::text, entry_date FROM journals WHERE reverses = $1", posted)
    assert [tuple(entry) for entry in entries] == [(done, day)]
    again = next(act for act, each in zip(acts, made, strict=True) if isinstance(each, str))
    assert await agency.store.ask(again) == done


async def test_numbers_that_differ_in_case_alone_are_one(agency: Any) -> None:
    """As GSTR-1 reads them, and the Invoice Registration Portal since June 2025."""
    by_hand = await asyncio.gather(*(agency.store.ask(draft(agency, number=each)) for each in ("a/1", "A/1", "a/2")))
    assert sorted(getattr(each, "reason", "") for each in by_hand) == ["", "", "invoice_number_conflict"]
    assert (await agency.store.ask(draft(agency, number="A/2"))).reason == "invoice_number_conflict"
    assert (await agency.store.ask(draft(agency, number="inv-000001"))).number == "inv-000001"
    assert (await agency.store.ask(draft(agency))).number == "INV-000002"


async def test_vendor_references_that_differ_in_case_alone_are_one(agency: Any) -> None:
    made = await asyncio.gather(
        *(agency.store.ask(bill(agency, each)) for each in ("ek/\u00e91", "EK/\u00c91", "Ek/\u00e91"))
    )
    assert sorted(getattr(each, "reason", "") for each in made) == ["", "duplicate_reference", "duplicate_reference"]
    assert (await agency.store.ask(bill(agency, "EK/\u00e91"))).reason == "duplicate_reference"


async def test_a_series_without_numbers_left_is_refused(agency: Any) -> None:
    await agency.db.execute(
        "INSERT INTO tenant_settings (tenant_id, invoice_series, created_at) VALUES ($1, 'AGENCY-ONE/{n:05}', now())"
        " ON CONFLICT (tenant_id) DO UPDATE SET invoice_series = 'AGENCY-ONE/{n:05}'",
        agency.tenant_id,
    )
    await agency.store.ask(draft(agency))
    await agency.db.execute("UPDATE document_counters SET next = 99999")
    assert (await agency.store.ask(draft(agency))).number == "AGENCY-ONE/99999"
    for _ in range(2):
        assert (await agency.store.ask(draft(agency))).reason == "invoice_number_conflict"


@pytest.mark.parametrize("table", ["invoice_lines", "journals", "journal_lines", "payments"])
async def test_an_act_that_breaks_off_anywhere_leaves_nothing(table: str, agency: Any) -> None:
    """One transaction: where the database fails inside it, nothing of it stays, and the next try does all of it."""
    await agency.store.ask(general_ledger.Chart(tenant_id=agency.tenant_id, now=NOW))
    invoice_id, waiting = await issued(agency), await agency.store.ask(draft(agency))
    before = tuple(await agency.db.fetchrow(STATE))
    await agency.db.execute(f"ALTER TABLE {table} ADD CONSTRAINT broken CHECK (false) NOT VALID")
    acts: list[Any] = [
        draft(agency, "1", "2"),
        invoices.Issue(invoice_id=waiting.id, **who(agency)),
        receipt(agency, invoice_id),
        bill(agency),
    ]
    broken = {
        "invoice_lines": acts[:1],
        "journals": acts[1:],
        "journal_lines": acts[1:],
        "payments": acts[2:3],
    }[table]
    for act in broken:
        with pytest.raises(Refusal):
            await agency.store.ask(act)
        assert tuple(await agency.db.fetchrow(STATE)) == before
    await agency.db.execute(f"ALTER TABLE {table} DROP CONSTRAINT broken")
    for act in broken:
        done = await agency.store.ask(act)
        assert not hasattr(done, "reason"), done
    assert tuple(await agency.db.fetchrow(STATE)) != before


async def test_b52_a_payment_is_never_changed(agency: Any, db: Connection) -> None:
    await agency.store.ask(receipt(agency, await issued(agency)))
    for deed in (
        "UPDATE payments SET amount = 1",
        "DELETE FROM payments",
        "UPDATE invoice_lines SET total = 1",
        "DELETE FROM invoice_lines",
    ):
        for held in (db, agency.db):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await held.execute(deed)


@pytest.mark.parametrize(
    ("deed", "constraint"),
    [
        ("UPDATE invoices SET amount_paid = 100.01", "ck_invoices_amount_paid"),
        ("UPDATE invoices SET amount_paid = -1", "ck_invoices_amount_paid"),
        ("UPDATE invoices SET status = 'paid'", "ck_invoices_settled"),
        ("UPDATE invoices SET voided_on = issue_date", "ck_invoices_voided_on"),
        ("UPDATE invoices SET status = 'void'", "ck_invoices_settled"),
        ("UPDATE invoices SET status = 'void', voided_on = issue_date", "ck_invoices_settled"),
        ("UPDATE invoices SET due_date = issue_date - 1", "ck_invoices_due_date"),
        ("UPDATE invoices SET number = 'INV_1'", "ck_invoices_number"),
        ("UPDATE invoices SET number = '12345678901234567'", "ck_invoices_number"),
        ("UPDATE invoices SET status = 'open'", "ck_invoices_status"),
        ("UPDATE document_counters SET next = 0", "ck_document_counters_next"),
        (ANOTHER_LINE.format("-0.0001, NULL"), "ck_invoice_lines_discount"),
        (ANOTHER_LINE.format("5.0001, NULL"), "ck_invoice_lines_discount"),
        (ANOTHER_LINE.format("0, 'Commission'"), "ck_invoice_lines_discount_reason"),
    ],
)
async def test_the_database_holds_the_rules_of_documents(deed: str, constraint: str, agency: Any) -> None:
    await agency.store.ask(receipt(agency, await issued(agency)))
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await agency.db.execute(deed)
    assert refused.value.constraint_name == constraint


async def test_a_discount_is_kept_with_its_line_and_summed_for_its_invoice(agency: Any) -> None:
    plain = draft(agency, "9154.00", "100", "50")
    first, second, third = plain.lines
    given = (
        replace(first, discount=Decimal("873.34"), discount_reason="Commission"),
        second,
        replace(third, discount=Decimal("0.0001")),
    )
    made = await agency.store.ask(replace(plain, lines=given))
    assert (made.total.text, made.discount.text) == ("INR 8430.66", "INR 873.3401")
    judged = await agency.store.ask(Judge(act=invoices.Issue(invoice_id=made.id, **who(agency)), **own(agency)))
    assert judged == invoices.DraftedInvoice(made, given)
    done = await agency.store.ask(invoices.Issue(invoice_id=made.id, **who(agency)))
    assert (done.invoice.total, done.invoice.discount) == (made.total, made.discount)
    paid = await agency.store.ask(receipt(agency, made.id, "8430.66"))
    assert (paid.status, paid.due.text) == ("paid", "INR 0.00")
    everything = await agency.store.ask(
        lists.Invoices(**own(agency), statuses=("paid",), party=None, due_before=None, limit=9)
    )
    assert [each.discount for each in everything.documents] == [made.discount]
    column = "SELECT subtotal, discount, total FROM invoice_lines ORDER BY line_no"
    assert [" ".join(f"{each:f}" for each in row) for row in await agency.db.fetch(column)] == [
        "9154.0000 873.3400 8280.6600",
        "100.0000 0.0000 100.0000",
        "50.0000 0.0001 49.9999",
    ]


async def test_a_line_of_an_earlier_release_has_no_discount(agency: Any) -> None:
    made = await agency.store.ask(draft(agency))
    await agency.db.execute(BY_AN_EARLIER_RELEASE, made.id)
    judged = await agency.store.ask(Judge(act=invoices.Issue(invoice_id=made.id, **who(agency)), **own(agency)))
    assert [(line.discount, line.discount_reason) for line in judged.lines] == [(0, None)] * 2
    assert judged.invoice.discount.amount == 0


async def test_another_agencys_documents_do_not_exist(agency: Any, other_agency: Any) -> None:
    invoice_id = await issued(agency)
    theirs = who(agency) | {"tenant_id": other_agency.tenant_id}
    for act in (
        invoices.Void(invoice_id=invoice_id, reason="x", **theirs),
        replace(receipt(agency, invoice_id), tenant_id=other_agency.tenant_id),
    ):
        assert (await agency.store.ask(act)).reason == "not_found"


async def test_an_older_agencys_chart_is_completed_when_it_is_read(agency: Any) -> None:
    old = "INSERT INTO ledger_accounts (id, tenant_id, code, name, type, created_at) VALUES ($1, $2, $3, 'Old', $4, $5)"
    kept = {"1000": uuid7(), "2100": uuid7()}
    for code, kind in (("1000", "asset"), ("2100", "liability")):
        await agency.db.execute(old, kept[code], agency.tenant_id, code, kind, NOW)
    chart = await agency.store.ask(general_ledger.Chart(tenant_id=agency.tenant_id, now=NOW))
    assert [each.code for each in chart] == [each.code for each in CHART]
    assert {each.code: each.id for each in chart if each.name == "Old"} == kept
