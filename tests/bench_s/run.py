"""``make bench``: figures of the service on this machine, one JSON line each, in under five minutes.

The service, the model and the clients are processes of their own, as in life, so on two cores they share what there is.
``python tests/bench/run.py forwarding fan_out`` measures only what is named; ``FIGURES`` has the names.
"""

from __future__ import annotations

import asyncio
import json
import operator
import os
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from clients import Target, crowd, hammer, percentile, rounded
from processes import Part, allow_many_connections, part, whole_service
from shapes import BODIES, MESSAGES, heads, post

from voyagent.actors.agent.rehearsed.server import KEY
from voyagent.storage.embedded.servers import SUPERUSER, EmbeddedServers
from voyagent.storage.migrations import migrate

PASSWORD = "a long password 1"
RATE = 20.0
TURN_SECONDS = 8
ROUNDS = 5
ROUND_SECONDS = 0.8
CONNECTIONS = 16
VIEWERS = (1, 100, 1000)
TURNS = (1, 50, 200)
LIMIT_TURNS = (50,)
LIMIT_SECONDS = 4
LIMIT_ROUNDS = 2
SHORT_AT_ONCE = 8
SHORT_TURNS = 2
SESSIONS = 400
TALKED = 200
REPLAYS = 200
SIGN_INS = (20, 50)
GUESSES = 40
STALL_SIZES = (1_000, 16_000, 250_000)
STALL_ROUNDS = 3
HEAD_SIZE = 16_000
ENQUIRIES = 200
ENQUIRY = {
    "customer_name": "Asha Rao",
    "customer_email": "asha@example.com",
    "customer_phone": "+91 98200 12345",
    "origin": "Mumbai",
    "destination": "Dubai",
    "depart_date": "2026-12-12",
    "return_date": "2026-12-19",
    "pax_count": 2,
    "budget_amount": "45000.00",
    "budget_currency": "INR",
    "notes": "Two adults, window seats, back before Sunday",
}


@dataclass(slots=True)
class Agency:
    """Somebody who works with the service."""

    at: Target
    tenant_id: str
    email: str

    async def session(self) -> str:
        return str((await self.at.ask("POST", "/chat/sessions"))["session_id"])

    async def sessions(self, count: int) -> list[str]:
        """Fresh ones, made eight at a time."""
        made: list[str] = []
        while len(made) < count:
            made += await asyncio.gather(*(self.session() for _ in range(min(8, count - len(made)))))
        return made

    def message(self, session_id: str) -> bytes:
        return self.at.request("POST", f"/chat/sessions/{session_id}/messages", {"message": "Go on"})

    def events(self, session_id: str, query: str = "") -> bytes:
        return self.at.request("GET", f"/chat/sessions/{session_id}/events{query}")


@dataclass(slots=True)
class Bench:
    """What all figures stand on."""

    folder: Path
    servers: EmbeddedServers
    model: Part

    @asynccontextmanager
    async def service(self) -> AsyncIterator[tuple[Part, Agency]]:
        """A fresh service with an agency that has no limits."""
        environ = {
            "VOYAGENT_ENV": "development",
            "VOYAGENT_PORT": "0",
            "VOYAGENT_DB_URL": self.servers.url,
            "VOYAGENT_REDIS_URL": self.servers.redis_url,
            "VOYAGENT_DATA_DIR": str(self.folder),
            "VOYAGENT_GUARD": "off",
            "VOYAGENT_SSE_STREAMS_PER_PERSON": "5000",
            "VOYAGENT_SSE_STREAMS_PER_AGENCY": "5000",
            "VOYAGENT_SESSIONS_PER_MINUTE": "100000",
            "VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION": "true",
            "VOYAGENT_SUPPLIERS": "house",
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.model.url,
        }
        async with part("service", environ) as running:
            agency = await _sign_up(running.url)
            db = await asyncpg.connect(self.servers.postgres.url(SUPERUSER, "voyagent"))
            await db.execute("UPDATE tenant_settings SET rate_limit_per_minute = 100000, rate_limit_per_hour = 100000")
            await db.close()
            yield running, agency


async def _sign_up(url: str) -> Agency:
    email = f"bench-{time.monotonic_ns()}@example.com"
    body = {"email": email, "password": PASSWORD, "full_name": "Asha Rao", "agency_name": "Bench Travels"}
    answer = await Target(url).ask("POST", "/auth/sign-up", body)
    return Agency(Target(url, answer["access_token"]), answer["user"]["tenant_id"], email)


