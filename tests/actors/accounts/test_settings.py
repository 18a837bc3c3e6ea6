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
    from tests.actors.accounts.conftest import AccountsHarness

Code = Callable[[Awaitable[Any]], Awaitable[str]]


def change(harness: AccountsHarness, tenant_id: str, by: str, **changes: Any) -> Change:
    return Change(tenant_id=tenant_id, changes=changes, by=by, origin=Origin(request_id="r-1"), now=harness.clock.now())


async def test_r44_an_agency_is_born_with_the_defaults_in_rupees(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    load = Load(tenant_id=me.tenant_id, now=harness.clock.now())
    assert await harness.storage.ask(load) == TenantSettings(tenant_id=me.tenant_id, default_currency="INR")


async def test_r44_twelve_first_readers_agree_on_one_row(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    await harness.db.execute("DELETE FROM tenant_settings")
    await harness.db.execute("UPDATE tenants SET default_currency = 'AED'")
    load = Load(tenant_id=me.tenant_id, now=harness.clock.now())
    read = await asyncio.gather(*(harness.storage.ask(load) for _ in range(12)))
    assert {settings.default_currency for settings in read} == {"AED"}
    assert await harness.count("tenant_settings") == 1


async def test_r44_there_is_one_default_currency(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    after = await harness.storage.ask(change(harness, me.tenant_id, me.user_id, default_currency="USD"))
    assert after.default_currency == "USD"
    assert await harness.db.fetchval("SELECT default_currency FROM tenants") == "USD"
    assert await harness.storage.ask(Load(tenant_id=me.tenant_id, now=harness.clock.now())) == after


async def test_r45_a_change_is_audited_and_no_change_is_not(harness: AccountsHarness) -> None:
    me = (await harness.sign_up()).principal
    changes = {"rate_limit_per_minute": 5, "system_prompt_suffix": "We sell to pilgrims.", "locale": "en"}
    for _ in range(2):
        await harness.storage.ask(change(harness, me.tenant_id, me.user_id, **changes))
    (event,) = await harness.events("settings.changed")
    said = json.loads(event["said"])
    assert said["before"] == {"rate_limit_per_minute": 60, "system_prompt_suffix": None}
    assert said["after"]["rate_limit_per_minute"] == 5
    assert "pilgrims" not in event["said"]


async def test_r43_hour_and_minute_are_judged_together_against_the_row(harness: AccountsHarness, refusal: Code) -> None:
    me = (await harness.sign_up()).principal
    await harness.storage.ask(change(harness, me.tenant_id, me.user_id, rate_limit_per_hour=100))
    refused = harness.storage.ask(change(harness, me.tenant_id, me.user_id, rate_limit_per_minute=101))
    assert await refusal(refused) == "rate_limit_hour_below_minute"
    assert (
        await harness.storage.ask(Load(tenant_id=me.tenant_id, now=harness.clock.now()))
    ).rate_limit_per_minute == 60


async def test_nobodys_settings_are_not_found(harness: AccountsHarness, refusal: Code) -> None:
    assert await refusal(harness.storage.ask(Load(tenant_id=uuid7(), now=harness.clock.now()))) == "tenant_not_found"
