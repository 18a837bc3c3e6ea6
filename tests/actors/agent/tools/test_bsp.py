"""The accounting desk fetches statements of a BSP and reconciles them with the agency's tickets (business 12.4)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.actors.suppliers.bsp.files import CARD_SALE, DEBIT, OURS, REFUND, Hot, Line, Office
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.tool import InputInvalid
from voyagent.actors.domain import ids
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.suppliers.bsp.driver import StatementFiles
from voyagent.actors.suppliers.clients import AgencySuppliers
from voyagent.actors.suppliers.supplier import SupplierActor
from voyagent.storage.travel import bookings
from voyagent.storage.travel.tickets import IssuedTicket

PERIOD = {"country": "IN", "period_start": "2026-11-16", "period_end": "2026-11-22"}
FRIDAY = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def source(desk: Any, where: Path | None, numbers: str = OURS) -> Any:
    async def known() -> str:
        return numbers

    driver = StatementFiles(where, known)
    return SupplierActor.start(name="bsp", statements=driver, clock=desk.clock, close=driver.close)


@pytest.fixture
async def folder(desk: Any, tmp_path: Path) -> AsyncIterator[Path]:
    ref = source(desk, tmp_path)
    desk.context = replace(desk.context, suppliers=AgencySuppliers(desk.agency.tenant_id, ["bsp"], ref))
    yield tmp_path
    await ref.stop_and_wait(5.0)


async def sold(
    desk: Any, *numbers: str, cost: str = "45200", currency: str = "INR", at: datetime = FRIDAY
) -> list[str]:
    """A ticketed booking with a ticket of each number, each of another person; answers the tickets' ids."""
    persons = [await desk.person(f"Asha Rao {word}") for word in "ABCDEF"[: len(numbers)]]
    issued = [
        IssuedTicket(id=ids.uuid7(), number=number, passenger_id=person)
        for number, person in zip(numbers, persons, strict=True)
    ]
    await desk.agency.store.ask(
        bookings.Record(
            tenant_id=desk.agency.tenant_id,
            id=ids.uuid7(),
            session_id=None,
            tool_call_id=await desk.agency.call("book_flight"),
            kind="flight",
            supplier="house",
            supplier_ref=ids.uuid7(),
            locator="ABC234",
            status="ticketed",
            offer_id=None,
            cost=Decimal(cost),
            currency=currency,
            hold_expires_at=None,
            data={},
            passengers=persons,
            now=at,
            tickets=issued,
        )
    )
    return [each.id for each in issued]


def statement(*lines: Line) -> Hot:
    return Hot(offices=(Office(lines=lines),))


async def fetched(desk: Any, folder: Path, *lines: Line) -> str:
    statement(*lines).write(folder)
    found = await desk.read("fetch_bsp_statement", **PERIOD)
    assert found.state == "succeeded", found
    return str(found["report_id"])


def outcomes(found: dict[str, Any]) -> Sequence[tuple[str, str | None, list[str]]]:
    return [(each["outcome"], each["external_ref"], each["internal_refs"]) for each in found["issues"]]


async def test_b55_a_statement_is_fetched_and_kept_once(desk: Any, folder: Path) -> None:
    statement(Line(commission=-873_34), CARD_SALE, REFUND, DEBIT).write(folder)
    found = await desk.read("fetch_bsp_statement", **PERIOD)
    assert found == {
        "report_id": found["report_id"],
        "country": "IN",
        "sales_total": "INR 90,400.00",
        "refund_total": "INR -35,000.00",
        "commission_total": "INR -873.34",
        "net_remittance": "INR 9,626.66",
        "transaction_count": 4,
        "source_ref": "HOT DEL 125 261123 000041",
        "other_currencies": [],
    }
    assert await desk.read("fetch_bsp_statement", **PERIOD) == found
    assert await desk.count("bsp_reports") == 1
    row = await desk.agency.db.fetchrow("SELECT * FROM bsp_reports")
    assert (row["sales_total"], row["net_remittance"], row["airline"]) == (Decimal(90400), Decimal("9626.66"), "125")
    statement(Line()).write(folder)
    corrected = await desk.read("fetch_bsp_statement", **PERIOD)
    assert corrected["report_id"] != found["report_id"]
    assert await desk.count("bsp_reports") == 2


