"""What an agency has set counts from its next turn on; what it has left is never overdrawn (business 9.1, 9.2)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tests.rehearsal import Gate, Turn
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

FAR = "Pacific/Kiritimati"
"""Fourteen hours ahead of UTC."""
AT_ONCE = 20


async def test_b44_model_suffix_language_zone_and_currency_reach_the_next_turn(asha: Person, running: Running) -> None:
    session = await asha.session()
    await asha.say(session, "hello")
    before = running.rehearsal.requests[-1]
    wanted = {
        "model": "claude-haiku-5-5",
        "system_prompt_suffix": "Mention our lounge.",
        "locale": "hi",
        "timezone": FAR,
        "default_currency": "AED",
    }
    assert (await asha.call("PATCH", "/tenant-settings", json=wanted))[0] == 200
    await asha.say(session, "hello again")
    after = running.rehearsal.requests[-1]
    assert (before.body["model"], after.body["model"]) == ("claude-sonnet-5-5", "claude-haiku-5-5")
    assert after.system.endswith("Mention our lounge.")
    assert f"the agency's time zone {FAR}" in after.system
    assert f"Today is {datetime.now(UTC).astimezone(ZoneInfo(FAR)).date()}" in after.system
    assert "AED" in after.system
    assert "AED" not in before.system
    assert "Hindi" in after.system


async def test_b43_turns_at_once_never_reserve_more_than_is_left_of_the_day(
    asha: Person, running: Running, admin: Admin
) -> None:
    session = await asha.session()
    await asha.say(session, "hello")
    estimate = await admin.value("SELECT estimate FROM model_calls")
    used = (await asha.get("/reports/usage"))["budget"]["used_today"]
    limit = used + 3 * estimate + estimate // 2
    assert (await asha.call("PATCH", "/tenant-settings", json={"daily_token_budget": limit}))[0] == 200
    gate = Gate()
    running.rehearsal.reset()
    running.rehearsal.play(*[Turn("One moment.", gate=gate)] * AT_ONCE)
    sessions = [await asha.session() for _ in range(AT_ONCE)]
    streams = [await asha.post(each, {"message": "hello"}) for each in sessions]
    waiting = [asyncio.create_task(stream.all()) for stream in streams]
    await running.rehearsal.received(3)
    refused = 0
    while refused < AT_ONCE - 3:
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waiting = list(pending)
        for each in done:
            assert (await each)[0].data["error_message"].startswith(f"daily_budget_exceeded: limit={limit} used=")
        refused += len(done)
    await gate.open()
    ended = await asyncio.gather(*waiting)
    assert [events[-1].kind for events in ended] == ["final"] * 3
    assert running.rehearsal.count == 3
    total = "SELECT sum(input_tokens + output_tokens + cache_read_tokens + cache_write_tokens) FROM model_calls"
    spent = await admin.value(total)
    assert spent <= limit
    assert (await asha.get("/reports/usage"))["budget"]["used_today"] == spent
    await running.service.stop()
    async with Service(running.settings) as again:
        asha.url = again.url
        assert (await asha.get("/reports/usage"))["budget"]["used_today"] == spent
