"""The rules about an agency's settings."""

from __future__ import annotations

import pytest

from voyagent.actors.domain.errors import Unprocessable
from voyagent.actors.domain.settings import TenantSettings, check_currency, check_timezone

TENANT = "0192f0c1-0000-7000-8000-000000000001"


def test_r43_an_hour_allows_at_least_a_minutes_worth() -> None:
    born = TenantSettings(tenant_id=TENANT)
    assert born.changed({"rate_limit_per_minute": 1000}).rate_limit_per_minute == 1000
    with pytest.raises(Unprocessable, match=r"^rate_limit_hour_below_minute$"):
        born.changed({"rate_limit_per_minute": 1001})
    assert born.changed({"rate_limit_per_minute": 1001, "rate_limit_per_hour": 1001}).rate_limit_per_hour == 1001


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Calcutta", "Europe/London", "US/Pacific", "Etc/GMT+5"])
def test_zones_and_links_are_time_zones(zone: str) -> None:
    assert check_timezone(zone) == zone


@pytest.mark.parametrize(
    "zone", ["", " UTC", "utc", "localtime", "posixrules", "Factory", "Mars/Base", "../etc/passwd"]
)
def test_r43_nonsense_is_no_time_zone(zone: str) -> None:
    with pytest.raises(ValueError, match=r"^invalid_timezone$"):
        check_timezone(zone)


@pytest.mark.parametrize("code", ["INR", "AED", "USD", "EUR", "JPY", "KWD", "NPR"])
def test_money_in_use_is_a_currency(code: str) -> None:
    assert check_currency(code) == code


@pytest.mark.parametrize("code", ["", "ZZZ", "inr", "DEM", "XXX", "XAU", "INRR", " INR"])
def test_r43_nonsense_and_old_money_is_no_currency(code: str) -> None:
    with pytest.raises(ValueError, match=r"^invalid_currency$"):
        check_currency(code)


def test_r45_a_change_is_told_field_by_field_and_the_prompt_only_by_its_mark() -> None:
    before = TenantSettings(tenant_id=TENANT, locale="en")
    after = before.changed({"locale": "hi", "system_prompt_suffix": "We sell to pilgrims.", "timezone": "UTC"})
    old, new = before.differences(after)
    assert old == {"system_prompt_suffix": None, "locale": "en"}
    assert new["locale"] == "hi"
    assert new["system_prompt_suffix"]["length"] == 20
    assert "pilgrims" not in str(new)
