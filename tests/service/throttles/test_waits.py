"""Guessing is slowed (identity 7): free attempts, waits, what clears them, and what is recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.figures import counted
from tests.service.throttles.attempts import EMAIL, HOME, OPERATIONS, OTHER, PASSWORD, WRONG, Harness, reset
from voyagent.actors.foundation import metrics


@pytest.mark.parametrize("name", OPERATIONS)
async def test_r8_r9_guessing_is_slowed_and_a_right_word_does_not_end_the_wait(name: str, harness: Harness) -> None:
    row = OPERATIONS[name]
    await row.before(harness)
    for _ in range(row.free + 1):
        assert (await row.wrong(harness)).status == row.counted
    waits = []
    for _ in range(3):
        for attempt in (row.wrong, row.right):
            told = await attempt(harness)
            assert told.short == (429, "too_many_attempts")
        waits.append(told.wait)
        assert told.wait is not None
        await harness.clock.advance(told.wait)
        assert (await row.wrong(harness)).status == row.counted
    assert waits == [2, 4, 8]
    await harness.clock.advance(16)
    assert (await row.right(harness)).status == row.right_is


@pytest.mark.parametrize("name", [name for name, row in OPERATIONS.items() if row.counted in {400, 401, 403}])
async def test_r9_whoever_errs_as_often_as_is_free_and_then_is_right_waits_for_nothing(
    name: str, harness: Harness
) -> None:
    row = OPERATIONS[name]
    await row.before(harness)
    for _ in range(row.free):
        assert (await row.wrong(harness)).status == row.counted
    assert (await row.right(harness)).status == row.right_is


async def test_r9_a_hundred_guesses_at_once_are_no_more_than_six(harness: Harness) -> None:
    await harness.turn_totp_on()
    judged = metrics.AUTH_ATTEMPTS_TOTAL.labels("sign_in_totp", "totp_invalid")
    before = counted(judged)
    wrong = OPERATIONS["sign-in-totp"].wrong
    told = await asyncio.gather(*(wrong(harness) for _ in range(100)))
    assert sorted({one.status for one in told}) == [401, 429]
    assert sum(one.status == 401 for one in told) == counted(judged) - before == 6


async def test_r9_the_free_attempts_are_configurable(desks: Callable[..., Any]) -> None:
    async with desks(VOYAGENT_GUARD_FREE_ATTEMPTS="8", VOYAGENT_GUARD_MAX_DELAY_SECONDS="3") as harness:
        await harness.sign_up()
        assert [(await harness.sign_in(WRONG)).status for _ in range(10)] == [401] * 9 + [429]
        await harness.clock.advance(2)
        assert (await harness.sign_in(WRONG)).status == 401
        assert (await harness.sign_in(WRONG)).wait == 3


async def test_sign_in_and_sign_in_totp_are_one_counter_and_a_right_password_alone_clears_nothing(
    harness: Harness,
) -> None:
    await harness.turn_totp_on()
    wrong_code = OPERATIONS["sign-in-totp"].wrong
    for _ in range(3):
        assert (await wrong_code(harness)).short == (401, "totp_invalid")
        assert (await harness.sign_in(PASSWORD)).short == (401, "totp_required")
        assert (await harness.sign_in(WRONG)).short == (401, "invalid_credentials")
    assert (await harness.sign_in(PASSWORD)).status == 429
    assert (await OPERATIONS["sign-in-totp"].right(harness)).status == 429


async def test_a_success_clears_the_pair_and_an_hour_of_silence_everything(harness: Harness) -> None:
    for _ in range(3):
        assert [(await harness.sign_in(WRONG)).status for _ in range(5)] == [401] * 5
        assert (await harness.sign_in(PASSWORD)).status == 200
    assert [(await harness.sign_in(WRONG)).status for _ in range(7)] == [401] * 6 + [429]
    harness.clock.skip(3600)
    assert [(await harness.sign_in(WRONG)).status for _ in range(5)] == [401] * 5


async def test_a_password_reset_clears_the_pair_and_the_account(harness: Harness) -> None:
    for number in range(21):
        await harness.sign_in(WRONG, f"203.0.113.{number}")
    for _ in range(6):
        await harness.sign_in(WRONG)
    assert (await harness.sign_in(PASSWORD)).status == (await harness.sign_in(PASSWORD, "203.0.113.99")).status == 429
    assert (await reset(harness)).status == 200
    assert (await harness.sign_in(OTHER)).status == 200
    assert (await harness.sign_in(OTHER, "203.0.113.99")).status == 200


async def test_the_throttle_comes_after_bearer_and_body_and_before_all_else(harness: Harness) -> None:
    wrong = OPERATIONS["change-password"].wrong
    for _ in range(6):
        await wrong(harness)
    assert (await wrong(harness)).status == 429
    weak = {"current_password": PASSWORD, "new_password": "password1234"}
    assert (await harness.send("/auth/change-password", weak, bearer=True)).status == 429
    assert (await harness.send("/auth/change-password", {}, bearer=True)).status == 422
    assert (await harness.send("/auth/change-password", weak)).status == 401


async def test_a_wait_costs_no_hash_and_no_look_up(harness: Harness) -> None:
    for _ in range(6):
        await harness.sign_in(WRONG)
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.sign_in_failed'", 6)
    assert (await harness.sign_in(WRONG)).status == 429
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.throttled'", 1)

    def work() -> tuple[float, float]:
        asked = sum(
            sample.value
            for metric in metrics.STORAGE_OPERATIONS_TOTAL.collect()
            for sample in metric.samples
            if sample.labels["operation"] in {"Find", "Networks", "SignIn"}
        )
        hashed = next(
            sample.value
            for metric in metrics.PASSWORD_HASH_SECONDS.collect()
            for sample in metric.samples
            if sample.name.endswith("_count")
        )
        return asked, hashed

    before = work()
    for password in (WRONG, PASSWORD):
        assert (await harness.sign_in(password)).status == 429
    assert work() == before


async def test_keys_made_and_revoked_again_are_counted_too(harness: Harness) -> None:
    """Fifty live keys are no bound for the rows they leave."""
    for number in range(201):
        made = await harness.send("/auth/api-keys", {"name": f"key {number}"}, bearer=True)
        assert made.status == 201
        assert (await harness.send(f"/auth/api-keys/{made.body['api_key']['id']}/revoke", bearer=True)).status == 204
    assert (await harness.send("/auth/api-keys", {"name": "another"}, bearer=True)).short == (429, "too_many_attempts")


async def test_r51_the_first_refusal_of_each_wait_is_in_the_audit_and_of_nobody_none(harness: Harness) -> None:
    counter = metrics.AUTH_THROTTLED_TOTAL.labels("sign_in", "pair")
    before = counted(counter)
    for email in (EMAIL, "nobody@example.com"):
        for _ in range(6):
            await harness.sign_in(WRONG, email=email)
        for _ in range(3):
            assert (await harness.sign_in(WRONG, email=email)).status == 429
    await harness.clock.advance(2)
    assert (await harness.sign_in(WRONG)).status == 401
    for _ in range(3):
        assert (await harness.sign_in(WRONG)).status == 429
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.throttled'", 2)
    for event in await harness.events():
        said = json.loads(event["inputs"])
        assert (said["operation"], said["bucket"], said["ip"]) == ("sign_in", "pair", HOME)
        assert said["request_id"]
        assert (event["status"], event["actor_kind"], event["actor_id"]) == ("rejected", "system", None)
        assert str(event["tenant_id"]) == harness.user["tenant_id"]
        assert json.loads(event["entity_refs"]) == {"user_id": harness.user["id"]}
    assert counted(counter) - before == 9


async def test_r52_a_thousand_refusals_are_one_row_and_an_exact_count(harness: Harness) -> None:
    counter = metrics.AUTH_THROTTLED_TOTAL.labels("sign_in", "pair")
    for _ in range(6):
        await harness.sign_in(WRONG)
    before = counted(counter)
    for _ in range(20):
        told = await asyncio.gather(*(harness.sign_in(WRONG) for _ in range(50)))
        assert {one.status for one in told} == {429}
    assert counted(counter) - before == 1_000
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.throttled'", 1)
    await harness.until("SELECT count(*) FROM audit_events WHERE kind = 'auth.sign_in_failed'", 6)
