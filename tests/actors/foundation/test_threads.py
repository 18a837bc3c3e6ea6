"""Our own work in threads."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from voyagent.actors.foundation import log
from voyagent.actors.foundation.threads import in_thread


async def test_work_is_done_though_all_threads_of_the_loop_wait_for_a_name_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(30) and [])
    loop = asyncio.get_running_loop()
    names = [asyncio.create_task(loop.getaddrinfo(f"host-{number}.example", 5432)) for number in range(64)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(5):
            assert await in_thread(int, "12", base=8) == 10
        assert not any(name.done() for name in names)
    finally:
        answered.set()
        await asyncio.gather(*names)


async def test_it_runs_in_the_log_scope_of_the_caller_and_raises_what_the_work_raises() -> None:
    log.bind(tenant="one")
    assert (await in_thread(log.SCOPE.get)).tenant == "one"
    with pytest.raises(ValueError, match="invalid literal"):
        await in_thread(int, "no number")
