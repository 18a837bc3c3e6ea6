"""What is reported to systemd, and that a blocked event loop reports nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service_manager import WATCHDOG_SECONDS, Manager
from voyagent.actors.foundation.clock import Clock
from voyagent.actors.foundation.service_manager import BEATS, ServiceManager
from voyagent.actors.runtime.periodic import PeriodicTasks


@pytest.fixture(params=["path", "name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path / "notify" if request.param == "path" else f"@voyagent-test-{os.getpid()}")
    yield listening
    listening.close()


async def test_ready_alive_and_stopping_are_one_datagram_each(manager: Manager) -> None:
    environ = manager.environ | {"OTHER": "kept"}
    ours = ServiceManager(environ)
    assert environ == {"OTHER": "kept"}
    assert ours.alive_every == WATCHDOG_SECONDS / BEATS
    ours.ready("Listening on http://127.0.0.1:8010")
    await ours.alive()
    ours.stopping(29.5)
    assert manager.waiting() == [
        "READY=1\nSTATUS=Listening on http://127.0.0.1:8010",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=29500000\nSTATUS=Draining turns",
    ]


async def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(manager: Manager) -> None:
    nobody = ServiceManager({"WATCHDOG_USEC": "300000"})
    assert nobody.alive_every is None
    nobody.ready("")
    gone = ServiceManager(manager.environ)
    manager.close()
    await gone.alive()
    gone.stopping(1.0)


@pytest.mark.parametrize("changes", [{"WATCHDOG_USEC": ""}, {"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}])
def test_a_watchdog_that_is_off_or_anothers_is_not_reported_to(manager: Manager, changes: dict[str, str]) -> None:
    assert ServiceManager(manager.environ | changes).alive_every is None


def test_a_watchdog_of_this_process_is(manager: Manager) -> None:
    assert ServiceManager(manager.environ | {"WATCHDOG_PID": str(os.getpid())}).alive_every is not None


async def test_a_manager_that_reads_nothing_blocks_nothing(manager: Manager) -> None:
    ours = ServiceManager(manager.environ)
    for _ in range(2_000):
        await ours.alive()
    assert 0 < len(manager.waiting()) < 2_000


async def test_a_blocked_event_loop_reports_nothing(manager: Manager) -> None:
    ours = ServiceManager(manager.environ)
    assert ours.alive_every is not None
    task = PeriodicTasks(Clock()).task("watchdog", ours.alive, every=ours.alive_every / 10)
    reporting = asyncio.create_task(task.run())
    try:
        await manager.until("WATCHDOG=1")
        await manager.until("WATCHDOG=1")
        manager.waiting()
        threading.Event().wait(WATCHDOG_SECONDS)  # blocks the loop, as an endless computation would
        assert manager.waiting() == []
        await manager.until("WATCHDOG=1")
    finally:
        reporting.cancel()
