"""The demo agency has something true to show in every list and report."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from voyagent.actors.domain.identity import Role
from voyagent.actors.foundation.config import ConfigurationError, Settings
from voyagent.actors.seed import Demo
from voyagent.actors.seed_work import SeedError
from voyagent.http import demo
from voyagent.http.service import Service

LOOKS = (
    "/reports/receivables?from=2000-01-01&to=2100-01-01",
    "/reports/payables?from=2000-01-01&to=2100-01-01",
    "/reports/trial-balance",
)


@pytest.fixture
def settings(database: Any, redis_url: str, tmp_path: Any) -> Settings:
    return Settings.load(
        environ={
            "VOYAGENT_ENV": "development",
            "VOYAGENT_PORT": "0",
            "VOYAGENT_DB_URL": database.url,
            "VOYAGENT_REDIS_URL": redis_url,
            "VOYAGENT_DATA_DIR": str(tmp_path),
            "VOYAGENT_AUTH_ARGON2_MEMORY_COST": "8192",
            "VOYAGENT_AUTH_ARGON2_TIME_COST": "1",
            "VOYAGENT_DRAIN_SECONDS": "0",
        }
    )


async def test_every_list_and_report_of_the_demo_has_something_to_show(settings: Settings) -> None:
    made = await demo.make(settings)
    assert made is not None
    assert made.trip is not None
    assert await demo.make(settings) is None, "the second time nothing is made"
    password = made.people.password
    async with Service(settings) as service, aiohttp.ClientSession(service.url) as http:
        tokens = {}
        for role, email in made.people.people:
            async with http.post("/auth/sign-in", json={"email": email, "password": password}) as response:
                tokens[role] = (await response.json())["access_token"]
        assert set(tokens) == set(Role)

        async def read(path: str, role: Role = Role.VIEWER) -> Any:
            async with http.get(path, headers={"Authorization": f"Bearer {tokens[role]}"}) as response:
                assert response.status == 200, await response.text()
                return await response.json()

        enquiries = (await read("/enquiries"))["items"]
        approvals = (await read("/approvals?status=all&limit=500"))["items"]
        reports = [await read(path) for path in LOOKS]
        trip = await read(f"/reports/itinerary?session_id={made.trip}")
        usage, audit = await read("/reports/usage", Role.TICKETING_LEAD), await read("/audit", Role.AGENCY_ADMIN)
    assert {each["status"] for each in enquiries} == {"new", "quoted", "booked", "cancelled"}
    assert [each["tool_name"] for each in approvals if each["status"] == "pending"] == ["book_flight"]
    assert {each["tool_name"] for each in approvals if each["status"] == "rejected"} == {"book_flight"}
    tools = {each["tool_name"] for each in approvals if each["status"] == "granted"}
    assert tools == {
        *("book_flight", "issue_ticket", "cancel_flight_order", "book_hotel", "draft_invoice", "issue_invoice"),
        *("void_invoice", "record_payment", "record_bill", "pay_bill", "post_journal_entry"),
    }
    assert [bool(trip[part]) for part in ("passengers", "flights", "hotels", "visas")] == [True] * 4
    assert usage["totals"]["calls"] > 0
    assert audit["total"] > 100
    receivables, payables, balance = reports
    assert receivables["total_outstanding"] == {"amount": "155950.00", "currency": "INR"}
    assert payables["total_outstanding"] == {"amount": "25000.00", "currency": "INR"}
    for report in (receivables, payables):
        blocks = [report, *report["other_currencies"]]
        aged = [sum(block["aging_buckets"][place]["count"] for block in blocks) for place in range(4)]
        assert all(aged), "each age has something to show"
        assert any(block["not_due"]["amount"] != "0.00" for block in blocks)
        assert {block["reconciliation"]["difference"] for block in blocks} == {"0.00"}
    for report, currencies in ((receivables, ("AED", "EUR")), (payables, ("AED", "USD")), (balance, ("EUR", "USD"))):
        assert all(currency in str(report) for currency in currencies), report


async def test_production_is_refused_unless_it_is_named(settings: Settings) -> None:
    production = settings.model_copy(update={"env": "production"})
    with pytest.raises(ConfigurationError, match="refused in production"):
        demo.check(production, in_production=False)
    demo.check(production, in_production=True)
    demo.check(settings, in_production=False)


async def test_in_production_nothing_works_for_the_demo(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rehearsal would take over what other agencies have due, and a running service would book with real money."""

    async def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(demo, "work", never)
    made = await demo.make(settings.model_copy(update={"env": "production"}))
    assert made is not None
    assert made.trip is None


async def test_nothing_is_created_if_the_service_that_runs_is_not_found(settings: Settings) -> None:
    async with Service(settings):
        elsewhere = settings.model_copy(update={"port": 9})
        with pytest.raises(SeedError, match="VOYAGENT_PORT"):
            await demo.make(elsewhere)
    made = await demo.make(settings, people_only=True)
    assert made is not None, "the agency did not exist yet"


async def test_the_password_is_known_before_the_people_work(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[Demo] = []

    async def fails(*_: Any) -> None:
        assert known
        raise SeedError("the model is gone")

    monkeypatch.setattr(demo, "work", fails)
    with pytest.raises(SeedError, match="the model is gone"):
        await demo.make(settings, created=known.append)
    async with Service(settings) as service, aiohttp.ClientSession(service.url) as http:
        (_, email), *_others = known[0].people
        async with http.post("/auth/sign-in", json={"email": email, "password": known[0].password}) as response:
            assert response.status == 200
