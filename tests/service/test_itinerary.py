"""``GET /reports/itinerary`` over the wire."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from voyagent.actors.domain.ids import uuid7
from voyagent.actors.leased_store import leased_for
from voyagent.storage.travel import passengers

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

DAY = datetime.now(UTC).date() + timedelta(days=60)
WISH = f"Find me a flight from Mumbai to Dubai on {DAY} and book it for Asha Rao"
EMPTY: dict[str, Any] = {"passengers": [], "flights": [], "hotels": [], "visas": [], "other_currencies": []}


async def itinerary(who: Person, session_id: str) -> Any:
    return await who.get("/reports/itinerary", params={"session_id": session_id})


async def trips(who: Person, more: str = "") -> list[str]:
    """The sessions that are listed as trips."""
    page = await who.get(f"/chat/sessions?trips=1{more}")
    assert page["total"] == len(page["sessions"])
    return [each["id"] for each in page["sessions"]]


async def test_b58_the_itinerary_shows_what_was_booked_until_it_is_cancelled(asha: Person, admin: Admin) -> None:
    session_id = await asha.session()
    nothing = {"tenant_id": asha.user["tenant_id"], "session_id": session_id, **EMPTY}
    nothing["total_cost"] = {"amount": "0.00", "currency": "INR"}
    assert await itinerary(asha, session_id) == nothing
    assert await trips(asha) == []
    asked = await asha.say(session_id, WISH)
    (waiting,) = (await asha.get("/approvals"))["items"]
    assert (await asha.call("POST", f"/approvals/{waiting['id']}/resolve", json={"granted": True}))[0] == 200
    await asha.replay(session_id, asked[-1].id or 0)

    found = await itinerary(asha, session_id.upper())
    booked = await admin.db.fetchrow("SELECT locator, cost, currency, status, data::text FROM bookings")
    assert booked is not None
    assert found["session_id"] == session_id
    assert [person["full_name"] for person in found["passengers"]] == [
        row["full_name"] for row in await admin.db.fetch("SELECT full_name FROM passengers")
    ]
    first = found["flights"][0]
    assert (first["pnr"], first["origin"], first["status"]) == (booked["locator"], "BOM", booked["status"])
    assert found["flights"][-1]["dest"] == "DXB"
    departs = datetime.fromisoformat(first["depart"])
    local = datetime.fromisoformat(first["depart_local"])
    assert local - departs.replace(tzinfo=None) == timedelta(hours=5, minutes=30)
    assert first["depart"].endswith("Z")
    last, stored = found["flights"][-1], json.loads(booked["data"])["segments"]
    lands = datetime.fromisoformat(last["arrive"])
    assert (lands, last["cabin"]) == (datetime.fromisoformat(stored[-1]["arrives_at"]), "economy")
    assert datetime.fromisoformat(last["arrive_local"]) - lands.replace(tzinfo=None) == timedelta(hours=4)
    assert [flight["flight"] for flight in found["flights"]] == [
        f"{each['marketing_carrier']} {each['flight_number']}" for each in stored
    ]
    assert found["total_cost"] == {"amount": f"{booked['cost']:.2f}", "currency": booked["currency"]}
    await asha.session()  # nothing is booked in it
    assert await trips(asha) == await trips(asha, "&q=mumbai") == [session_id]
    assert await trips(asha, "&q=goa") == []
    assert (await asha.get("/chat/sessions?trips=0"))["total"] == 2
    assert (await asha.call("GET", "/chat/sessions?trips=2"))[0] == 422
    await admin.execute("UPDATE bookings SET status = 'cancelled'")
    assert await itinerary(asha, session_id) == nothing
    assert await trips(asha) == []


async def test_b23_b61_an_unknown_malformed_or_foreign_session_is_404_and_none_is_422(
    asha: Person, running: Running
) -> None:
    foreign = await (await running.sign_up("other")).session()
    for wrong in (foreign, "019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b", "nonsense"):
        answer = await asha.call("GET", "/reports/itinerary", params={"session_id": wrong})
        assert answer == (404, {"detail": "session_not_found"})
    for query, kind in (({}, "missing"), ({"session_id": ""}, "string_too_short")):
        status, body = await asha.call("GET", "/reports/itinerary", params=query)
        assert (status, body["detail"][0]["type"], body["detail"][0]["loc"]) == (422, kind, ["query", "session_id"])


async def test_b58_visa_files_stand_by_day_of_travel_and_their_travellers_are_named_once(
    asha: Person, admin: Admin, running: Running
) -> None:
    session_id, tenant_id = await asha.session(), asha.user["tenant_id"]
    ravi, mira = uuid7(), uuid7()
    for person, name in ((ravi, "Ravi Iyer"), (mira, "Mira Iyer")):
        saved = passengers.Upsert(
            tenant_id=tenant_id, new_id=person, passenger_id=None, full_name=name, given={}, now=datetime.now(UTC)
        )
        system = running.service.system
        await leased_for(system.storage, system.ownership, tenant_id).ask(saved)
    for person, country, travels, status in (
        (ravi, "JP", "2027-05-02", "approved"),
        (ravi, "AE", "2027-05-01", "docs_collecting"),
        (mira, "US", None, "draft"),
        (mira, "GB", None, "rejected"),
        (mira, "FR", None, "withdrawn"),
    ):
        await admin.execute(
            "INSERT INTO visa_files (id, tenant_id, passenger_id, session_id, destination_country, visa_category,"
            " travel_date, status, checklist, created_at)"
            " VALUES (gen_random_uuid(), $1, $2, $3, $4, 'tourist', $5::date, $6, '[]', now())",
            tenant_id, person, session_id, country, travels and date.fromisoformat(travels), status,
        )  # fmt: skip
    found = await itinerary(asha, session_id)
    assert found["visas"] == [
        {"country": "AE", "status": "docs_collecting"},
        {"country": "JP", "status": "approved"},
        {"country": "US", "status": "draft"},
    ]
    assert [person["full_name"] for person in found["passengers"]] == ["Ravi Iyer", "Mira Iyer"]
    other = await asha.session()
    assert (await itinerary(asha, other))["visas"] == []
