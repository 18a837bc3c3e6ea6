"""Statements from a folder of HOT files: whose they are, of which period, and that they are sound (business 12.4)."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.actors.suppliers.bsp.files import CARD_SALE, CREDIT, DEBIT, OURS, REFUND, THEIRS, Hot, Line, Office
from voyagent.actors.domain.bsp import Report, StatementQuestion
from voyagent.actors.domain.money import Money
from voyagent.actors.suppliers.bsp import folder
from voyagent.actors.suppliers.bsp.driver import StatementFiles, agents_of
from voyagent.actors.suppliers.protocols import SupplierError

ASKED = StatementQuestion("IN", date(2026, 11, 16), date(2026, 11, 22))
OTHERS = Hot(airline="176", sequence="000007", offices=(Office(lines=(Line(number="1762400000001"),)),))


def driver(where: Path | None, numbers: str = OURS) -> StatementFiles:
    async def known() -> str:
        return numbers

    return StatementFiles(where, known)


async def fetch(where: Path, numbers: str = OURS, **changes: Any) -> Report:
    return await driver(where, numbers).fetch(replace(ASKED, **changes))


async def refusal(where: Path | None, numbers: str = OURS, **changes: Any) -> SupplierError:
    with pytest.raises(SupplierError) as refused:
        await driver(where, numbers).fetch(replace(ASKED, **changes))
    return refused.value


def numbers(found: Report) -> list[str]:
    return [each.document_number for each in found.transactions]


async def test_b55_a_statement_is_the_agencys_of_exactly_the_country_and_period(tmp_path: Path) -> None:
    Hot(offices=(Office(lines=(Line(), CARD_SALE, REFUND, DEBIT, CREDIT)),)).write(tmp_path)
    found = await fetch(tmp_path)
    assert (found.agents, found.country, found.airline, found.currency) == ((OURS,), "IN", "125", "INR")
    assert (found.period_start, found.period_end) == (date(2026, 11, 16), date(2026, 11, 22))
    assert found.source_ref == "HOT DEL 125 261123 000041"
    totals = found.totals["INR"]
    assert (totals.sales, totals.refunds) == (Money.of("90400", "INR"), Money.of("-35000", "INR"))
    assert totals.net == Money.of("10479.50", "INR")
    for changes in ({"country": "AE"}, {"period_end": date(2026, 11, 23)}, {"period_end": date(2026, 11, 21)}):
        assert (await refusal(tmp_path, **changes)).supplier_code == "not_found"
    text = (await refusal(tmp_path, period_end=date(2026, 11, 29))).text
    assert text.startswith("no statement of this agency for IN is of a period that ends on 2026-11-29")
    assert text.endswith("; there are some that end on 2026-11-22")


async def test_b55_two_agencies_with_one_folder_see_their_own_alone(tmp_path: Path) -> None:
    mixed = (Office(lines=(Line(),)), Office(agent=THEIRS, lines=(Line(number="1252400777777"),)))
    Hot(offices=mixed).write(tmp_path, "both")
    OTHERS.but(offices=(Office(agent=THEIRS, lines=(Line(number="1762400777777"),)),)).write(tmp_path, "theirs")
    assert numbers(await fetch(tmp_path)) == ["1252400123456"]
    assert sorted(numbers(await fetch(tmp_path, THEIRS))) == ["1252400777777", "1762400777777"]
    refused = await refusal(tmp_path, "2345670")
    assert refused.text == "no statement of this agency for IN is of a period that ends on 2026-11-22"


async def test_b55_of_a_file_with_other_agents_currencies_and_periods_only_the_agencys_part_is_taken(
    tmp_path: Path,
) -> None:
    dollars = Office(agent=THEIRS, currency="USD2", lines=(Line(number="1252400777777", currency="USD2"),))
    earlier = Hot(period_end="261115", offices=(Office(lines=(CREDIT,)),))
    Hot(offices=(dollars, Office()), before=(earlier,)).write(tmp_path)
    found = await fetch(tmp_path)
    assert (numbers(found), found.currency) == (["1252400123456"], "INR")


async def test_b55_another_agencys_broken_file_is_not_even_named(tmp_path: Path) -> None:
    Hot().write(tmp_path, "ours")
    theirs = OTHERS.but(offices=(Office(agent=THEIRS),)).write(tmp_path, "theirs")
    theirs.write_text(theirs.read_text().replace("BFT", "BXT"))
    assert numbers(await fetch(tmp_path)) == ["1252400123456"]
    theirs.write_bytes(b"\x00\xff" * 5000)
    assert numbers(await fetch(tmp_path)) == ["1252400123456"]


async def test_b55_a_file_is_found_by_its_content_and_never_by_its_name(tmp_path: Path) -> None:
    Hot(period_end="261115").write(tmp_path, "HOT_IN_16383220_20261116_20261122.txt")
    assert (await refusal(tmp_path)).supplier_code == "not_found"
    Hot().write(tmp_path, "x")
    named = await fetch(tmp_path)
    (tmp_path / "x").rename(tmp_path / "holiday.jpg")
    assert (await fetch(tmp_path)) == named


@pytest.mark.parametrize(
    "other", [Hot(status="TEST"), Hot(run="D"), Hot(country="NP"), Hot(offices=(Office(agent=THEIRS),))]
)
async def test_b55_tests_interim_runs_other_countries_and_other_agents_are_no_statement(
    other: Hot, tmp_path: Path
) -> None:
    other.write(tmp_path)
    (tmp_path / ".hidden").write_text(Hot().text())
    (tmp_path / "folder").mkdir()
    Hot().write(tmp_path / "folder")
    (tmp_path / "empty").touch()
    (tmp_path / "notes.txt").write_text("BOH " * 100)
    assert (await refusal(tmp_path)).supplier_code == "not_found"


async def test_b55_a_broken_file_is_refused_with_its_name_line_and_rule(tmp_path: Path) -> None:
    path = Hot().write(tmp_path, "week 47\u00e9")
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].replace("DEL00001", "DEL00009")
    path.write_text("\n".join(lines))
    refused = await refusal(tmp_path)
    assert refused.supplier_code == "validation_failed"
    assert refused.text == (
        f"the file week 47? is broken: line {len(lines)}: BFT99 counts other offices than there are"
    )


async def test_b55_the_files_of_all_airlines_are_one_statement_whatever_they_are_called(tmp_path: Path) -> None:
    Hot().write(tmp_path, "b")
    OTHERS.write(tmp_path, "a")
    found = await fetch(tmp_path)
    assert (numbers(found), found.airline) == (["1252400123456", "1762400000001"], None)
    assert found.source_ref == "HOT DEL 125 261123 000041; HOT DEL 176 261123 000007"
    (tmp_path / "a").rename(tmp_path / "c")
    assert (await fetch(tmp_path)).digest == found.digest


async def test_b55_a_copy_counts_once_and_two_versions_are_refused(tmp_path: Path) -> None:
    Hot().write(tmp_path, "first")
    Hot(sequence="000042").write(tmp_path, "again")
    found = await fetch(tmp_path)
    assert (numbers(found), found.source_ref) == (["1252400123456"], "HOT DEL 125 261123 000041")
    Hot(sequence="000043", offices=(Office(lines=(Line(fare=1),)),)).write(tmp_path, "other")
    refused = await refusal(tmp_path)
    assert (refused.supplier_code, refused.text) == (
        "conflict",
        "the files first and other differ about the same documents",
    )


async def test_b55_an_agency_may_have_several_numbers(tmp_path: Path) -> None:
    offices = (Office(lines=(Line(),)), Office(agent=THEIRS, lines=(Line(number="1252400777777"),)))
    Hot(offices=offices).write(tmp_path)
    found = await fetch(tmp_path, f"{THEIRS[:7]},{OURS}")
    assert (found.agents, len(found.transactions)) == ((OURS, THEIRS), 2)


async def test_b55_a_period_is_one_billing_period_and_no_sale_is_older(tmp_path: Path) -> None:
    Hot(offices=(Office(lines=(Line(issued="261117"), REFUND)),)).write(tmp_path, "this week")
    early = await refusal(tmp_path, period_start=date(2026, 11, 18))
    assert early.text == "the period that ends on 2026-11-22 has a sale of 2026-11-17"
    assert (await fetch(tmp_path, period_start=date(2026, 11, 1))).period_start == date(2026, 11, 1)
    Hot(period_end="261115", offices=(Office(lines=(CREDIT,)),)).write(tmp_path, "last week")
    two = await refusal(tmp_path, period_start=date(2026, 11, 15))
    assert two.text == "another billing period ends on 2026-11-15, so this one begins on 2026-11-16 at the earliest"
    assert (await fetch(tmp_path)).period_start == date(2026, 11, 16)


async def test_b55_a_sale_of_the_period_before_is_reported_late_and_one_of_a_later_day_is_none(tmp_path: Path) -> None:
    Hot(period_end="261115", offices=(Office(lines=(CREDIT,)),)).write(tmp_path, "last week")
    Hot(offices=(Office(lines=(Line(issued="261114"),)),)).write(tmp_path, "this week")
    assert numbers(await fetch(tmp_path)) == ["1252400123456"]
    Hot(offices=(Office(lines=(Line(issued="261123"),)),)).write(tmp_path, "this week")
    later = await refusal(tmp_path)
    assert (later.supplier_code, later.text) == (
        "validation_failed",
        "a sale of 2026-11-23 is later than the period it is billed in",
    )


async def test_nothing_is_fetched_without_a_folder_or_a_number(tmp_path: Path) -> None:
    assert (await refusal(None)).supplier_code == "capability_not_supported"
    assert (await refusal(tmp_path, "twelve")).supplier_code == "authentication"
    assert (await refusal(tmp_path / "gone")).supplier_code == "transient"


async def test_what_is_read_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hot().write(tmp_path)
    monkeypatch.setattr(folder, "MOST_BYTES", 100)
    assert (await refusal(tmp_path)).supplier_code == "not_found"
    monkeypatch.undo()
    monkeypatch.setattr(folder, "MOST_FILES", 0)
    assert (await refusal(tmp_path)).supplier_code == "transient"
    monkeypatch.undo()
    monkeypatch.setattr("voyagent.actors.suppliers.bsp.driver.MOST_TRANSACTIONS", 0)
    assert (await refusal(tmp_path)).text == "the statement has more than 0 transactions"
    (tmp_path / "endless").write_bytes(b"BFH" + b"0" * 10**6)
    assert max(map(len, folder.lines(tmp_path / "endless", threading.Event()))) < 300


async def test_a_fetch_reads_beside_the_event_loop_and_ends_with_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Hot().write(tmp_path)
    names = set()
    reached, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    search = folder.search

    def slow(*given: Any) -> Any:
        names.add(threading.current_thread().name)
        reached.set()
        go_on.wait(10)
        try:
            return search(*given)
        except folder.Stopped:
            ended.set()
            raise

    monkeypatch.setattr(folder, "search", slow)
    files = driver(tmp_path)
    fetching = asyncio.create_task(files.fetch(ASKED))
    assert await asyncio.to_thread(reached.wait, 10)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 10)
    assert names == {"bsp_0"}
    monkeypatch.undo()
    assert (await files.fetch(ASKED)).country == "IN"
    await files.close()


@pytest.mark.parametrize(
    ("text", "agents"),
    [
        ("16383220", (OURS,)),
        ("1638322,16391340,16383220", (OURS, THEIRS)),
        ("16383221", ()),
        ("16383220,", ()),
        (",".join(["16383220"] * 51), ()),
    ],
)
def test_the_numbers_of_an_agency_are_all_right_or_none(text: str, agents: tuple[str, ...]) -> None:
    assert agents_of(text) == agents
