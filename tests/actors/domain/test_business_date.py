"""The business date: the agency's own calendar day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.business_date import business_date
from voyagent.actors.domain.settings import TenantSettings, timezones


@pytest.mark.parametrize(
    ("now", "zone", "day"),
    [
        ("2026-03-31T18:29:59Z", "Asia/Kolkata", "2026-03-31"),
        ("2026-03-31T18:30:00Z", "Asia/Kolkata", "2026-04-01"),
        ("2026-03-31T19:59:59Z", "Asia/Dubai", "2026-03-31"),
        ("2026-03-31T20:00:00Z", "Asia/Dubai", "2026-04-01"),
        ("2026-04-01T02:00:00Z", "America/New_York", "2026-03-31"),
        ("2026-03-08T04:59:59Z", "America/New_York", "2026-03-07"),
        ("2026-03-09T03:59:59Z", "America/New_York", "2026-03-08"),
        ("2026-03-09T04:00:00Z", "America/New_York", "2026-03-09"),
        ("2028-02-29T18:15:00Z", "Asia/Kathmandu", "2028-03-01"),
        ("2026-12-31T10:00:00Z", "Pacific/Kiritimati", "2027-01-01"),
        ("2027-01-01T11:59:59Z", "Etc/GMT+12", "2026-12-31"),
        ("2026-12-31T23:59:59Z", "UTC", "2026-12-31"),
    ],
)
def test_t10_today_is_the_day_on_the_agencys_wall_clocks(now: str, zone: str, day: str) -> None:
    tenant = TenantSettings(tenant_id="", timezone=zone)
    assert business_date(tenant, datetime.fromisoformat(now)) == date.fromisoformat(day)


@given(
    st.sampled_from(sorted(timezones())),
    st.timedeltas(min_value=timedelta(days=365), max_value=timedelta(days=84_000)),
)
def test_today_is_within_a_day_of_utc_and_never_goes_back_while_a_day_passes(zone: str, since: timedelta) -> None:
    tenant, now = TenantSettings(tenant_id="", timezone=zone), datetime(1970, 1, 1, tzinfo=UTC) + since
    today = business_date(tenant, now)
    assert abs(today - now.date()) <= timedelta(days=1)
    assert business_date(tenant, now + timedelta(days=1)) >= today