def report(figure: str, **values: Any) -> None:
    """One line."""
    said = {name: rounded(value) if isinstance(value, float) else value for name, value in values.items()}
    print(json.dumps({"figure": figure, **said}), flush=True)


async def requests(bench: Bench) -> None:
    """Small requests against a bare handler, taking turns."""
    async with part("bare") as bare, bench.service() as (running, agency):
        targets = {
            "bare": (Target(bare.url), "/"),
            "health": (Target(running.url), "/health"),
            "auth_me": (agency.at, "/auth/me"),
        }
        rates: dict[str, list[float]] = {name: [] for name in targets}
        for _ in range(ROUNDS):
            for name, (target, path) in targets.items():
                rate, _times = await hammer(
                    target, target.request("GET", path), connections=CONNECTIONS, seconds=ROUND_SECONDS
                )
                rates[name].append(rate)
        plain = statistics.median(rates["bare"])
        for name, goal in (("health", 0.6), ("auth_me", 0.25)):
            ratio = statistics.median(ours / theirs for ours, theirs in zip(rates[name], rates["bare"], strict=True))
            report(
                f"GET {targets[name][1]}",
                requests_per_second=statistics.median(rates[name]),
                bare_aiohttp=plain,
                ratio=ratio,
                goal=goal,
            )


async def enquiries(bench: Bench) -> None:
    """Enquiries listed and created, beside the same written plainly in FastAPI and SQLAlchemy's ORM, taking turns."""
    from plain_enquiries import token  # noqa: PLC0415 -- of the extra ``bench``

    served = {"database_url": bench.servers.url, "secret": "a secret of the bench alone, and long"}
    async with bench.service() as (running, agency), part("plain", served) as plain:
        user = await agency.at.ask("GET", "/auth/me")
        theirs = Target(plain.url, token(user["id"], agency.tenant_id, served["secret"]))
        for number in range(ENQUIRIES):
            await agency.at.ask("POST", "/enquiries", {**ENQUIRY, "customer_name": f"Asha Rao {number}"})
        listed, plainly = [await each.ask("GET", "/enquiries?limit=50") for each in (agency.at, theirs)]
        if [each["id"] for each in listed["items"]] != [each["id"] for each in plainly["items"]]:
            raise RuntimeError("the two list different enquiries")
        both = {"ours": (agency.at, running), "fastapi_orm": (theirs, plain)}
        for method, path, body in (("GET", "/enquiries?limit=50", None), ("POST", "/enquiries", ENQUIRY)):
            rates: dict[str, list[float]] = {name: [] for name in both}
            spent = dict.fromkeys(both, 0.0)
            for _ in range(ROUNDS):
                for name, (target, process) in both.items():
                    cpu = float(await process.do("cpu"))
                    rate, times = await hammer(
                        target, target.request(method, path, body), connections=CONNECTIONS, seconds=ROUND_SECONDS
                    )
                    rates[name].append(rate)
                    spent[name] += (float(await process.do("cpu")) - cpu) * 1000 / len(times) / ROUNDS
            report(
                f"{method} {path}",
                requests_per_second=statistics.median(rates["ours"]),
                fastapi_orm=statistics.median(rates["fastapi_orm"]),
                ratio=statistics.median(map(operator.truediv, rates["ours"], rates["fastapi_orm"])),
                goal=3,
                cpu_ms=spent["ours"],
                cpu_ms_fastapi_orm=spent["fastapi_orm"],
            )


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
        cpu, first, idle = await running.do("cpu"), time.monotonic_ns(), _idle()
        await asyncio.sleep(max(0.5, TURN_SECONDS - 0.5 - (first - began) / 1e9))
        cpu, last, idle = await running.do("cpu") - cpu, time.monotonic_ns(), _idle() - idle
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


async def passwords(bench: Bench) -> None:
    """Hashing at full size must not be felt by anybody else."""
    async with bench.service() as (running, agency):
        for count in SIGN_INS:
            await _sign_ins(running, agency, count)


async def _sign_ins(running: Part, agency: Agency, count: int) -> None:
    quiet = await _felt(running, 2.0)
    body = {"email": agency.email, "password": PASSWORD}
    done = 0

    async def come_in() -> None:
        nonlocal done
        while True:
            await Target(running.url).ask("POST", "/auth/sign-in", body)
            done += 1

    people = [asyncio.create_task(come_in()) for _ in range(count)]
    try:
        await asyncio.sleep(0.5)
        done = 0
        busy = await _felt(running, 4.0)
    finally:
        for each in people:
            each.cancel()
        await asyncio.gather(*people, return_exceptions=True)
    report(
        "sign-ins in flight",
        sign_ins=count,
        sign_ins_per_second=done / 4.0,
        loop_lag_ms_p99=busy[0],
        loop_lag_ms_p99_idle=quiet[0],
        health_ms_p99=busy[1],
        health_ms_p99_idle=quiet[1],
        goal="loop p99 < 10 ms, health p99 <= idle + 10 ms",
    )


