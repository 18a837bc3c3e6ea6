"""Clients that drop their connections get exactly what they missed (business 3.6)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.rehearsal import Turn

from .events import kinds, whole

TURNS_A_SESSION = 10


async def dropping(person: Any, chance: random.Random, left: list[int]) -> dict[str, list[Any]]:
    """Talk, losing the connection again and again; all that was told, in order, by session."""
    logs: dict[str, list[Any]] = {}
    while left[0] > 0:
        session = await person.session()
        told = logs[session] = []
        for number in range(TURNS_A_SESSION):
            await listen(person, session, f"turn {number}", told, chance, left)
    return logs


async def listen(person: Any, session: str, text: str, told: list[Any], chance: random.Random, left: list[int]) -> None:
    """Say something and come back after every loss, with a cursor in a header or in the address."""
    stream = await person.post(session, {"message": text})
    while True:
        stop = chance.randrange(1, 8)
        while stop and (seen := await stream.next()) is not None and seen.id is not None:
            told.append(seen)
            stop = 0 if seen.kind == "final" else stop - 1
        stream.response.close()
        if told[-1].kind == "final":
            return
        left[0] -= 1
        cursor = str(told[-1].id)
        match chance.randrange(3):
            case 0:
                stream = await person.watch(session, f"?last_event_id={cursor}")
            case 1:
                stream = await person.watch(session, **{"Last-Event-ID": cursor})
            case _:
                stream = await person.post(session, {}, **{"Last-Event-ID": cursor})


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_b20_random_disconnects_lose_and_repeat_nothing(count: int, asha: Any, running: Any, admin: Any) -> None:
    await admin.execute("UPDATE tenant_settings SET rate_limit_per_minute = 10000, rate_limit_per_hour = 1000000")
    running.rehearsal.play(*[Turn("one two three four five six seven eight nine ten " * 4, delay=0.001)] * count)
    chance, left = random.Random(count), [count]
    for logs in await asyncio.gather(*(dropping(asha, chance, left) for _ in range(10))):
        for session, told in logs.items():
            whole(told)
            assert kinds(told).count("final") == TURNS_A_SESSION
            assert [event.raw for event in told] == [event.raw for event in await asha.replay(session)]
    assert left[0] <= 0
    assert await admin.value("SELECT count(*) FROM turns WHERE state <> 'completed'") == 0