async def test_b55_currencies_of_a_statement_are_told_apart(desk: Any, folder: Path) -> None:
    statement(Line(), Line(number="1252400123470", currency="USD2", fare=10_00, taxes=())).write(folder)
    found = await desk.read("fetch_bsp_statement", **PERIOD)
    assert (found["sales_total"], found["transaction_count"]) == ("INR 45,200.00", 2)
    assert found["other_currencies"] == [
        {
            "sales_total": "USD 10.00",
            "refund_total": "USD 0.00",
            "commission_total": "USD 0.00",
            "net_remittance": "USD 10.00",
        }
    ]


async def test_without_a_source_nothing_is_fetched_and_nothing_is_kept(desk: Any, tmp_path: Path) -> None:
    refused = await desk.read("fetch_bsp_statement", **PERIOD)
    assert refused == {
        "fetched": False,
        "reason": "capability_not_supported",
        "detail": "No statements of a BSP are set up here.",
    }
    ref = source(desk, None)
    desk.context = replace(desk.context, suppliers=AgencySuppliers(desk.agency.tenant_id, ["bsp"], ref))
    assert (await desk.read("fetch_bsp_statement", **PERIOD))["reason"] == "capability_not_supported"
    await ref.stop_and_wait(5.0)
    assert await desk.count("bsp_reports") == 0


async def test_b55_a_broken_or_missing_statement_is_told_and_not_kept(desk: Any, folder: Path) -> None:
    missing = await desk.read("fetch_bsp_statement", **PERIOD)
    assert missing["error"].startswith("not_found: no statement of this agency for IN")
    path = Hot().write(folder)
    path.write_text(path.read_text().replace("BFT", "BXT"))
    broken = await desk.read("fetch_bsp_statement", **PERIOD)
    assert broken == {"error": "validation_failed: the file statement is broken: line 14: BFT99 is due"}
    assert await desk.count("bsp_reports") == 0


@pytest.mark.parametrize(
    "change",
    [
        {"country": "in"},
        {"country": "IND"},
        {"period_end": "2026-11-15"},
        {"period_start": "2026-09-20"},
        {"period_start": "16.11.2026"},
    ],
)
def test_a_period_that_is_none_is_refused_before_anything_is_read(change: dict[str, str]) -> None:
    with pytest.raises(InputInvalid):
        CATALOGUE["fetch_bsp_statement"].parse(PERIOD | change)


async def test_b55_a_statement_is_reconciled_with_the_agencys_own_tickets(desk: Any, folder: Path) -> None:
    await sold(desk, "1252400123456")
    [dearer] = await sold(desk, "125-2400123457", cost="45000")
    [missing] = await sold(desk, "1252400123499")
    await sold(desk, "1252400123498", at=datetime(2026, 11, 10, tzinfo=UTC))  # of another period
    report = await fetched(desk, folder, Line(), CARD_SALE, DEBIT, Line(number="1252400777777"))
    found = await desk.read("reconcile_bsp", report_id=report.upper())
    assert found["summary"] == {
        "matched": 1,
        "matched_amount": "INR 45,200.00",
        "other_matched_amounts": [],
        "unmatched_external": 2,
        "unmatched_internal": 1,
        "discrepancy": 1,
        "tentative": 0,
    }
    assert outcomes(found) == [
        ("discrepancy", "125-2400123457", [dearer]),
        ("unmatched_external", "125-2400777777", []),
        ("unmatched_external", "125-6000000001", []),
        ("unmatched_internal", None, [missing]),
    ]
    assert [each["delta"] for each in found["issues"]] == [
        "INR 200.00",
        "INR 45,200.00",
        "INR 300.00",
        "INR -45,200.00",
    ]
    assert "200.00 more than expected" in found["issues"][0]["evidence"]
    row = await desk.agency.db.fetchrow("SELECT * FROM reconciliations")
    assert (str(row["id"]), str(row["report_id"])) == (found["reconciliation_id"], report)
    assert (row["matched"], row["unmatched_external"], row["discrepancy"], len(json.loads(row["items"]))) == (
        1,
        2,
        1,
        5,
    )


async def test_b55_a_result_is_kept_once_until_it_changes(desk: Any, folder: Path) -> None:
    report = await fetched(desk, folder, Line())
    first = await desk.read("reconcile_bsp", report_id=report)
    assert await desk.read("reconcile_bsp", report_id=report) == first
    assert await desk.count("reconciliations") == 1
    await sold(desk, "1252400123456")
    later = await desk.read("reconcile_bsp", report_id=report)
    assert later["reconciliation_id"] != first["reconciliation_id"]
    assert (first["summary"]["matched"], later["summary"]["matched"]) == (0, 1)


