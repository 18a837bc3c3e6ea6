"""Visa files at the ticketing desk: one open file per passenger, country and category."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from voyagent.actors.agent.tools.tool import InputInvalid

NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


async def opened(desk: Any, **given: Any) -> Any:
    usual = {"destination_country": "FR", "visa_category": "tourist"}
    return await desk.plan("open_visa_file", **usual | given)


async def test_a_file_begins_as_a_draft_with_its_checklist(desk: Any) -> None:
    person = await desk.person()
    file = await opened(desk, passenger_id=person, travel_date="2027-02-01")
    assert list(file) == ["opened", "visa_file_id", "status", "checklist"]
    assert (file["opened"], file["status"]) == (True, "draft")
    assert file["checklist"][0] == {"item": "passport", "required": True, "collected": False}
    row = await desk.agency.db.fetchrow("SELECT * FROM visa_files")
    assert (str(row["id"]), str(row["passenger_id"]), row["travel_date"]) == (
        file["visa_file_id"],
        person,
        date(2027, 2, 1),
    )
    assert str(row["session_id"]) == desk.agency.session_id


async def test_sixteen_openings_at_once_make_one_file(desk: Any) -> None:
    person = await desk.person()
    done = await asyncio.gather(*(opened(desk, passenger_id=person) for _ in range(16)))
    assert sum(each["opened"] for each in done) == 1
    assert {each["reason"] for each in done if not each["opened"]} == {"already_open"}
    assert (await opened(desk, passenger_id=person, visa_category="Tourist"))["reason"] == "already_open"
    assert (await opened(desk, passenger_id=person, visa_category="business"))["opened"] is True
    assert (await opened(desk, passenger_id=person, destination_country="DE"))["opened"] is True


async def test_after_a_file_has_ended_another_may_be_opened(desk: Any) -> None:
    person = await desk.person()
    first = await opened(desk, passenger_id=person)
    await desk.plan("update_visa_file", visa_file_id=first["visa_file_id"], status="rejected")
    assert (await opened(desk, passenger_id=person))["opened"] is True


@pytest.mark.parametrize("unknown", ["nobody", NOBODY])
async def test_b61_nobody_and_another_agencys_passenger_have_no_file(
    unknown: str, desk: Any, other_agency: Any
) -> None:
    assert (await opened(desk, passenger_id=unknown))["reason"] == "passenger_not_found"
    assert (await desk.plan("update_visa_file", visa_file_id=unknown, status="docs_verified"))["reason"] == "not_found"
    person = await desk.person()
    file = await opened(desk, passenger_id=person)
    desk.context = replace(desk.context, tenant_id=other_agency.tenant_id)
    assert (await opened(desk, passenger_id=person))["reason"] == "passenger_not_found"
    theirs = await desk.plan("update_visa_file", visa_file_id=file["visa_file_id"], status="withdrawn")
    assert theirs["reason"] == "not_found"


async def test_a_file_moves_forward_and_keeps_what_is_noted(desk: Any) -> None:
    file = await opened(desk, passenger_id=await desk.person())
    this = {"visa_file_id": file["visa_file_id"]}
    done = await desk.plan("update_visa_file", **this, status="docs_collecting", collected=["passport", "photograph"])
    assert dict(done) == {
        "updated": True,
        **this,
        "status": "docs_collecting",
        "missing": ["application_form", "travel_itinerary", "accommodation", "financial_statements"],
    }
    await desk.plan("update_visa_file", **this, appointment_at="2026-12-05T09:30:00+05:30", application_ref=" A-1 ")
    done = await desk.plan("update_visa_file", **this, notes="Bring originals", collected=["accommodation"])
    assert done["missing"] == ["application_form", "travel_itinerary", "financial_statements"]
    row = await desk.agency.db.fetchrow("SELECT * FROM visa_files")
    assert (row["application_ref"], row["notes"], row["status"]) == ("A-1", "Bring originals", "docs_collecting")
    assert row["appointment_at"] == datetime(2026, 12, 5, 4, 0, tzinfo=UTC)


async def test_what_is_refused_changes_nothing(desk: Any) -> None:
    file = await opened(desk, passenger_id=await desk.person())
    this = {"visa_file_id": file["visa_file_id"]}
    await desk.plan("update_visa_file", **this, status="in_process")
    back = await desk.plan("update_visa_file", **this, status="draft", notes="back")
    assert (back["reason"], "in_process" in back["detail"]) == ("invalid_status_transition", True)
    strange = await desk.plan("update_visa_file", **this, status="approved", collected=["diploma"])
    assert strange["reason"] == "item_unknown"
    row = await desk.agency.db.fetchrow("SELECT status, notes FROM visa_files")
    assert (row["status"], row["notes"]) == ("in_process", None)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+05:30", "9999-12-31T23:59:59-05:00"])
async def test_an_appointment_outside_the_calendar_is_no_input(moment: str, desk: Any) -> None:
    file = await opened(desk, passenger_id=await desk.person())
    with pytest.raises(InputInvalid):
        await desk.plan("update_visa_file", visa_file_id=file["visa_file_id"], appointment_at=moment)
