"""SIGTERM while everything is in use: the process ends in time, every viewer cleanly, every turn in the end."""

from __future__ import annotations

import asyncio
import signal
import time

import aiohttp
import pytest

from tests.proofs.figures import record
from tests.rehearsal import Rehearsal, Text, Turn
from tests.service.process import Client, Service, frames, kind_of
from tests.waiting import until

GRACE = 4.0
LIMIT = 5.0
"""Seconds after the grace in which the process has ended."""


async def viewed(client: Client, session: str, opened: asyncio.Semaphore) -> list[str]:
    """The kinds a live stream showed to its end. Raises aiohttp.ClientPayloadError if it was cut instead of ended."""
    url = f"{client.service.url}/chat/sessions/{session}/events"
    async with client.http.get(url, headers=client.headers()) as response:
        assert response.status == 200, await response.text()
        opened.release()
        return [kind_of(frame) async for frame in frames(response)]


@pytest.mark.slow
@pytest.mark.parametrize(("turns", "viewers"), [(50, 1000)])
async def test_sigterm_ends_all_streams_cleanly_and_no_turn_for_good(
    turns: int,
    viewers: int,
    service: Service,
    player: Rehearsal,
    http: aiohttp.ClientSession,
) -> None:
    """Every second turn comes to its end within the grace; the others are carried on after the restart."""
    service.environ |= {
        "VOYAGENT_DRAIN_SECONDS": f"{GRACE:g}",
        "VOYAGENT_SSE_STREAMS_PER_PERSON": "5000",
        "VOYAGENT_SSE_STREAMS_PER_AGENCY": "5000",
    }
    words = Text.split(*(f" word{number}" for number in range(100)))
    player.play(*(Turn(words, delay=0.02 if number % 2 else 0.5) for number in range(turns)))
    await service.start()
    client = Client(service, http)
    await client.sign_up()
    sessions = [await client.session() for _ in range(turns)]
    opened = asyncio.Semaphore(0)
    watching = [asyncio.create_task(viewed(client, sessions[number % turns], opened)) for number in range(viewers)]
    for _ in range(viewers):
        async with asyncio.timeout(60):
            await opened.acquire()
    talking = [asyncio.create_task(client.read(session, {"message": "hello"}, {})) for session in sessions]
    await until(lambda: all(client.seen[session] for session in sessions))

    assert service.process is not None
    told = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert await service.ended(within=GRACE + LIMIT) == 0
    seconds = time.monotonic() - told - GRACE
    shown = await asyncio.gather(*watching)
    assert all(kinds for kinds in shown)
    ended = await asyncio.gather(*talking)
    assert any(ended)
    assert not all(ended)

    service.up.clear()
    await service.start()
    for session in sessions:
        await client.follow(session)
        events = client.seen[session]
        assert sorted(events) == list(range(1, len(events) + 1))
        assert [kind_of(frame) for frame in events.values()].count("final") == 1
    record(
        "pytest -m slow tests/service/test_shutdown.py",
        f"SIGTERM with {viewers:,} streams and {turns} turns: {sum(map(bool, ended))} turns ended within the grace of "
        f"{GRACE:g} s, the process {max(seconds, 0):.1f} s after it, the other turns after the restart; no stream cut",
    )
