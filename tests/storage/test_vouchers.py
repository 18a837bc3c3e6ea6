"""Journals as vouchers: each once, of one agency, and together what the trial balance says (business 8.5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from tests.ledgers import Ledger
from tests.vouchers import JOURNALS, Files, account_codes, begun, by_account, exported, read_ledgers, read_vouchers
from voyagent.actors.domain.books import DraftLine
from voyagent.actors.domain.documents import InvoiceLine
from voyagent.actors.domain.money import Money
from voyagent.http import tally_export
from voyagent.storage import vouchers
from voyagent.storage.books import bills, invoices, payments
from voyagent.storage.engine.errors import StorageUnavailable
from voyagent.storage.engine.operations import Query, Report
from voyagent.storage.engine.pool import Engine, connect
from voyagent.storage.general_ledger import DraftJournal, Post

START = date(2026, 4, 1)
CURRENCIES = ("INR", "USD", "AED", "KWD", "JPY")
IN_CURRENCY = """
SELECT j.id FROM journals j WHERE j.tenant_id = $1 AND j.entry_date BETWEEN $2 AND $3
   AND EXISTS (SELECT FROM journal_lines l WHERE l.journal_id = j.id AND l.currency = $4)
 ORDER BY j.entry_date, j.id
"""


def ledger_of(agency: Any, seed: int = 1, today: date = START) -> Ledger:
    return Ledger(agency.store, agency.tenant_id, Random(seed), today, today)


async def files(agency: Any, first: date = START, last: date = START, currency: str = "INR") -> Files:
    return await exported(agency.store, agency.tenant_id, first, last, currency)


async def invoice(ledger: Ledger, party: str, amount: str = "118.00", currency: str = "INR") -> Any:
    line = InvoiceLine(description="Fare", quantity=Decimal(1), unit_price=Money.of(Decimal(amount), currency))
    days = {"issue_date": ledger.today, "due_date": ledger.today + timedelta(days=30)}
    made = await ledger.store.ask(
        invoices.Create(**ledger.common, number=None, party_name=party, lines=(line,), **days)
    )
    assert isinstance(made, invoices.Issued), made
    return made


async def bill(ledger: Ledger, party: str, reference: str) -> Any:
    days = {"issue_date": ledger.today, "due_date": ledger.today}
    made = await ledger.store.ask(
        bills.Record(
            **ledger.common,
            vendor_name=party,
            vendor_reference=reference,
            amount=Money.of(Decimal(90), "INR"),
            **days,
        )
    )
    assert isinstance(made, bills.Received), made
    return made


async def manual(ledger: Ledger, *lines: tuple[str, str, int | None, int | None]) -> str:
    """A journal of lines: account, currency, debit, credit."""
    drafts = tuple(
        DraftLine(
            account=code,
            code=None,
            currency=currency,
            debit=None if debit is None else Decimal(debit),
            credit=None if credit is None else Decimal(credit),
            memo="m",
        )
        for code, currency, debit, credit in lines
    )
    common = ledger.common
    draft = DraftJournal(
        tenant_id=ledger.tenant_id,
        entry_date=ledger.today,
        narration="By hand",
        source_event="manual.journal",
        drafts=drafts,
        today=ledger.today,
        now=common["now"],
    )
    posted: str = await ledger.store.ask(
        Post(tenant_id=ledger.tenant_id, draft=draft, key=common["key"], by=common["by"])
    )
    return posted


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_t33_the_vouchers_of_random_books_add_up_to_the_trial_balance(seed: int, agency: Any) -> None:
    ledger = ledger_of(agency, seed)
    await ledger.pass_days(60)
    for as_of in (ledger.today, START + (ledger.today - START) / 2):
        report = await ledger.trial_balance(as_of)
        balances = {each.currency: each for each in report.balances}
        for currency in CURRENCIES:
            found = await files(agency, START, as_of, currency)
            rows = balances[currency].accounts if currency in balances else ()
            expected = {row.code: (row.debit, row.credit) for row in rows if row.debit or row.credit}
            assert by_account(found) == expected
            assert all(each.balance == 0 for each in found.read)
            ids = await agency.db.fetch(IN_CURRENCY, agency.tenant_id, START, as_of, currency)
            assert [each.attributes["REMOTEID"] for each in found.read] == [str(row["id"]) for row in ids]


async def test_t33_batches_of_any_size_make_the_same_bytes(agency: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_of(agency)
    await ledger.pass_days(60)
    whole = await files(agency, START, ledger.today)
    assert len(whole.read) > 10
    assert whole == await files(agency, START, ledger.today)
    for size in ({"JOURNALS": 3}, {"LINES": 1}, {"LINES": 5}, {"PARTIES": 1}):
        for name, value in size.items():
            monkeypatch.setattr(vouchers, name, value)
        assert await files(agency, START, ledger.today) == whole, size


async def test_a_batch_has_few_lines_unless_one_journal_has_many(agency: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vouchers, "LINES", 7)
    ledger = ledger_of(agency)
    pair = (("1000", "INR", 5, None), ("3000", "INR", None, 5))
    for times in (1, 2, 5, 3, 1):
        await manual(ledger, *pair * times)
    extent = await begun(agency.store, agency.tenant_id, START, START)
    sizes, after = [], None
    while found := await agency.store.ask(vouchers.Batch(tenant_id=agency.tenant_id, of=extent, after=after)):
        sizes.append([len(each.journal.entry.lines) for each in found])
        after = found[-1].journal
    assert sizes == [[2, 4], [10], [6], [2]]


async def test_what_a_document_posts_has_its_party_its_number_and_its_references(agency: Any) -> None:
    ledger = ledger_of(agency)
    sold = (await invoice(ledger, "A & B Tours")).invoice
    bought = (await bill(ledger, "Skyline", "SKY/77")).bill
    paid = {"method": "bank_transfer", "reference": "UTR 1"}
    received = payments.Receive(
        **ledger.common, invoice_id=sold.id, amount=Money.of(Decimal(18), "INR"), received_on=START, **paid
    )
    sent = payments.Pay(**ledger.common, bill_id=bought.id, amount=None, currency="INR", paid_on=START, **paid)
    for act in (received, sent):
        assert isinstance(await agency.store.ask(act), payments.Paid)
    second = (await invoice(ledger, "A & B Tours", "5.00")).invoice
    assert await agency.store.ask(invoices.Void(**ledger.common, invoice_id=second.id, reason="A mistake"))
    found = (await files(agency)).read
    assert [(each.fields["VOUCHERTYPENAME"], each.fields.get("REFERENCE")) for each in found] == [
        ("Sales", None),
        ("Purchase", "SKY/77"),
        ("Receipt", "UTR 1"),
        ("Payment", "UTR 1"),
        ("Sales", None),
        ("Journal", second.number),
    ]
    assert [each.fields.get("VOUCHERNUMBER") for each in found] == [
        *(sold.number, bought.number, None, None, second.number, None),
    ]
    bills_of = [next(line.bill for line in each.lines if line.bill is not None) for each in found]
    assert [bill and bill[:2] for bill in bills_of] == [
        *((sold.number, "New Ref"), (bought.number, "New Ref"), (sold.number, "Agst Ref")),
        *((bought.number, "Agst Ref"), (second.number, "New Ref"), (second.number, "Agst Ref")),
    ]


async def test_a_journal_of_two_currencies_is_in_each_files_with_its_own_lines(agency: Any) -> None:
    ledger = ledger_of(agency)
    sides: tuple[Any, ...] = (("1000", "INR", 5, None), ("1000", "USD", 7, None))
    posted = await manual(ledger, *sides, ("3000", "INR", None, 5), ("3000", "USD", None, 7))
    for currency, amount in (("INR", "5.00"), ("USD", "7.00")):
        [found] = (await files(agency, currency=currency)).read
        assert found.attributes["REMOTEID"] == posted
        assert [line.amount for line in found.lines] == [f"-{amount}", amount]
    assert (await files(agency, currency="AED")).read == []
    assert (await begun(agency.store, agency.tenant_id, START, START)).others == ("USD",)
    assert (await begun(agency.store, agency.tenant_id, START, START, "AED")).others == ("INR", "USD")
    later = START + timedelta(days=1)
    assert (await begun(agency.store, agency.tenant_id, later, later)).others == ()


async def test_t33_past_days_stay_byte_for_byte_whatever_is_entered_later(agency: Any) -> None:
    ledger = ledger_of(agency)
    await invoice(ledger, "Meridian")
    await bill(ledger, "Skyline", "1")
    before = await files(agency)
    ledger.today += timedelta(days=1)
    ledger.earliest = ledger.today
    await bill(ledger, "MERIDIAN", "2")
    await invoice(ledger, "Skyline")
    await manual(ledger, ("1000", "INR", 5, None), ("3000", "INR", None, 5))
    await ledger.pass_days(10)
    assert await files(agency) == before


async def test_of_one_name_who_came_later_is_marked_in_any_letter_case_and_punctuation(agency: Any) -> None:
    ledger = ledger_of(agency)
    await bill(ledger, "Meridian Travel", "1")
    await invoice(ledger, "Skyline")
    ledger.today += timedelta(days=1)
    await invoice(ledger, "meridian-travel")
    await bill(ledger, "SKYLINE", "2")
    await bill(ledger, "Skyline", "3")
    found = await files(agency, START, ledger.today)
    named = {each.name: each.group for each in read_ledgers(found.ledgers) if each.bill_by_bill}
    assert named == {
        "Meridian Travel": "Sundry Creditors",
        "Skyline": "Sundry Debtors",
        "meridian-travel (customer)": "Sundry Debtors",
        "SKYLINE (vendor)": "Sundry Creditors",
    }
    used = {line.ledger.lower() for each in found.read for line in each.lines if line.is_party}
    assert used == {name.lower() for name in named}
    assert account_codes(found).keys() >= used


async def test_an_export_has_what_was_posted_when_it_began(agency: Any) -> None:
    ledger = ledger_of(agency)
    first = await manual(ledger, ("1000", "INR", 5, None), ("3000", "INR", None, 5))
    extent = await begun(agency.store, agency.tenant_id, START, START)
    await invoice(ledger, "Later")
    pieces = [piece async for piece in tally_export.vouchers(agency.store, agency.tenant_id, extent)]
    assert [each.attributes["REMOTEID"] for each in read_vouchers(b"".join(pieces))] == [first]
    masters = [piece async for piece in tally_export.masters(agency.store, agency.tenant_id, extent)]
    assert "Later" not in {each.name for each in read_ledgers(b"".join(masters))}


async def test_the_days_are_inclusive_and_no_others_are_exported(agency: Any) -> None:
    ledger = ledger_of(agency)
    posted = []
    for _ in range(4):
        posted.append(await manual(ledger, ("1000", "INR", 5, None), ("3000", "INR", None, 5)))
        ledger.today += timedelta(days=1)
    found = await files(agency, START + timedelta(days=1), START + timedelta(days=2))
    assert [each.attributes["REMOTEID"] for each in found.read] == posted[1:3]
    assert [each.fields["DATE"] for each in found.read] == ["20260402", "20260403"]
    assert len((await files(agency, date.min, date.max)).read) == 4


async def test_b61_nothing_of_another_agencys_books_is_exported_even_with_its_extent(
    agency: Any, other_agency: Any, database: Any
) -> None:
    theirs, ours = ledger_of(other_agency), ledger_of(agency)
    await invoice(theirs, "Zanzibar")
    await bill(theirs, "Zanzibar", "1")
    before = await files(agency)
    assert before.read == []
    assert not [each for each in read_ledgers(before.ledgers) if each.bill_by_bill]
    extent = await begun(agency.store, other_agency.tenant_id, START, START)
    foreign = (
        vouchers.Batch(tenant_id=agency.tenant_id, of=extent),
        vouchers.Parties(tenant_id=agency.tenant_id, of=extent),
    )
    for operation in foreign:
        assert await agency.store.ask(operation) == []
    await bill(ours, "Zanzibar", "1")
    assert (await begun(agency.store, agency.tenant_id, START, START)).namesakes == frozenset()

    db = await connect(database.url)  # what a statement names is not enough: the connection serves one agency
    try:
        await db.serve(agency.tenant_id)
        days = (other_agency.tenant_id, START, START, extent.newest, "INR")
        assert await db.fetch(vouchers.NAMESAKES, other_agency.tenant_id) == []
        nowhere = "00000000-0000-0000-0000-000000000000"
        assert await db.fetch(vouchers.BATCH, *days, START, nowhere, 10, 10) == []
        assert await db.fetch(vouchers.NAMED, *days, "", "", 10) == []
    finally:
        await db.close()


async def test_exports_run_beside_each_other_and_leave_the_lane_of_reports(agency: Any) -> None:
    assert issubclass(vouchers.Begin, Report)
    assert issubclass(vouchers.Parties, Report)
    assert issubclass(vouchers.Batch, Query)
    ledger = ledger_of(agency)
    await ledger.pass_days(10)
    one = await files(agency, START, ledger.today)
    assert all(each == one for each in await asyncio.gather(*(files(agency, START, ledger.today) for _ in range(12))))


async def test_every_part_of_an_export_keeps_the_deadline_of_statements(agency: Any, database: Any, admin: Any) -> None:
    await invoice(ledger_of(agency), "Meridian")
    extent = await begun(agency.store, agency.tenant_id, START, START)
    engine = await Engine.open(database.url, size=1, system_size=1, command_timeout=1.0)
    try:
        parts = (
            vouchers.Begin(tenant_id=agency.tenant_id, first=START, last=START, currency="INR"),
            vouchers.Batch(tenant_id=agency.tenant_id, of=extent),
            vouchers.Parties(tenant_id=agency.tenant_id, of=extent),
        )
        async with admin.transaction():
            await admin.execute("LOCK TABLE invoices IN ACCESS EXCLUSIVE MODE")
            for part in parts:
                with pytest.raises(StorageUnavailable):
                    await engine.run(part)
        assert [len(await engine.run(part)) for part in parts[1:]] == [1, 1]
    finally:
        await engine.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_batch_reads_its_own_journals_and_no_others_however_many_a_day_has(
    mode: str, agency: Any, database: Any, admin: Any
) -> None:
    await invoice(ledger_of(agency), "Meridian")
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(JOURNALS, agency.tenant_id, 5_000, 1)
    await admin.execute("VACUUM ANALYZE journals, journal_lines")
    extent = await begun(agency.store, agency.tenant_id, START, START)
    db = await connect(database.url)
    try:
        await db.serve(agency.tenant_id)
        await db.execute(f"SET plan_cache_mode = {mode}")
        after = await admin.fetchval("SELECT id FROM journals ORDER BY id OFFSET 2500 LIMIT 1")
        values = (agency.tenant_id, START, START, extent.newest, "INR", START, after)
        given = ", ".join([*(f"'{value}'" for value in values), f"{vouchers.JOURNALS}", f"{vouchers.LINES}"])
        await db.execute(f"PREPARE batch AS {vouchers.BATCH}")
        [(told,)] = await db.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE batch ({given})")
    finally:
        await db.close()
    plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
    scans = [node for node in nodes(plan) if "Relation Name" in node]
    assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan"}
    read = sum(node["Actual Rows"] * node["Actual Loops"] for node in scans if node["Relation Name"] == "journals")
    assert vouchers.JOURNALS <= read <= vouchers.JOURNALS + 1
