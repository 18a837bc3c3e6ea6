"""Guessing is slowed by network (identity 7): known and unknown ones, shared and wide ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.service.throttles.attempts import EMAIL, OPERATIONS, PASSWORD, WRONG, Harness


async def test_r10_an_unknown_network_cannot_lock_the_owner_out(harness: Harness) -> None:
    for number in range(21):
        assert (await harness.sign_in(WRONG, f"203.0.113.{number}")).status == 401
    for password in (WRONG, PASSWORD):
        told = await harness.sign_in(password, "203.0.113.99")
        assert (told.short, told.wait) == ((429, "too_many_attempts"), 2)
    assert (await harness.sign_in(WRONG)).short == (401, "invalid_credentials")
    assert (await harness.sign_in(PASSWORD)).status == 200
    assert (await harness.sign_in(PASSWORD, "203.0.113.99")).status == 429


async def test_r10_the_networks_of_an_ipv6_owner_are_their_64(desks: Callable[..., Any]) -> None:
    async with desks() as harness:
        await harness.sign_up(ip="2001:db8:1:2::1")
        for number in range(21):
            assert (await harness.sign_in(WRONG, f"2001:db8:1:{number + 100}::1")).status == 401
        assert (await harness.sign_in(PASSWORD, "2001:db8:1:3::1")).status == 429
        assert (await harness.sign_in(PASSWORD, "2001:db8:1:2:ffff::9")).status == 200


async def test_a_full_network_stops_unknown_callers_and_not_its_known_ones(harness: Harness) -> None:
    for number in range(51):
        assert (await harness.sign_in(WRONG, email=f"nobody-{number}@example.com")).status == 401
    assert (await harness.sign_in(WRONG, email="nobody@example.com")).status == 429
    assert (await harness.sign_in(PASSWORD)).status == 200
    assert (await harness.sign_in(WRONG)).status == 401


async def test_failures_in_a_known_network_are_not_counted_against_the_network_or_the_account(harness: Harness) -> None:
    """Each counted as unknown until it was found out whose it was."""
    for number in range(20):
        assert (await harness.sign_in(WRONG, f"203.0.113.{number}")).status == 401
    for _ in range(5):
        assert (await harness.sign_in(WRONG)).status == 401
    assert (await harness.sign_in(WRONG, "203.0.113.90")).status == 401
    assert (await harness.sign_in(WRONG, "203.0.113.91")).wait == 2


@pytest.mark.parametrize("mode", ["accounts", "off"])
async def test_where_everybody_comes_from_one_network_it_is_not_counted(mode: str, desks: Callable[..., Any]) -> None:
    async with desks(VOYAGENT_GUARD=mode) as harness:
        await harness.sign_up()
        statuses = await asyncio.gather(*(OPERATIONS["refresh"].wrong(harness) for _ in range(60)))
        assert {told.status for told in statuses} == {401}
        signed_in = [(await harness.sign_in(WRONG)).status for _ in range(7)]
        assert signed_in == [401] * 6 + [429 if mode == "accounts" else 401]


async def test_r30_the_22nd_sign_up_from_a_network_waits_whether_the_address_is_taken_or_free(harness: Harness) -> None:
    statuses = [(await harness.sign_up(f"new-{n}@example.com" if n % 2 else EMAIL)).status for n in range(20)]
    assert statuses == [409, 201] * 10
    for email in (EMAIL, "yet-another@example.com"):
        assert (await harness.sign_up(email)).short == (429, "too_many_attempts")
    assert (await harness.sign_up("elsewhere@example.com", "203.0.113.7")).status == 201


async def test_r30_a_change_of_address_tells_taken_from_free_as_slowly_as_a_sign_up(harness: Harness) -> None:
    await harness.sign_up("ravi@example.com")
    told = [await harness.update(email=EMAIL if n % 2 else f"mine-{n}@example.com") for n in range(6)]
    assert [one.status for one in told] == [200, 409] * 3
    for email in (EMAIL, "free@example.com"):
        told_now = await harness.update(email=email)
        assert (told_now.short, told_now.wait) == ((429, "too_many_attempts"), 2)
    mine = told[4].body["user"]["email"]
    assert (await harness.update(full_name="Ravi", email=mine)).status == 200, "nothing is claimed"
    assert (await harness.update(full_name="Ravi Rao")).status == 200


async def test_r30_sign_ups_and_changes_of_address_fill_one_bucket_of_the_network(harness: Harness) -> None:
    """Whoever makes an account for each five changes gains nothing, at home in the network or not."""
    statuses = []
    for number in range(4):
        statuses.append((await harness.sign_up(f"probe-{number}@example.com")).status)
        statuses += [(await harness.update(email=EMAIL)).status for _ in range(5)]
    assert statuses.count(409) + statuses.count(201) == 20
    assert statuses[-1] == 429
    assert (await harness.update("203.0.113.7", email=EMAIL)).status == 409


async def test_right_passwords_of_one_network_leave_room_for_everybody_else(harness: Harness) -> None:
    """Twelve accounts, five sign-ins each at once, all right: who comes from elsewhere is served all the same."""
    for number in range(12):
        assert (await harness.sign_up(f"crowd-{number}@example.com", f"203.0.113.{number}")).status == 201
    crowd = [
        asyncio.create_task(harness.sign_in(PASSWORD, "203.0.113.99", f"crowd-{number % 12}@example.com"))
        for number in range(60)
    ]
    bystander = [(await harness.sign_in(PASSWORD)).status for _ in range(3)]
    told = await asyncio.gather(*crowd)
    assert bystander == [200] * 3
    assert {one.status for one in told} == {200, 429}
    assert all(one.wait for one in told if one.status == 429)
    assert (await harness.sign_in(PASSWORD, "203.0.113.99", "crowd-1@example.com")).status == 200


async def test_the_networks_of_one_48_share_a_bucket_of_ten_times_the_size(desks: Callable[..., Any]) -> None:
    wrong = {"refresh_token": "x" * 43}
    async with desks(VOYAGENT_GUARD_NETWORK_FREE_ATTEMPTS="2") as harness:
        for number in range(21):
            assert (await harness.send("/auth/refresh", wrong, f"2001:db8:1:{number:x}::1")).status == 401
        for ip in ("2001:db8:1:ffff::1", "2001:db8:1:0::1"):
            assert (await harness.send("/auth/refresh", wrong, ip)).short == (429, "too_many_attempts")
        assert (await harness.send("/auth/refresh", wrong, "2001:db8:2:1::1")).status == 401


async def test_an_office_that_comes_back_at_once_is_not_taken_for_guessing(desks: Callable[..., Any]) -> None:
    """Nobody guesses a secret of 128 bits and more: such attempts are counted once they have failed."""
    async with desks(VOYAGENT_GUARD_NETWORK_FREE_ATTEMPTS="2") as harness:
        await harness.sign_up()
        right = OPERATIONS["refresh"].right
        assert {told.status for told in await asyncio.gather(*(right(harness) for _ in range(32)))} == {200}
        wrong = OPERATIONS["refresh"].wrong
        assert [(await wrong(harness)).status for _ in range(4)] == [401] * 3 + [429]
        assert (await right(harness)).status == 429


async def test_r30_twenty_reset_requests_from_twenty_networks_are_five_emails(desks: Callable[..., Any]) -> None:
    async with desks(VOYAGENT_AUTH_DEBUG_TOKENS="false") as harness:
        await harness.sign_up()
        told = [
            await harness.send("/auth/request-password-reset", {"email": EMAIL}, f"203.0.113.{number}")
            for number in range(20)
        ]
        assert {(one.status, str(one.body)) for one in told} == {(200, str(told[0].body))}
        waiting = "SELECT count(*) FROM outbox WHERE state = 'due'"
        await harness.until(waiting, 0)
        emails = await harness.db.fetchval("SELECT count(*) FROM outbox WHERE kind = 'password_reset'")
        living = await harness.db.fetchval(
            "SELECT count(*) FROM one_time_tokens WHERE kind = 'reset' AND used_at IS NULL"
        )
        assert (emails, living) == (5, 1)


async def test_bodies_that_cannot_be_read_are_slowed_by_network_and_nobody_else_is(desks: Callable[..., Any]) -> None:
    async with desks(VOYAGENT_GUARD_NETWORK_FREE_ATTEMPTS="3") as harness:
        for body in ({"email": 1}, {"else": 2}, {"email": "a" * 20_000}, {}):
            assert (await harness.send("/auth/sign-in", body)).status in {413, 422}
        slowed = await harness.send("/auth/sign-up", {"email": 1})
        assert slowed.short == (429, "too_many_attempts")
        assert slowed.wait is not None
        assert (await harness.send("/auth/sign-in", {"email": 1}, ip="203.0.113.9")).status == 422
        assert (await harness.send("/auth/sign-in", {"email": EMAIL, "password": PASSWORD})).status in {200, 401}