async def guesses(bench: Bench) -> None:
    """Whether the time of an answer tells a known address from an unknown one."""
    async with bench.service() as (running, agency):
        target = Target(running.url)
        for path, more in (("/auth/sign-in", {"password": "not the password 1"}), ("/auth/request-password-reset", {})):
            times: dict[str, list[float]] = {"known": [], "unknown": []}
            for turn in range(GUESSES):
                addresses = {"known": agency.email, "unknown": f"nobody-{turn}@example.com"}
                for who, email in addresses.items():
                    request = target.request("POST", path, {"email": email, **more}, Connection="close")
                    times[who].append(await _answered(target, request))
            report(
                f"POST {path} by address",
                known_ms_p50=statistics.median(times["known"]),
                unknown_ms_p50=statistics.median(times["unknown"]),
                known_slower=_slower(times["known"], times["unknown"]),
                goal="known_slower between 0.3 and 0.7: a guess by time is right as often as a coin",
            )


async def _answered(target: Target, request: bytes) -> float:
    """Milliseconds to an answer, whatever it says."""
    reader, writer = await asyncio.open_connection(*target.address)
    try:
        began = time.perf_counter()
        writer.write(request)
        await reader.read(-1)
        return (time.perf_counter() - began) * 1000
    finally:
        writer.close()


def _slower(ones: list[float], others: list[float]) -> float:
    """The share of pairs in which the first is the slower: 0.5 if the two are alike."""
    return sum(one > other for one in ones for other in others) / (len(ones) * len(others))


async def _felt(running: Part, seconds: float) -> tuple[float, float]:
    """The loop's lag and the time of ``GET /health``, p99 in milliseconds."""
    target = Target(running.url)
    await running.do("lag_begin")
    _, times = await hammer(target, target.request("GET", "/health"), connections=4, seconds=seconds, pause=0.01)
    late = await running.do("lag_end")
    return percentile(late, 0.99), percentile(times, 0.99) * 1000


async def stalls(bench: Bench) -> None:
    """How long one request may hold the event loop, by its size and shape: public ones, and those of a member."""
    async with bench.service() as (running, agency):
        target = Target(running.url)
        for name, body in MESSAGES.items():
            path = f"/chat/sessions/{await agency.session()}/messages"
            await _stall(running, target, f"signed in: {name}", post(path, body, bearer=agency.at.token))
        path = f"/chat/sessions/{await agency.session()}/messages"
        for name, make in BODIES.items():
            request = post(path, make(max(STALL_SIZES)), bearer=agency.at.token)
            await _stall(running, target, f"signed in: {name}", request)
        for size in STALL_SIZES:
            named = [(name, post("/auth/sign-up", make(size))) for name, make in BODIES.items()]
            if size <= HEAD_SIZE:
                named += heads(size)
            for name, request in named:
                await _stall(running, target, name, request)


async def _stall(running: Part, target: Target, shape: str, request: bytes) -> None:
    worst = []
    for _ in range(STALL_ROUNDS):
        await running.do("lag_begin")
        await _answered(target, request)
        worst.append(max(await running.do("lag_end"), default=0.0))
    report("loop held by one request", shape=shape, bytes=len(request), ms=statistics.median(worst), goal_ms=10)


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
            agency = await _sign_up(url)
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
    cores, first, began = os.cpu_count() or 1, _idle(), time.perf_counter()
    await asyncio.sleep(1.0)
    idled = (_idle() - first) / (time.perf_counter() - began)
    return max(0.0, cores - idled)


def _idle() -> float:
    """Seconds all cores together had nothing to do."""
    return sum(map(int, Path("/proc/stat").read_text().split(maxsplit=6)[4:6])) / os.sysconf("SC_CLK_TCK")


async def _until_signal(names: list[str]) -> None:
    """Ctrl-C and SIGTERM clean up, too."""
    work = asyncio.ensure_future(main(names))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    await work


if __name__ == "__main__":
    allow_many_connections()
    asyncio.run(_until_signal(sys.argv[1:]))
