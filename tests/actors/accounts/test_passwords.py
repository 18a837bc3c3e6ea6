"""Hashing in its own pool: the same cost for everybody, a bounded queue, and a free loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.waiting import Event
from voyagent.actors.accounts.hash_queue import MAX_WAITING, Asker, Bounds, HashQueue
from voyagent.actors.accounts.passwords import Passwords
from voyagent.actors.domain.errors import Throttled, Unavailable
from voyagent.actors.foundation import metrics

CHEAP = {"time_cost": 1, "memory_cost": 8192, "parallelism": 1}


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(**CHEAP, workers=2)
    yield made
    made.close()


def hashes_made() -> float:
    return sum(s.value for m in metrics.PASSWORD_HASH_SECONDS.collect() for s in m.samples if s.name.endswith("_count"))


async def test_a_password_fits_its_own_hash_only(passwords: Passwords) -> None:
    stored = await passwords.hash("mango-trellis-47")
    assert stored.startswith("$argon2id$v=19$m=8192,t=1,p=1$")
    assert await passwords.verify(stored, "mango-trellis-47")
    assert not await passwords.verify(stored, "mango-trellis-48")
    assert await passwords.hash("mango-trellis-47") != stored


async def test_a_password_is_the_same_from_every_keyboard_and_never_trimmed(passwords: Passwords) -> None:
    """RFC 8265, 4.2: composed or not, with whatever blank the keyboard has."""
    stored = await passwords.hash(" p\u00e4ssword 47 ")
    for same in (" pa\u0308ssword 47 ", "\u00a0p\u00e4ssword\u200347 "):
        assert await passwords.verify(stored, same)
        assert await passwords.verify(await passwords.hash(same), " p\u00e4ssword 47 ")
    for other in ("p\u00e4ssword 47", " passwor\u0308d 47 ", " P\u00e4ssword 47 ", " p\u00e4ssword  47 "):
        assert not await passwords.verify(stored, other)


async def test_r29_nobodys_password_costs_one_hash_from_the_first_time_on() -> None:
    fresh = Passwords(**CHEAP, workers=1)
    before = hashes_made()
    assert not await fresh.verify(None, "mango-trellis-47")
    assert not await fresh.verify("", "")
    assert hashes_made() - before == 2
    fresh.close()


async def test_r56_a_hash_with_other_figures_is_outdated(passwords: Passwords) -> None:
    dearer = Passwords(time_cost=2, memory_cost=8192, parallelism=1, workers=1)
    stored = await passwords.hash("mango-trellis-47")
    assert not passwords.outdated(stored)
    assert dearer.outdated(stored)
    assert await dearer.verify(stored, "mango-trellis-47")
    dearer.close()


async def test_a_broken_hash_fits_nothing_and_breaks_nothing(passwords: Passwords) -> None:
    assert not await passwords.verify("plain text", "plain text")
    assert not await passwords.verify("$argon2id$v=19$m=8192,t=1,p=1$broken", "x")


async def test_r48_the_sixty_fifth_waiter_is_refused_and_the_queue_recovers() -> None:
    passwords = Passwords(**CHEAP, workers=1)
    running = [asyncio.ensure_future(passwords.verify(None, "x")) for _ in range(1 + MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refused:
        await passwords.verify(None, "x")
    assert refused.value.code == "overloaded"
    assert not any(await asyncio.gather(*running))
    assert not await passwords.verify(None, "x")
    passwords.close()


async def test_r48_a_waiter_who_leaves_gives_their_place_back() -> None:
    passwords = Passwords(**CHEAP, workers=1)
    running = [asyncio.ensure_future(passwords.verify(None, "x")) for _ in range(1 + MAX_WAITING)]
    await asyncio.sleep(0)
    running[-1].cancel()
    await asyncio.wait({running[-1]})
    assert not await passwords.verify(None, "x")
    await asyncio.gather(*running[:-1])
    passwords.close()


async def test_a_place_that_is_left_as_its_next_owner_leaves_is_not_lost() -> None:
    queue, gate = HashQueue(1, Bounds()), Event()

    async def ask() -> None:
        async with queue.place(Asker("1", "1")):
            await gate.wait()

    running, waiting = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    gate.set()
    waiting.cancel()
    assert (await asyncio.gather(running, waiting, return_exceptions=True))[0] is None
    assert waiting.cancelled()
    async with asyncio.timeout(5), queue.place(Asker("1", "1")):
        pass


async def test_r48_the_loop_turns_while_passwords_are_hashed() -> None:
    passwords = Passwords(time_cost=2, memory_cost=65536, parallelism=1, workers=2)
    hashing = asyncio.gather(*(passwords.hash("mango-trellis-47") for _ in range(4)))
    for turn in range(20):
        await asyncio.sleep(0)
        assert not hashing.done(), f"the loop turned {turn} times"
    await hashing
    passwords.close()


async def test_right_passwords_of_one_network_do_not_keep_the_next_one_out() -> None:
    """A network's newcomer is next, however many of another's wait; and these are no more than fit."""
    passwords = Passwords(**CHEAP, workers=1, bounds=Bounds(account=8, network=8))
    order: list[str] = []

    async def ask(account: str, network: str) -> None:
        await passwords.verify(None, "x", Asker(account, network))
        order.append(account)

    crowd = [asyncio.ensure_future(ask(f"crowd-{number}", "192.0.2.1")) for number in range(20)]
    await asyncio.sleep(0)
    bystanders = [asyncio.ensure_future(ask(f"bystander-{number}", "198.51.100.9")) for number in range(2)]
    told = await asyncio.gather(*crowd, *bystanders, return_exceptions=True)
    refused = [each for each in told if isinstance(each, Throttled)]
    assert (len(refused), {each.code for each in refused}) == (20 - 1 - 8, {"too_many_attempts"})
    assert all(each.retry_after for each in refused)
    assert order[:6] == ["crowd-0", "crowd-1", "bystander-0", "crowd-2", "bystander-1", "crowd-3"]
    await ask("crowd-20", "192.0.2.1")
    passwords.close()


async def test_an_account_fills_no_more_than_its_part_of_the_queue_from_any_number_of_networks() -> None:
    passwords = Passwords(**CHEAP, workers=1, bounds=Bounds(account=8, network=8))
    asked = [passwords.verify(None, "x", Asker("asha", f"198.51.100.{number}")) for number in range(20)]
    told = await asyncio.gather(*asked, passwords.verify(None, "x", Asker("ravi", "192.0.2.1")), return_exceptions=True)
    assert sum(isinstance(each, Throttled) for each in told) == 12
    assert told[-1] is False
    assert not await passwords.verify(None, "x", Asker("asha", "198.51.100.1"))
    passwords.close()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-1, 3)), max_size=40))
async def test_whoever_comes_and_goes_no_place_is_lost_and_none_is_given_twice(
    steps: list[tuple[int, int, int]],
) -> None:
    """Step: an account and a network that ask, and after how many others they are let go or, with -1, leave."""
    queue, running = HashQueue(2, Bounds(account=4, network=3)), 0
    gates: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    async def ask(account: int, network: int, gate: asyncio.Event) -> None:
        nonlocal running
        async with queue.place(Asker(str(account), str(network))):
            running += 1
            try:
                assert running <= 2
                await gate.wait()
            finally:
                running -= 1

    for account, network, pause in steps:
        gate = Event()
        gates.append((gate, asyncio.create_task(ask(account, network, gate))))
        await asyncio.sleep(0)
        if pause == -1:
            gates[-1][1].cancel()
        elif len(gates) > pause:
            gates[-1 - pause][0].set()
        await asyncio.sleep(0)
    for gate, _task in gates:
        gate.set()
    told = await asyncio.gather(*(task for _gate, task in gates), return_exceptions=True)
    assert {type(each) for each in told} <= {type(None), Throttled, asyncio.CancelledError}
    async with asyncio.timeout(5), queue.place(Asker("0", "0")), queue.place(Asker("0", "0")):
        assert running == 0
        third = asyncio.create_task(ask(0, 0, Event()))
        await asyncio.sleep(0)
        assert running == 0
        third.cancel()
        await asyncio.wait({third})
