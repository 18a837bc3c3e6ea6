"""Reports over a million journal lines: under 300 ms at the database, without reading the lines."""

from __future__ import annotations

import json
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import ledgers
from voyagent.actors.domain.aging import CONTROL_ACCOUNTS
from voyagent.storage import aging, trial_balance
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import connect

TENANT = "00000000-0000-7000-8000-000000000001"
PAIRS = 115_000
"""Invoices, and as many bills: an invoice posts three lines and its payment two, a bill two and its payment two."""
TODAY, FIRST = date(2026, 11, 29), date(2023, 11, 30)
BOUND = 0.3
ATTEMPTS = 7

FILL = f"""
SET statement_timeout = 0; SET session_replication_role = replica;
INSERT INTO tenants (id, display_name, created_at, updated_at) VALUES ('{TENANT}', 'Rao Travels', now(), now());
INSERT INTO ledger_accounts (id, tenant_id, code, name, type, is_control, created_at, updated_at)
SELECT gen_random_uuid(), '{TENANT}', code, code, type, code IN ('1100', '2000'), now(), now()
  FROM (VALUES ('1000', 'asset'), ('1100', 'asset'), ('2000', 'liability'), ('2100', 'liability'),
               ('4000', 'revenue'), ('4100', 'revenue'), ('5000', 'expense'), ('5100', 'expense')) AS a (code, type);
CREATE TEMPORARY TABLE deal AS
SELECT n, gen_random_uuid() AS invoice, gen_random_uuid() AS bill, '{FIRST}'::date + n % 1090 AS issued,
       '{FIRST}'::date + n % 1090 + (n / 1090) % 60 AS paid,
       n % 20 = 0 AS is_open, (ARRAY['INR', 'INR', 'INR', 'INR', 'AED', 'USD'])[1 + n / 1090 % 6] AS currency,
       (1000 + n % 977)::numeric(18, 4) AS net, (1000 + n % 977) * 0.18 AS tax, 'Party ' || n % 1013 AS party
  FROM generate_series(1, {PAIRS}) AS n;
UPDATE deal SET is_open = true WHERE paid > '{TODAY}';
INSERT INTO invoices (id, tenant_id, status, number, party_name, issue_date, due_date, currency, total, amount_paid,
                      issued_at, idempotency_key, created_at, updated_at)
SELECT invoice, '{TENANT}', CASE WHEN is_open THEN 'issued' ELSE 'paid' END, 'INV-' || n, party, issued, issued + 30,
       currency, net + tax, CASE WHEN is_open THEN 0 ELSE net + tax END, now(), 'i' || n, now(), now() FROM deal;
INSERT INTO bills (id, tenant_id, vendor_reference, status, number, party_name, issue_date, due_date, currency, total,
                   amount_paid, issued_at, idempotency_key, created_at, updated_at)
SELECT bill, '{TENANT}', 'V' || n, CASE WHEN is_open THEN 'received' ELSE 'paid' END, 'BILL-' || n, party, issued,
       issued + 30, currency, net, CASE WHEN is_open THEN 0 ELSE net END, now(), 'b' || n, now(), now() FROM deal;
CREATE TEMPORARY TABLE entry AS
SELECT gen_random_uuid() AS id, n, kind, CASE kind WHEN 'paid' THEN paid WHEN 'sent' THEN paid ELSE issued END AS day
  FROM deal, unnest(ARRAY['issue', 'receive', 'paid', 'sent']) AS kind
 WHERE NOT is_open OR kind IN ('issue', 'receive');
INSERT INTO journals (id, tenant_id, entry_date, narration, source_event, line_count, idempotency_key, posted_at)
SELECT id, '{TENANT}', day, kind, kind, CASE kind WHEN 'issue' THEN 3 ELSE 2 END, kind || n, now() FROM entry;
INSERT INTO payments (id, tenant_id, invoice_id, bill_id, amount, currency, method, paid_on, journal_id,
                      idempotency_key, created_at)
SELECT gen_random_uuid(), '{TENANT}', CASE kind WHEN 'paid' THEN invoice END, CASE kind WHEN 'sent' THEN bill END,
       CASE kind WHEN 'paid' THEN net + tax ELSE net END, currency, 'upi', paid, id, kind || n, now()
  FROM entry JOIN deal USING (n) WHERE kind IN ('paid', 'sent');
INSERT INTO journal_lines (tenant_id, journal_id, line_no, account_id, currency, debit, credit)
SELECT '{TENANT}', e.id, l.place, a.id, d.currency,
       CASE WHEN l.side = 1 THEN CASE l.part WHEN 'net' THEN net WHEN 'tax' THEN tax ELSE net + tax END END,
       CASE WHEN l.side = 2 THEN CASE l.part WHEN 'net' THEN net WHEN 'tax' THEN tax ELSE net + tax END END
  FROM entry e JOIN deal d USING (n)
  JOIN (VALUES ('issue', 1, '1100', 1, 'all'), ('issue', 2, '4000', 2, 'net'), ('issue', 3, '2100', 2, 'tax'),
               ('receive', 1, '5000', 1, 'net'), ('receive', 2, '2000', 2, 'net'),
               ('paid', 1, '1000', 1, 'all'), ('paid', 2, '1100', 2, 'all'),
               ('sent', 1, '2000', 1, 'net'), ('sent', 2, '1000', 2, 'net')) AS l (kind, place, code, side, part)
    ON l.kind = e.kind
  JOIN ledger_accounts a ON a.tenant_id = '{TENANT}' AND a.code = l.code;
INSERT INTO daily_totals (tenant_id, account_id, currency, entry_date, debit, credit)
SELECT l.tenant_id, l.account_id, l.currency, j.entry_date, coalesce(sum(l.debit), 0), coalesce(sum(l.credit), 0)
  FROM journal_lines l JOIN journals j ON j.id = l.journal_id GROUP BY 1, 2, 3, 4;
SET session_replication_role = origin;
"""