async def test_b55_what_may_differ_is_the_setting_of_the_service(desk: Any, folder: Path) -> None:
    await sold(desk, "1252400123456", cost="45199.50")
    report = await fetched(desk, folder, Line())
    assert (await desk.read("reconcile_bsp", report_id=report))["summary"]["discrepancy"] == 1
    desk.context = replace(desk.context, allowed_differences={"INR": 50})
    assert (await desk.read("reconcile_bsp", report_id=report))["summary"]["matched"] == 1


async def test_b55_a_ticket_in_another_currency_is_tentative(desk: Any, folder: Path) -> None:
    [ours] = await sold(desk, "1252400123456", cost="500", currency="USD")
    found = await desk.read("reconcile_bsp", report_id=await fetched(desk, folder, Line()))
    assert outcomes(found) == [("tentative", "125-2400123456", [ours])]
    assert found["issues"][0]["delta"] is None


async def test_b55_a_booking_of_two_is_compared_by_its_sum(desk: Any, folder: Path) -> None:
    pair = await sold(desk, "1252400123456", "1252400123457", cost="90400.50")
    report = await fetched(desk, folder, Line(), CARD_SALE)
    found = await desk.read("reconcile_bsp", report_id=report)
    assert outcomes(found) == [("discrepancy", "125-2400123456, 125-2400123457", pair)]
    assert found["issues"][0]["delta"] == "INR -0.50"


async def test_the_other_side_are_the_tickets_named_and_a_foreign_one_is_none(
    desk: Any, folder: Path, other_agency: Any
) -> None:
    [first] = await sold(desk, "1252400123456")
    await sold(desk, "1252400123457")
    report = await fetched(desk, folder, Line(), CARD_SALE)
    found = await desk.read("reconcile_bsp", report_id=report, ticket_ids=[first, first.upper()])
    assert found["summary"]["matched"] == 1
    assert outcomes(found) == [("unmatched_external", "125-2400123457", [])]
    assert found["issues"][0]["evidence"].endswith("no ticket compared has this number.")
    for stranger in (ids.uuid7(), "twelve", other_agency.tenant_id):
        refused = await desk.read("reconcile_bsp", report_id=report, ticket_ids=[first, stranger])
        assert refused.state == "failed"
        assert "ticket_ids: no ticket of this agency" in refused["error"]


async def test_the_days_of_a_period_are_those_of_the_agencys_clocks(desk: Any, folder: Path) -> None:
    kolkata = TenantSettings(tenant_id=desk.agency.tenant_id, timezone="Asia/Kolkata")
    desk.context = replace(desk.context, settings=kolkata)
    [monday] = await sold(desk, "1252400000001", at=datetime(2026, 11, 15, 18, 30, tzinfo=UTC))
    await sold(desk, "1252400000002", at=datetime(2026, 11, 15, 18, 29, tzinfo=UTC))
    [sunday] = await sold(desk, "1252400000003", at=datetime(2026, 11, 22, 18, 29, tzinfo=UTC))
    await sold(desk, "1252400000004", at=datetime(2026, 11, 22, 18, 30, tzinfo=UTC))
    found = await desk.read("reconcile_bsp", report_id=await fetched(desk, folder))
    assert outcomes(found) == [("unmatched_internal", None, [monday]), ("unmatched_internal", None, [sunday])]
    assert "issued on 2026-11-16" in found["issues"][0]["evidence"]


async def test_many_issues_are_counted_and_the_first_ones_told(desk: Any, folder: Path) -> None:
    report = await fetched(desk, folder, *(Line(number=f"1252400{at:06d}") for at in range(60)))
    found = await desk.read("reconcile_bsp", report_id=report)
    assert (found["summary"]["unmatched_external"], len(found["issues"])) == (60, 50)


@pytest.mark.parametrize("report_id", ["r", "0193-a", "00000000-0000-7000-8000-000000000000"])
async def test_a_report_that_is_not_there_is_refused(desk: Any, report_id: str) -> None:
    assert (await desk.read("reconcile_bsp", report_id=report_id)) == {
        "reconciled": False,
        "reason": "report_not_found",
        "detail": "No statement of this agency has this id.",
    }


async def test_b55_b61_another_agencys_report_is_not_found(desk: Any, folder: Path, other_agency: Any) -> None:
    report = await fetched(desk, folder, Line())
    desk.context = replace(desk.context, tenant_id=other_agency.tenant_id)
    assert (await desk.read("reconcile_bsp", report_id=report))["reason"] == "report_not_found"
