"""The row of an agency's settings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.domain.settings import TenantSettings
from voyagent.storage.accounts.settings import Change, Load

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import House

Code = Callable[[Awaitable[Any]], Awaitable[str]]


def change(house: House, tenant_id: str, by: str, **changes: Any) -> Change:
    return Change(tenant_id=tenant_id, changes=changes, by=by, origin=Origin(request_id="r-1"), now=house.clock.now())


async def test_r44_an_agency_is_born_with_the_defaults_in_rupees(house: House) -> None:
    me = (await house.sign_up()).principal
    load = Load(tenant_id=me.tenant_id, now=house.clock.now())
    assert await house.storage.ask(load) == TenantSettings(tenant_id=me.tenant_id, default_currency="INR")


async def test_r44_twelve_first_readers_agree_on_one_row(house: House) -> None:
    me = (await house.sign_up()).principal
    await house.db.execute("DELETE FROM tenant_settings")
    await house.db.execute("UPDATE tenants SET default_currency = 'AED'")
    load = Load(tenant_id=me.tenant_id, now=house.clock.now())
    read = await asyncio.gather(*(house.storage.ask(load) for _ in range(12)))
    assert {settings.default_currency for settings in read} == {"AED"}
    assert await house.count("tenant_settings") == 1


async def test_r44_there_is_one_default_currency(house: House) -> None:
    me = (await house.sign_up()).principal
    after = await house.storage.ask(change(house, me.tenant_id, me.user_id, default_currency="USD"))
    assert after.default_currency == "USD"
    assert await house.db.fetchval("SELECT default_currency FROM tenants") == "USD"
    assert await house.storage.ask(Load(tenant_id=me.tenant_id, now=house.clock.now())) == after


async def test_r45_a_change_is_audited_and_no_change_is_not(house: House) -> None:
    me = (await house.sign_up()).principal
    changes = {"rate_limit_per_minute": 5, "system_prompt_suffix": "We sell to pilgrims.", "locale": "en"}
    for _ in range(2):
        await house.storage.ask(change(house, me.tenant_id, me.user_id, **changes))
    (event,) = await house.events("settings.changed")
    said = json.loads(event["said"])
    assert said["before"] == {"rate_limit_per_minute": 60, "system_prompt_suffix": None}
    assert said["after"]["rate_limit_per_minute"] == 5
    assert "pilgrims" not in event["said"]


async def test_r43_hour_and_minute_are_judged_together_against_the_row(house: House, refusal: Code) -> None:
    me = (await house.sign_up()).principal
    await house.storage.ask(change(house, me.tenant_id, me.user_id, rate_limit_per_hour=100))
    refused = house.storage.ask(change(house, me.tenant_id, me.user_id, rate_limit_per_minute=101))
    assert await refusal(refused) == "rate_limit_hour_below_minute"
    assert (await house.storage.ask(Load(tenant_id=me.tenant_id, now=house.clock.now()))).rate_limit_per_minute == 60


async def test_nobodys_settings_are_not_found(house: House, refusal: Code) -> None:
    assert await refusal(house.storage.ask(Load(tenant_id=uuid7(), now=house.clock.now()))) == "tenant_not_found"
