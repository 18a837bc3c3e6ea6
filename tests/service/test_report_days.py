"""Which day "today" is in reports: the agency's own (business 13.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from voyagent.http.service import Service

from .shifted_clock import ShiftedClock

if TYPE_CHECKING:
    from tests.service.conftest import Make, Running

WINDOW = "from=2026-01-01&to=2026-01-31"


@pytest.fixture
async def evening(settings_for: Make, running_class: type[Running], rehearsal: Any) -> AsyncIterator[Running]:
    """A service at 20:00 UTC: half past one of the next day in India, midnight in Dubai, afternoon in New York."""
    clock, now = ShiftedClock(), datetime.now(UTC)
    clock.ahead = (datetime.combine(now.date() + timedelta(days=1), time(20), UTC) - now).total_seconds()
    chosen = settings_for()
    async with Service(chosen, clock) as service, aiohttp.ClientSession() as http:
        yield running_class(service, rehearsal[0], http, chosen)


@pytest.mark.parametrize(
    ("zone", "days"), [("Asia/Kolkata", 1), ("Asia/Dubai", 1), ("UTC", 0), ("America/New_York", 0)]
)
async def test_t10_today_in_reports_is_the_agencys_own_day(zone: str, days: int, evening: Running) -> None:
    person = await evening.sign_up()
    assert (await person.call("PATCH", "/tenant-settings", json={"timezone": zone}))[0] == 200
    today = evening.service.system.clock.now().date() + timedelta(days=days)
    for path in ("/reports/receivables", "/reports/payables"):
        assert (await person.get(f"{path}?{WINDOW}"))["as_of"] == today.isoformat()
        assert (await person.get(f"{path}?{WINDOW}&as_of={today}"))["as_of"] == today.isoformat()
        ahead = await person.call("GET", f"{path}?{WINDOW}&as_of={today + timedelta(days=1)}")
        assert ahead == (422, {"detail": "as_of_in_future"})
    assert (await person.get("/reports/trial-balance"))["as_of"] == today.isoformat()