async def median(db: Connection, work: Callable[[], Awaitable[Any]]) -> float:
    """The median of the processor time that the database takes, in seconds: what an idle machine would need."""
    times = []
    for _ in range(ATTEMPTS):
        began = processor_time(db.get_server_pid())
        await work()
        times.append((processor_time(db.get_server_pid()) - began) / 1_000_000_000)
    return statistics.median(times)


def processor_time(pid: int) -> int:
    """Nanoseconds that a process was on a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0])


async def scanned(db: Connection, sql: str, *values: Any) -> set[tuple[str, str]]:
    """The tables that the plan reads, with the kind of node that does."""
    [(told,)] = await db.fetch(f"EXPLAIN (FORMAT JSON) {sql}", *values)
    nodes, found = [(json.loads(told) if isinstance(told, str) else told)[0]["Plan"]], set()
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if "Relation Name" in node:
            found.add((node["Relation Name"], node["Node Type"]))
    return found


@pytest.fixture
async def db(database: Any, admin: Connection) -> AsyncIterator[Connection]:
    """A connection that serves the agency of a million lines."""
    await admin.execute(FILL, timeout=300)
    await admin.execute("VACUUM (ANALYZE) journal_lines, daily_totals, invoices, bills, payments", timeout=120)
    assert await admin.fetchval("SELECT count(*) FROM journal_lines") >= 1_000_000
    connection = await connect(database.url)
    await connection.serve(TENANT)
    await connection.execute("SET max_parallel_workers_per_gather = 0")  # processor time is that of one process
    yield connection
    await connection.close()


@pytest.mark.slow
async def test_reports_over_a_million_journal_lines_take_less_than_300_ms(db: Connection) -> None:
    for as_of in (TODAY, date(2026, 6, 30), date(2025, 6, 30), date(2023, 12, 31)):
        balance = trial_balance.Read(tenant_id=TENANT, as_of=as_of, default_currency="INR", include_zero=False)
        seconds = {"trial balance": await median(db, partial(balance.run, db))}
        control = control_balances(await balance.run(db))
        for side in CONTROL_ACCOUNTS:
            wanted = aging.Read(
                tenant_id=TENANT, side=side, first=FIRST, last=as_of, as_of=as_of, default_currency="INR"
            )
            seconds[side] = await median(db, partial(wanted.run, db))
            found = await wanted.run(db)
            assert {each.currency for each in found} == {"INR", "AED", "USD"}
            for each in found:
                assert each.total_outstanding == each.reconciliation.aging_total > 0
                assert each.reconciliation.difference == 0
                assert each.reconciliation.control_account == control[side][each.currency]
            plan = await scanned(db, aging.AGINGS[side], TENANT, as_of, FIRST, as_of)
            assert {table for table, _ in plan} == {"payments", "invoices" if side == "receivables" else "bills"}
            if as_of == TODAY:
                assert "Seq Scan" not in {node for _, node in plan}, "what is settled is not read"
        print(as_of, {name: f"{1000 * each:.0f} ms" for name, each in seconds.items()})  # noqa: T201  # for figures.md
        assert sum(seconds.values()) < BOUND, as_of
    plan = await scanned(
        db, trial_balance.TOTALS.sql, *trial_balance.TOTALS.arguments({"tenant_id": TENANT, "as_of": TODAY})
    )
    assert {table for table, _ in plan} == {"daily_totals"}


def control_balances(report: Any) -> dict[str, dict[str, Any]]:
    return {side: ledgers.control_balances(report, side) for side in CONTROL_ACCOUNTS}
