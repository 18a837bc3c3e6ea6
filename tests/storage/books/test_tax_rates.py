"""Tax rates in the database: every agency begins with the same, sets its own, and each change is audited once."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from typing import Any

import asyncpg
import pytest

from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.tax_rates import TaxRate, defaults, in_force
from voyagent.storage.books.tax_rates import Read, Set
from voyagent.storage.engine.pool import connect

APRIL = date(2027, 4, 1)
RAISED = TaxRate("gst_india", "IGST", "", "standard", APRIL, 2000)


def read(agency: Any, clock: Any) -> Read:
    return Read(tenant_id=agency.tenant_id, now=clock.now())


def put(agency: Any, clock: Any, *rates: TaxRate) -> Set:
    origin = Origin(request_id="r-1")
    return Set(tenant_id=agency.tenant_id, rates=rates, by=agency.user_id, origin=origin, now=clock.now())


async def test_first_readers_agree_on_the_defaults(agency: Any, clock: Any) -> None:
    found = await asyncio.gather(*(agency.store.ask(read(agency, clock)) for _ in range(8)))
    assert all(each == found[0] for each in found)
    assert set(found[0]) == set(defaults())
    assert await agency.db.fetchval("SELECT count(*) FROM tax_rates") == len(defaults())


async def test_a_rate_is_set_from_a_day_on_for_one_agency_alone(agency: Any, other_agency: Any, clock: Any) -> None:
    after = await agency.store.ask(put(agency, clock, RAISED))
    assert after == await agency.store.ask(read(agency, clock))
    rates = {
        day: [rate.rate_bps for rate in in_force(after, day) if rate.tax == RAISED.tax]
        for day in (date(2027, 3, 31), APRIL)
    }
    assert list(rates.values()) == [[1800], [2000]]
    assert RAISED not in await other_agency.store.ask(read(other_agency, clock))


async def test_a_known_day_gets_another_rate_or_none(agency: Any, clock: Any) -> None:
    for bps in (2000, 1900, None):
        after = await agency.store.ask(put(agency, clock, RAISED._replace(rate_bps=bps)))
        assert len(after) == len(defaults()) + 1
        held = [rate.rate_bps for rate in in_force(after, APRIL) if rate.tax == RAISED.tax]
        assert held == ([] if bps is None else [bps])


async def test_a_change_of_rates_is_audited_and_no_change_is_not(agency: Any, clock: Any) -> None:
    packages = TaxRate("gst_india", "IGST", "", "tour_package", date(2017, 7, 1), 700)
    for _ in range(2):
        await agency.store.ask(put(agency, clock, RAISED, packages))
    (event,) = await agency.db.fetch("SELECT kind, actor_id::text, inputs FROM audit_events")
    assert (event["kind"], event["actor_id"]) == ("tax_rates.set", agency.user_id)
    said = json.loads(event["inputs"])["rates"]
    assert [(each["supply"], each["rate_bps_before"], each["rate_bps"]) for each in said] == [
        ("standard", None, 2000),
        ("tour_package", 500, 700),
    ]
    assert said[0]["holds_from"] == "2027-04-01"


@pytest.mark.parametrize(
    ("column", "value"),
    [("code", "igst"), ("supply", "Tour"), ("rate_bps", -1), ("rate_bps", 100_001), ("regime", "x")],
)
async def test_the_database_refuses_a_rate_that_is_none(
    column: str, value: Any, agency: Any, database: Any, clock: Any
) -> None:
    await agency.store.ask(read(agency, clock))
    db = await connect(database.url)
    await db.serve(agency.tenant_id)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await db.execute(f"UPDATE tax_rates SET {column} = $1 WHERE code = 'IGST' AND supply = 'standard'", value)
    await db.close()
    assert refused.value.constraint_name == f"ck_tax_rates_{column}"
