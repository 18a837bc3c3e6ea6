"""Figures of the model's words on their way to whoever reads them: their pace, their cost, their copies."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable
from typing import Any

from clients import Target, crowd, percentile
from processes import Part, part
from stand import Agency, Bench, idle_seconds, report

from voyagent.actors.agent.rehearsed.server import KEY

RATE = 20.0
TURN_SECONDS = 8
VIEWERS = (1, 100, 1000)
TURNS = (1, 50, 200)
LIMIT_TURNS = (50, 100, 200)
LIMIT_SECONDS = 4
LIMIT_ROUNDS = 3
SHORT_AT_ONCE = 8
SHORT_TURNS = 12
REPLAYS = 200


async def forwarding(bench: Bench) -> None:
    """Words of the model on their way to whoever waits, at the model's pace."""
    async with bench.service() as (running, agency):
        await _directly(bench, 200)
        for count in TURNS:
            await bench.model.do("pace", deltas=int(RATE * TURN_SECONDS), rate=RATE)
            await _paced(running, agency, count)


async def throughput(bench: Bench) -> None:
    """The same words as fast as the service takes them."""
    async with bench.service() as (running, agency):
        for count in TURNS:
            await bench.model.do("pace", deltas=max(100, 4000 // count), rate=0.0)
            await _unpaced(running, agency, count)


async def limit(bench: Bench) -> None:
    """CPU of a word and of a one-word turn, starts included, beside a forwarder that stores nothing, taking turns."""
    environ = {"ANTHROPIC_BASE_URL": bench.model.url, "ANTHROPIC_API_KEY": KEY}
    async with part("forwarder", environ) as forwarder, bench.service() as (running, agency):
        bare = Target(forwarder.url)
        plain = bare.request("POST", "/", {"message": "Go on"})
        for count in LIMIT_TURNS:
            words = int(RATE * LIMIT_SECONDS)
            await bench.model.do("pace", deltas=words, rate=RATE)
            least, ours = [], []
            for _ in range(LIMIT_ROUNDS):
                least.append(await _cpu_of(forwarder, bare, [plain] * count))
                messages = [agency.message(each) for each in await agency.sessions(count)]
                ours.append(await _cpu_of(running, agency.at, messages))
            scale = 1e6 / count / words
            _limit("word", [each * scale for each in least], [each * scale for each in ours], streams=count, goal=2)
        await bench.model.do("pace", deltas=1, rate=0.0)
        least, ours = [], []
        for _ in range(LIMIT_ROUNDS):
            cpus = [await _cpu_of(forwarder, bare, [plain] * SHORT_AT_ONCE) for _ in range(SHORT_TURNS)]
            least.append(sum(cpus) / SHORT_AT_ONCE / SHORT_TURNS * 1e6)
            sessions = [await agency.sessions(SHORT_AT_ONCE) for _ in range(SHORT_TURNS)]
            cpus = [await _cpu_of(running, agency.at, map(agency.message, each)) for each in sessions]
            ours.append(sum(cpus) / SHORT_AT_ONCE / SHORT_TURNS * 1e6)
        _limit("one-word turn", least, ours)


def _limit(what: str, least: list[float], ours: list[float], **values: Any) -> None:
    report(
        f"CPU of a {what}",
        service_us=statistics.median(ours),
        forwarder_us=statistics.median(least),
        ratio=statistics.median(own / bare for own, bare in zip(ours, least, strict=True)),
        **values,
    )


async def _cpu_of(running: Part, target: Target, requests: Iterable[bytes]) -> float:
    """Seconds of processor of a part from the first of these streams to the end of all."""
    async with crowd() as senders:
        cpu = float(await running.do("cpu"))
        await senders.add(target, requests)
        await senders.ended()
        return float(await running.do("cpu")) - cpu


async def _paced(running: Part, agency: Agency, count: int) -> None:
    """In steady state: behind the storm of starts, before the first end."""
    sessions = await agency.sessions(count)
    async with crowd() as senders:
        began = time.monotonic_ns()
        await senders.add(agency.at, map(agency.message, sessions), keep=True)
        opened = time.monotonic_ns()
        while not all(b"text_delta" in sender.tail for sender in senders.listeners):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        cpu, first, idle = await running.do("cpu"), time.monotonic_ns(), idle_seconds()
        await asyncio.sleep(max(0.5, TURN_SECONDS - 0.5 - (first - began) / 1e9))
        cpu, last, idle = await running.do("cpu") - cpu, time.monotonic_ns(), idle_seconds() - idle
        await senders.ended()
        deltas = [delta for sender in senders.listeners for delta in sender.deltas()]
        pieces = sum(first <= when < last for sender in senders.listeners for when, _ in sender.pieces)
    steady = [(came - sent) / 1e6 for sent, came in deltas if first <= sent < last]
    seconds = (last - first) / 1e9
    report(
        "deltas at 20/s each",
        turns=count,
        missing=count * int(RATE * TURN_SECONDS) - len(deltas),
        deltas_per_second=len(steady) / seconds,
        added_ms_p50=percentile(steady, 0.5),
        added_ms_p99=percentile(steady, 0.99),
        added_ms_p99_with_starts=percentile([(came - sent) / 1e6 for sent, came in deltas], 0.99),
        deltas_per_write=len(steady) / max(pieces, 1),
        service_cpu=cpu / seconds,
        service_us_per_delta=cpu / max(len(steady), 1) * 1e6,
        service_us_per_write=cpu / max(pieces, 1) * 1e6,
        machine_idle_cores=idle / seconds,
        streams_open_after=(opened - began) / 1e9,
        goal="p50 < 5 ms, p99 < 25 ms with 200",
    )


async def _unpaced(running: Part, agency: Agency, count: int) -> None:
    """From the first start to the last end, starts and ends included."""
    sessions = await agency.sessions(count)
    async with crowd() as senders:
        cpu, began = await running.do("cpu"), time.perf_counter()
        await senders.add(agency.at, map(agency.message, sessions), keep=True)
        await senders.ended()
        seconds = time.perf_counter() - began
        cpu = await running.do("cpu") - cpu
        deltas = sum(len(sender.deltas()) for sender in senders.listeners)
    report(
        "deltas unpaced",
        turns=count,
        missing=count * max(100, 4000 // count) - deltas,
        deltas_per_second=deltas / seconds,
        service_cpu=cpu / seconds,
        service_us_per_delta=cpu / deltas * 1e6,
    )


async def _directly(bench: Bench, count: int) -> None:
    """The same deltas without a service between: what model and clients cost by themselves."""
    await bench.model.do("pace", deltas=int(RATE * 2), rate=RATE)
    body = {"model": "m", "max_tokens": 64, "stream": True, "messages": [{"role": "user", "content": "Go on"}]}
    target = Target(bench.model.url)
    heads = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    async with crowd() as readers:
        await readers.add(target, [target.request("POST", "/v1/messages", body, **heads)] * count, keep=True)
        await readers.ended()
        times = [(came - sent) / 1e6 for reader in readers.listeners for sent, came in reader.deltas()]
    report("deltas straight from the model", turns=count, ms_p50=percentile(times, 0.5), ms_p99=percentile(times, 0.99))


async def fan_out(bench: Bench) -> None:
    """One session's events to many viewers; what a viewer holds; how long a stop takes with a thousand of them."""
    async with bench.service() as (running, agency):
        own = await agency.session()
        for count in VIEWERS:
            async with crowd() as viewers:
                before = await running.do("memory")
                await viewers.add(agency.at, [agency.events(own)] * count)
                if count == max(VIEWERS):
                    after = await running.do("memory")
                    held = (after["rss"] - before["rss"]) / count / 1024
                    report("idle viewer", viewers=count, kib=held, goal_kib=20)
                for burst in (1, 10):
                    took = await running.do("fan_out", session_id=own, burst=burst, seconds=1.5)
                    await viewers.reached(f"id: {took['last']}\n".encode())
                    report(
                        "fan-out",
                        viewers=count,
                        events_at_once=burst,
                        events_per_second=took["events"] / took["seconds"],
                        service_cpu=took["cpu"] / took["seconds"],
                        goal=100_000,
                    )
                if count == max(VIEWERS):
                    stopping = asyncio.create_task(running.do("stop"))
                    began = time.perf_counter()
                    await viewers.ended()
                    streams = time.perf_counter() - began
                    report("stop", streams=count, seconds=await stopping, streams_ended_after=streams, goal_seconds=5)


async def replay(bench: Bench) -> None:
    """200 events again: from the table, as after a passivation, and from memory."""
    async with bench.service() as (running, agency):
        own = await agency.session()
        await running.do("fill", tenant_id=agency.tenant_id, session_id=own, events=200)
        await _replay(running, agency, own, "table", 0)
        async with crowd() as viewers:
            await viewers.add(agency.at, [agency.events(own)])
            took = await running.do("fan_out", session_id=own, burst=200, seconds=0.0001)
            await _replay(running, agency, own, "memory", took["last"] - 200)  # without a viewer the ring is freed


async def _replay(running: Part, agency: Agency, own: str, source: str, after: int) -> None:
    request = agency.events(own, f"?follow=0&last_event_id={after}")
    await running.do("count_writes")
    async with crowd() as readers:
        await readers.add(agency.at, [request])
        await readers.ended()
    writes = [size for size in await running.do("writes") if size > 1000]
    cpu = await running.do("cpu")
    times = []
    for _ in range(REPLAYS):
        async with crowd() as readers:
            began = time.perf_counter()
            await readers.add(agency.at, [request])
            await readers.ended()
            times.append((time.perf_counter() - began) * 1000)
    cpu = await running.do("cpu") - cpu
    report(
        "replay of 200 events",
        source=source,
        server_ms=cpu / REPLAYS * 1000,
        client_ms_p50=percentile(times, 0.5),
        writes=len(writes),
        bytes=sum(writes),
        goal="one write, < 2 ms of server time",
    )
