"""``make bench``: figures of the service on this machine, one JSON line each, in some minutes.

The service, the model and the clients are processes of their own, as in life, so on two cores they share what there is.
``python tests/bench/run.py forwarding fan_out`` measures only what is named; ``FIGURES`` has the names.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from answers import enquiries, guesses, passwords, requests, stalls
from clients import Target, crowd
from fence import fence
from forwarded import fan_out, forwarding, limit, replay, throughput
from processes import allow_many_connections, part, whole_service
from stand import Agency, Bench, idle_seconds, report, sign_up

from voyagent.storage.embedded.servers import EmbeddedServers
from voyagent.storage.migrations import migrate

SESSIONS = 400
TALKED = 200


async def memory(bench: Bench) -> None:
    """Sessions awake, and what is left of them when they sleep: the second time, when all that grows once has grown."""
    async with bench.service() as (running, agency):
        own = await agency.sessions(SESSIONS)
        await _wake(agency, own[:50])
        await running.do("sleep", tenant_id=agency.tenant_id, session_ids=own[:50])
        before = await running.do("memory")
        await _wake(agency, own)
        awake = await running.do("memory")
        await running.do("sleep", tenant_id=agency.tenant_id, session_ids=own)
        once = await running.do("memory")
        await _wake(agency, own)
        await running.do("sleep", tenant_id=agency.tenant_id, session_ids=own)
        twice = await running.do("memory")
        report(
            "idle session",
            sessions=awake["sessions"],
            awake_kib=(awake["rss"] - before["rss"]) / SESSIONS / 1024,
            awake_blocks=(awake["blocks"] - before["blocks"]) / SESSIONS,
            passivated_blocks=(twice["blocks"] - once["blocks"]) / SESSIONS,
            passivated_logs=twice["logs"] - before["logs"],
            goal="0 after passivation",
        )


async def talked(bench: Bench) -> None:
    """What an awake session costs that has had a turn of 200 events, and what is given back when all passivate."""
    async with bench.service() as (running, agency):
        await bench.model.do("pace", deltas=200, rate=0.0)
        first = await agency.sessions(20)
        await _talk(agency, first)
        before = await running.do("memory")
        own = await agency.sessions(TALKED)
        await _talk(agency, own)
        awake = await running.do("memory")
        await running.do("sleep", tenant_id=agency.tenant_id, session_ids=[*first, *own])
        after = await running.do("memory")
        report(
            "session that has talked",
            sessions=awake["sessions"],
            awake_kib=(awake["rss"] - before["rss"]) / TALKED / 1024,
            left_of_the_process=after["rss"] / before["rss"],
            goal="<= 48 KiB; within 30 % of the size before",
        )


async def _talk(agency: Agency, sessions: list[str]) -> None:
    for first in range(0, len(sessions), 10):
        async with crowd() as senders:
            await senders.add(agency.at, map(agency.message, sessions[first : first + 10]), keep=True)
            await senders.ended()


async def _wake(agency: Agency, sessions: list[str]) -> None:
    for first in range(0, len(sessions), 8):
        paths = [f"/chat/sessions/{each}/events?follow=0" for each in sessions[first : first + 8]]
        await asyncio.gather(*(agency.at.ask("GET", path) for path in paths))


async def starts(bench: Bench) -> None:
    """From the command line to a ready service: on an empty folder, on a used one, and after a kill."""
    folder = bench.folder / "whole"
    folder.mkdir(mode=0o755)
    environ = {"VOYAGENT_DATA_DIR": str(folder), "VOYAGENT_PORT": "0"}
    for case in ("cold", "warm", "after kill -9"):
        async with whole_service(environ) as process:
            began = time.perf_counter()
            url = await _listening(process)
            await Target(url).ask("GET", "/health/ready")
            ready = time.perf_counter() - began
            agency = await sign_up(url)
            await agency.session()
            usable = time.perf_counter() - began
            began = time.perf_counter()
            process.send_signal(signal.SIGKILL if case == "warm" else signal.SIGTERM)
            await process.wait()
            stopped = time.perf_counter() - began
        goal = {"after kill -9": {"goal_seconds": 5}}.get(case, {})
        report("start", case=case, ready_after=ready, first_session_after=usable, stopped_after=stopped, **goal)


async def _listening(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60.0):
        async for line in process.stdout:
            if found := re.search(rb"listens on (http://\S+)", line):
                return found[1].decode()
    raise RuntimeError("the service did not start")


FIGURES: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "requests": requests,
    "enquiries": enquiries,
    "forwarding": forwarding,
    "limit": limit,
    "throughput": throughput,
    "fan_out": fan_out,
    "replay": replay,
    "fence": fence,
    "memory": memory,
    "talked": talked,
    "passwords": passwords,
    "guesses": guesses,
    "stalls": stalls,
    "starts": starts,
}


async def main(names: list[str]) -> None:
    """Measure one after another, on servers of the bench's own."""
    began = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="voyagent-bench-"))
    folder.chmod(0o755)
    try:
        async with EmbeddedServers(folder / "servers") as servers, part("model") as model:
            await migrate.upgrade(servers.url)
            bench = Bench(folder, servers, model)
            for name in names or FIGURES:
                report("machine", before=name, others_cpu=await _others())
                await FIGURES[name](bench)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report("bench", cores=os.cpu_count(), seconds=time.perf_counter() - began)


async def _others() -> float:
    """How many cores are at work before we begin: figures of a busy machine are worth little."""
    cores, first, began = os.cpu_count() or 1, idle_seconds(), time.perf_counter()
    await asyncio.sleep(1.0)
    idled = (idle_seconds() - first) / (time.perf_counter() - began)
    return max(0.0, cores - idled)


async def _until_signal(names: list[str]) -> None:
    """Ctrl-C and SIGTERM clean up, too."""
    work = asyncio.ensure_future(main(names))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    await work


if __name__ == "__main__":
    allow_many_connections()
    asyncio.run(_until_signal(sys.argv[1:]))
