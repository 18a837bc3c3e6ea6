"""Settings over the wire, and the turn after them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person

Join = Callable[["Person", str], Awaitable["Person"]]
BORN = {
    "model": None,
    "system_prompt_suffix": None,
    "rate_limit_per_minute": 60,
    "rate_limit_per_hour": 1000,
    "daily_token_budget": None,
    "locale": "en",
    "timezone": "UTC",
    "default_currency": "INR",
    "invoice_series": "INV-{n:06}",
    "bill_series": "BILL-{n:06}",
    "credit_note_series": "CN-{n:06}",
    "financial_year_start_month": 4,
}


async def patch(who: Person, **changes: Any) -> tuple[int, Any]:
    return await who.call("PATCH", "/tenant-settings", json=changes)


async def test_r44_an_agency_begins_with_the_defaults(asha: Person) -> None:
    assert await asha.get("/tenant-settings") == {"tenant_id": asha.user["tenant_id"], **BORN}


async def test_r44_twelve_first_readers_agree_on_one_row(asha: Person, admin: Admin) -> None:
    await admin.execute("DELETE FROM tenant_settings")
    answers = await asyncio.gather(*(asha.get("/tenant-settings") for _ in range(12)))
    assert all(answer == answers[0] for answer in answers)
    assert await admin.value("SELECT count(*) FROM tenant_settings") == 1


async def test_r44_the_agency_and_its_settings_agree_on_the_currency(asha: Person, admin: Admin) -> None:
    assert await admin.value("SELECT default_currency FROM tenants") == "INR"
    status, body = await patch(asha, default_currency="AED")
    assert (status, body["default_currency"]) == (200, "AED")
    assert await admin.value("SELECT default_currency FROM tenants") == "AED"


async def test_r45_the_next_turn_obeys_and_the_audit_has_before_and_after(asha: Person, admin: Admin) -> None:
    session = await asha.session()
    assert [seen.kind for seen in await asha.say(session, "hello")][-1] == "final"
    status, body = await patch(asha, rate_limit_per_minute=1)
    assert (status, body["rate_limit_per_minute"]) == (200, 1)
    events = await asha.say(session, "hello again")
    (error,) = [seen for seen in events if seen.kind == "error"]
    assert "rate" in error.raw.decode()
    await patch(asha, rate_limit_per_minute=60)
    assert not [seen for seen in await asha.say(session, "once more") if seen.kind == "error"]
    query = "SELECT inputs::text FROM audit_events WHERE kind = 'settings.changed' ORDER BY seq LIMIT 1"
    told = json.loads(await admin.value(query))
    assert (told["before"], told["after"]) == ({"rate_limit_per_minute": 60}, {"rate_limit_per_minute": 1})
    assert told["request_id"]


async def test_what_is_absent_stays_and_what_may_be_null_is_cleared(asha: Person, admin: Admin) -> None:
    changes = {
        "model": "claude-opus-4-6",
        "system_prompt_suffix": "",
        "daily_token_budget": 2**53 - 1,
        "rate_limit_per_minute": 10_000,
        "rate_limit_per_hour": 1_000_000,
        "locale": "hi",
        "timezone": "Asia/Calcutta",
        "default_currency": "USD",
        "invoice_series": "{fy}/{n:04}",
        "bill_series": "B{yy}-{n}",
        "credit_note_series": "C-{n:012}",
        "financial_year_start_month": 1,
    }
    status, body = await patch(asha, **changes)
    assert (status, body) == (200, {"tenant_id": asha.user["tenant_id"], **changes})
    assert (await patch(asha))[1] == body
    cleared = dict.fromkeys(("model", "system_prompt_suffix", "daily_token_budget"))
    status, after = await patch(asha, **cleared)
    assert (status, after) == (200, body | cleared)
    assert (await admin.audit_kinds()).count("settings.changed") == 2


MODELS = ["claude-sonnet-5", "", 1]
INTS = [None, True, 1.5, 120.0, "120", 0, -1]
SERIES = [
    "",
    "INV",
    "{n}{n}",
    "INV_{n}",
    "INV {n}",
    "INVOICES/{n:010}",
    "{x}{n}",
    "{n:06",
    "{n:13}",
    "\u0661{n}",
    "x" * 33,
]
BAD = {
    "model": MODELS,
    "system_prompt_suffix": ["x" * 10_001, 1],
    "rate_limit_per_minute": [*INTS, 10_001],
    "rate_limit_per_hour": [*INTS, 1_000_001],
    "daily_token_budget": [*INTS[1:], 2**53],
    "locale": [None, "de", "EN", ""],
    "timezone": [None, "Mars/Olympus", "localtime", "posixrules", "Factory", "", " UTC", "../UTC", "x" * 65],
    "default_currency": [None, "ZZZ", "inr", "", "INRX", "DEM", 356],
    "invoice_series": [None, *SERIES],
    "bill_series": SERIES,
    "credit_note_series": SERIES,
    "financial_year_start_month": [None, 0, 13, "4", 4.0, True],
    "tenant_id": ["x"],
}


@pytest.mark.parametrize("field", BAD)
async def test_r43_what_a_field_cannot_be_is_422_and_never_repeated(asha: Person, field: str) -> None:
    for value in BAD[field]:
        status, body = await patch(asha, **{field: value})
        assert status == 422, value
        (item,) = body["detail"]
        assert item["loc"] == ["body", field]
        assert "input" not in item
    assert (await asha.get("/tenant-settings")) == {"tenant_id": asha.user["tenant_id"], **BORN}


async def test_r43_the_codes_are_those_of_the_contract_and_come_all_at_once(asha: Person) -> None:
    wrong = {"model": "x", "locale": "de", "timezone": "x", "default_currency": "x", "rate_limit_per_hour": None}
    _, body = await patch(asha, **wrong)
    told = {item["loc"][1]: (item["type"], item.get("ctx", {}).get("code")) for item in body["detail"]}
    assert told == {
        "model": ("literal_error", None),
        "locale": ("literal_error", None),
        "timezone": ("value_error", "invalid_timezone"),
        "default_currency": ("value_error", "invalid_currency"),
        "rate_limit_per_hour": ("int_type", None),
    }


async def test_r43_an_hour_below_the_minute_is_refused_as_sent_and_against_the_row(asha: Person) -> None:
    refused = (422, {"detail": "rate_limit_hour_below_minute"})
    assert await patch(asha, rate_limit_per_minute=100, rate_limit_per_hour=99) == refused
    assert await patch(asha, rate_limit_per_hour=59) == refused
    assert await patch(asha, rate_limit_per_minute=1001) == refused
    assert (await patch(asha, rate_limit_per_minute=59, rate_limit_per_hour=59))[0] == 200


async def test_only_an_admin_changes_settings_and_everybody_reads_them(asha: Person, member: Join) -> None:
    for role in ("ticketing_lead", "accounting_lead", "agent", "viewer"):
        colleague = await member(asha, role)
        assert (await colleague.get("/tenant-settings"))["default_currency"] == "INR"
        assert await patch(colleague, locale="de") == (403, {"detail": "forbidden_role"})


async def test_r60_settings_are_each_agencys_own(asha: Person, running: Any) -> None:
    other = await running.sign_up("other")
    await patch(other, locale="hi")
    assert (await asha.get("/tenant-settings"))["locale"] == "en"


async def test_a_stored_model_that_left_the_list_is_shown_and_the_default_used(asha: Person, admin: Admin) -> None:
    await admin.execute("UPDATE tenant_settings SET model = 'claude-of-old'")
    assert (await asha.get("/tenant-settings"))["model"] == "claude-of-old"
    session = await asha.session()
    assert (await asha.say(session, "hello"))[-1].kind == "final"
    assert await admin.value("SELECT model FROM model_calls LIMIT 1") == admin.running.settings.agent_model
