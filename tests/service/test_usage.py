"""What an agency's conversations took of the model (business 8.4, 9.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.rehearsal import Break, Failure, Gate, Text, Turn

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Make, Person, Running

MODEL = "claude-sonnet-5-5"
KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
FOUR = {
    "input_tokens": 1_000,
    "output_tokens": 200,
    "cache_read_input_tokens": 30_000,
    "cache_creation_input_tokens": 4_000,
}


@pytest.fixture
def settings_for(settings_for: Make) -> Make:
    """A service that knows what its usual model costs, and of no other."""
    return partial(settings_for, VOYAGENT_MODEL_PRICES=f"{MODEL}=3/15/0.30/3.75@2026-11-01")


async def usage(person: Person, query: str = "") -> Any:
    return await person.get(f"/reports/usage{query}")


async def test_b42_every_call_is_priced_with_all_four_kinds_of_tokens_failed_ones_too(
    asha: Person, running: Running
) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn("Hello.", usage=FOUR))
    await asha.say(session, "one")
    running.rehearsal.play(Failure(404))
    await asha.say(session, "two")
    running.rehearsal.play(Turn(Text.split("half ", "an answer"), usage=FOUR, fault=Break(after=4)))
    broken = await asha.say(session, "three")
    assert [event.kind for event in broken][-2:] == ["error", "final"]
    report = await usage(asha)
    [item] = report["items"]
    assert (item["model"], item["calls"]) == (MODEL, 3)
    assert (item["date"], report["period"]["to"]) == (datetime.now(UTC).date().isoformat(),) * 2
    assert item["input_tokens"] == 2_000
    assert item["cache_read_tokens"] == 60_000
    assert item["cache_write_tokens"] == 8_000
    assert 200 < item["output_tokens"] < 400
    figures = zip(KINDS, ("3", "15", "0.30", "3.75"), strict=True)
    cost = sum(item[kind] * Decimal(price) for kind, price in figures) / 1_000_000
    assert item["cost_usd"] == f"{cost:.8f}"
    assert report["totals"] == {
        **{name: item[name] for name in ("calls", *KINDS)},
        "cost_usd": f"{cost:.8f}",
        "unpriced_calls": 0,
    }
    assert report["budget"]["used_today"] == sum(item[kind] for kind in KINDS)
    assert await usage(asha) == report


async def test_b42_an_unknown_price_is_null_and_the_total_sums_what_is_known(asha: Person, running: Running) -> None:
    session, other = await asha.session(), next(name for name in running.settings.agent_models if name != MODEL)
    for model in (MODEL, other):
        assert (await asha.call("PATCH", "/tenant-settings", json={"model": model}))[0] == 200
        running.rehearsal.play(Turn("Hello.", usage=FOUR))
        await asha.say(session, model)
    report = await usage(asha)
    costs = {item["model"]: item["cost_usd"] for item in report["items"]}
    assert list(costs) == sorted(costs)
    assert costs[other] is None
    assert report["totals"]["cost_usd"] == costs[MODEL] == "0.03000000"
    assert (report["totals"]["calls"], report["totals"]["unpriced_calls"]) == (2, 1)


async def test_the_budget_shows_what_a_call_under_way_has_reserved(asha: Person, running: Running) -> None:
    status, _ = await asha.call("PATCH", "/tenant-settings", json={"daily_token_budget": 1_000_000})
    assert status == 200
    empty = await usage(asha)
    assert empty["budget"] == {"limit": 1_000_000, "used_today": 0, "reserved": 0}
    assert (empty["items"], empty["totals"]["calls"], empty["totals"]["cost_usd"]) == ([], 0, "0.00000000")
    gate = Gate()
    running.rehearsal.play(Turn(Text.split("a", "b"), gate=gate, usage=FOUR))
    stream = await asha.post(await asha.session(), {"message": "hello"})
    await gate.release()
    await stream.next()
    during = await usage(asha)
    assert during["budget"]["used_today"] == 0
    assert during["budget"]["reserved"] > 0
    assert during["items"] == []
    await gate.open()
    await stream.all()
    assert (await usage(asha))["budget"] == {"limit": 1_000_000, "used_today": 35_200, "reserved": 0}


async def test_days_are_utc_and_both_ends_count(asha: Person, running: Running, admin: Admin) -> None:
    running.rehearsal.play(Turn("Hello.", usage=FOUR))
    await asha.say(await asha.session(), "one")
    await admin.execute("UPDATE model_calls SET created_at = '2026-01-31T23:59:59.999999Z'")
    for query, calls in (
        ("?from=2026-01-31&to=2026-01-31", 1),
        ("?from=2026-02-01&to=2026-02-01", 0),
        ("?from=2026-01-30&to=2026-01-30", 0),
        ("?to=2026-02-10", 1),
        ("?to=0001-01-01", 0),
        ("?to=9999-12-31", 0),
    ):
        assert (await usage(asha, query))["totals"]["calls"] == calls, query
    assert (await usage(asha, "?to=2026-02-10"))["period"] == {"from": "2026-01-12", "to": "2026-02-10"}


async def test_periods_that_make_no_sense_are_refused(asha: Person) -> None:
    for query, detail in (
        ("?from=2026-02-02&to=2026-02-01", "from must be on or before to"),
        ("?from=2025-01-01&to=2026-01-02", "range_too_long"),
    ):
        assert await asha.call("GET", f"/reports/usage{query}") == (422, {"detail": detail})
    assert (await usage(asha, "?from=2025-01-01&to=2026-01-01"))["items"] == []
    for odd in ("2026-2-1", "20260201", "2026-02-30", "today", "1769904000"):
        status, body = await asha.call("GET", f"/reports/usage?from={odd}")
        assert (status, body["detail"][0]["loc"]) == (422, ["query", "from"]), odd


async def test_only_leads_and_admins_see_it_and_only_their_agency(asha: Person, running: Running, member: Any) -> None:
    await asha.say(await asha.session(), "hello")
    expected = await usage(asha)
    for role in ("ticketing_lead", "accounting_lead"):
        assert await usage(await member(asha, role)) == expected
    for role in ("agent", "viewer"):
        other = await member(asha, role)
        assert await other.call("GET", "/reports/usage?from=x") == (403, {"detail": "forbidden_role"})
    assert (await usage(await running.sign_up()))["items"] == []
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    assert (await usage(asha, f"?to={yesterday}"))["items"] == []
