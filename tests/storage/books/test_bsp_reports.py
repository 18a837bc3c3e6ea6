"""Statements and reconciliations are kept once, whoever else keeps them at the same moment, and by agency."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.actors.domain.test_bsp import inr, report, transaction
from tests.actors.domain.test_reconciliation import ticket
from voyagent.actors.domain import ids
from voyagent.actors.domain.bsp import Report
from voyagent.actors.domain.reconciliation import reconcile
from voyagent.storage.books import bsp_reports, reconciliations
from voyagent.storage.engine.errors import OperationFailed

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


async def keep(agency: Any, given: Report) -> str:
    row = bsp_reports.row_of(given)
    kept: str = await agency.store.ask(bsp_reports.Keep(tenant_id=agency.tenant_id, id=ids.uuid7(), row=row, now=NOW))
    return kept


async def test_b55_of_many_at_once_one_statement_is_kept_and_all_get_its_id(agency: Any) -> None:
    given = report(transaction(commission=inr("-873.3350"), conjunctions=("1252400123457",)))
    kept = await asyncio.gather(*(keep(agency, given) for _ in range(16)))
    assert len(set(kept)) == 1
    row = await agency.store.ask(bsp_reports.Read(tenant_id=agency.tenant_id, id=kept[0]))
    assert bsp_reports.report_of(row) == given
    assert await keep(agency, report(transaction(gross=inr(1), net=inr(1)))) != kept[0]


async def test_b61_each_agency_keeps_its_own(agency: Any, other_agency: Any) -> None:
    ours, theirs = await keep(agency, report(transaction())), await keep(other_agency, report(transaction()))
    assert ours != theirs
    assert await agency.store.ask(bsp_reports.Read(tenant_id=agency.tenant_id, id=theirs)) is None


async def test_b55_of_many_at_once_one_result_is_kept(agency: Any) -> None:
    given = report(transaction(), transaction(document_number="1252400123459"))
    of = await keep(agency, given)
    row = reconciliations.row_of(reconcile(given, [ticket()], allowed={}))

    async def kept() -> str:
        made: str = await agency.store.ask(
            reconciliations.Keep(tenant_id=agency.tenant_id, id=ids.uuid7(), report_id=of, row=row, now=NOW)
        )
        return made

    assert len(set(await asyncio.gather(*(kept() for _ in range(16))))) == 1
    stored = await agency.db.fetchrow("SELECT matched, unmatched_external, items::text AS items FROM reconciliations")
    assert (stored["matched"], stored["unmatched_external"]) == (1, 1)
    assert '"delta": "INR 45200.00"' in stored["items"]


async def test_a_result_is_of_a_statement_of_the_same_agency(agency: Any, other_agency: Any) -> None:
    theirs = await keep(other_agency, report(transaction()))
    row = reconciliations.row_of(reconcile(report(), [], allowed={}))
    keeping = reconciliations.Keep(tenant_id=agency.tenant_id, id=ids.uuid7(), report_id=theirs, row=row, now=NOW)
    with pytest.raises(OperationFailed):
        await agency.store.ask(keeping)
    assert await agency.db.fetchval("SELECT count(*) FROM reconciliations") == 0
