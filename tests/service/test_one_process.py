"""One process serves a database; a second one waits, and takes over when it may."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from voyagent.http.service import Service


async def test_a_second_process_refuses_agencies_work_until_the_first_is_gone(
    running: Any, asha: Any, settings_for: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("voyagent.actors.system.OWNERSHIP_TIMEOUT", 0.1)
    session = await asha.session()
    async with Service(settings_for()) as second, aiohttp.ClientSession() as http:

        async def status(path: str) -> int:
            async with http.get(second.url + path, headers=asha.headers) as response:
                await response.read()
                return response.status

        assert await status("/auth/me") == 200
        assert await status("/chat/sessions") == 503
        assert await status(f"/chat/sessions/{session}/events?follow=0") == 503
        assert await status("/health/ready") == 503
        await running.service.stop()
        async with asyncio.timeout(15):
            while await status("/chat/sessions") != 200:  # noqa: ASYNC110 -- a deadline stands around it
                await asyncio.sleep(0)
        assert await status(f"/chat/sessions/{session}/events?follow=0") == 204


async def test_losing_the_right_to_serve_stops_the_agencies_before_it_is_taken_again(
    running: Any, asha: Any, admin: Any
) -> None:
    session = await asha.session()
    viewer = await asha.watch(session)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1987"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    told = await viewer.all()
    assert [(event.id, event.kind, event.data["error_message"]) for event in told] == [
        (None, "error", "storage_unavailable")
    ]
    async with asyncio.timeout(15):
        while (await asha.call("GET", f"/chat/sessions/{session}"))[0] != 200:  # noqa: ASYNC110 -- likewise
            await asyncio.sleep(0)
    assert (await asha.say(session, "hello"))[-1].kind == "final"
