"""A statement of a BSP is fetched in one turn and reconciled in a later one, with tickets the service itself issued."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.actors.suppliers.bsp.files import OURS, THEIRS, Hot, Line, Office
from voyagent.actors import credentials
from voyagent.http.service import Service

TODAY = datetime.now(UTC).date()
MONDAY = TODAY - timedelta(days=6)
FLIGHT = f"Find a flight from Mumbai to Dubai on {TODAY + timedelta(days=60)} for Asha Rao and book it"
FETCH = f"Fetch the BSP statement of IN from {MONDAY} to {TODAY}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bsp").mkdir()
    return tmp_path / "bsp"


@pytest.fixture
async def running(settings_for: Any, rehearsal: Any, running_class: Any, folder: Path) -> AsyncIterator[Any]:
    settings = settings_for(VOYAGENT_BSP_DIR=str(folder), VOYAGENT_BSP_ALLOWED_DIFFERENCES="USD=100")
    rehearsal[0].reset()
    async with Service(settings) as service, aiohttp.ClientSession() as http:
        yield running_class(service, rehearsal[0], http, settings)


def output(events: Any, tool: str) -> Any:
    """What a tool answered."""
    [found] = [e.data["tool_output"] for e in events if e.kind == "tool_result" and e.data["tool_name"] == tool]
    return found


async def granted(person: Any, session: str, events: Any) -> Any:
    status, _ = await person.call(
        "POST", f"/approvals/{events[-2].data['approval_id']}/resolve", json={"granted": True}
    )
    assert status == 200
    return await person.replay(session, events[-1].id)


async def test_b55_a_statement_is_fetched_and_in_a_later_turn_reconciled_with_own_tickets(
    asha: Any, admin: Any, running: Any, folder: Path
) -> None:
    session = await asha.session()
    await granted(asha, session, await asha.say(session, FLIGHT))
    await granted(asha, session, await asha.say(session, "Issue the ticket"))
    number = await admin.value("SELECT replace(number, '-', '') FROM tickets")
    cost, currency = await admin.value("SELECT cost FROM bookings"), await admin.value("SELECT currency FROM bookings")
    issued = f"{TODAY:%y%m%d}"
    own = Line(number=number, fare=int(cost * 100), taxes=(), issued=issued, currency=f"{currency}2")
    billed = Line(number="1252400999999", fare=10_00, taxes=(), issued=issued, currency=f"{currency}2")
    theirs = Line(number="1252400777777", issued=issued)
    offices = (Office(lines=(own, billed)), Office(agent=THEIRS, lines=(theirs,)))
    Hot(offices=offices, period_end=issued).write(folder)
    await credentials.put(running.settings, asha.user["tenant_id"], "bsp", OURS)

    fetched = output(await asha.say(session, FETCH), "fetch_bsp_statement")
    assert (fetched["transaction_count"], fetched["country"]) == (2, "IN")
    assert THEIRS not in str(fetched)

    other = await asha.session()
    await asha.say(other, "Hello")
    found = output(await asha.say(session, "Reconcile it"), "reconcile_bsp")
    assert found["summary"]["matched"] == 1, found
    [issue] = found["issues"]
    assert (issue["outcome"], issue["external_ref"]) == ("unmatched_external", "125-2400999999")
    assert await admin.value("SELECT count(*) FROM reconciliations") == 1


async def test_b55_an_agency_without_its_numbers_gets_no_statement_of_the_folder(
    asha: Any, running: Any, folder: Path
) -> None:
    Hot(period_end=f"{TODAY:%y%m%d}", offices=(Office(lines=()),)).write(folder)
    await credentials.put(running.settings, asha.user["tenant_id"], "bsp", THEIRS)
    session = await asha.session()
    refused = output(await asha.say(session, FETCH), "fetch_bsp_statement")
    assert refused["error"].startswith("not_found: ")
    rao = await running.sign_up("rao")
    session = await rao.session()
    off = output(await rao.say(session, FETCH), "fetch_bsp_statement")
    assert (off["fetched"], off["reason"]) == (False, "capability_not_supported")
