"""Figures of single requests: their rate, and what hashing, guessing and their shape do to their time."""

from __future__ import annotations

import asyncio
import operator
import statistics
from typing import Any

from clients import Target, hammer, percentile
from processes import Part, part
from shapes import BODIES, MESSAGES, heads, post
from stand import PASSWORD, Agency, Bench, answered, report

ROUNDS = 5
ROUND_SECONDS = 0.8
CONNECTIONS = 16
SIGN_INS = (20, 50)
GUESSES = 40
STALL_SIZES = (1_000, 16_000, 250_000)
STALL_ROUNDS = 3
HEAD_SIZE = 16_000
ENQUIRIES = 200
ENQUIRY_SECONDS = 2.0
"""A round of enquiries: the plain service answers three a second where others take both processors."""
CROWDS = (16, 64)
"""Connections: what is created at once is stored together, so more of them are served faster."""
ENQUIRY_ROUNDS = 3
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
ASKED: dict[str, tuple[str, str, Any]] = {
    "GET /enquiries?limit=50, the same page": ("GET", "/enquiries?limit=50", None),
    "GET /enquiries?limit=50, a page each": ("GET", "/enquiries?limit=50&offset={}", None),
    "POST /enquiries": ("POST", "/enquiries", ENQUIRY),
}


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
                rate, _times = await hammer(target, *[target.request("GET", path)] * CONNECTIONS, seconds=ROUND_SECONDS)
                rates[name].append(rate)
        plain = statistics.median(rates["bare"])
        for name, goal in (("health", 0.6), ("auth_me", 0.35)):
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
        await bench.execute("ANALYZE enquiries")  # as autovacuum does within a minute
        listed, plainly = [await each.ask("GET", "/enquiries?limit=50") for each in (agency.at, theirs)]
        if [each["id"] for each in listed["items"]] != [each["id"] for each in plainly["items"]]:
            raise RuntimeError("the two list different enquiries")
        both = {"ours": (agency.at, running), "fastapi_orm": (theirs, plain)}
        for name, (method, path, body) in ASKED.items():
            for connections in CROWDS:
                await _side_by_side(name, both, method, path, body, connections)


async def _side_by_side(
    name: str, both: dict[str, tuple[Target, Part]], method: str, path: str, body: Any, connections: int
) -> None:
    """Requests a second of two services that take turns, and the processor time of each."""
    rates: dict[str, list[float]] = {each: [] for each in both}
    spent = dict.fromkeys(both, 0.0)
    for _ in range(ENQUIRY_ROUNDS):
        for each, (target, process) in both.items():
            asked = [target.request(method, path.format(number), body) for number in range(connections)]
            cpu = float(await process.do("cpu"))
            rate, times = await hammer(target, *asked, seconds=ENQUIRY_SECONDS)
            rates[each].append(rate)
            spent[each] += (float(await process.do("cpu")) - cpu) * 1000 / len(times) / ENQUIRY_ROUNDS
    report(
        name,
        connections=connections,
        requests_per_second=statistics.median(rates["ours"]),
        fastapi_orm=statistics.median(rates["fastapi_orm"]),
        ratio=statistics.median(map(operator.truediv, rates["ours"], rates["fastapi_orm"])),
        goal=3,
        cpu_ms=spent["ours"],
        cpu_ms_fastapi_orm=spent["fastapi_orm"],
    )


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
                    times[who].append(await answered(target, request))
            report(
                f"POST {path} by address",
                known_ms_p50=statistics.median(times["known"]),
                unknown_ms_p50=statistics.median(times["unknown"]),
                known_slower=_slower(times["known"], times["unknown"]),
                goal="known_slower between 0.3 and 0.7: a guess by time is right as often as a coin",
            )


def _slower(ones: list[float], others: list[float]) -> float:
    """The share of pairs in which the first is the slower: 0.5 if the two are alike."""
    return sum(one > other for one in ones for other in others) / (len(ones) * len(others))


async def _felt(running: Part, seconds: float) -> tuple[float, float]:
    """The loop's lag and the time of ``GET /health``, p99 in milliseconds."""
    target = Target(running.url)
    await running.do("lag_begin")
    _, times = await hammer(target, *[target.request("GET", "/health")] * 4, seconds=seconds, pause=0.01)
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
        await answered(target, request)
        worst.append(max(await running.do("lag_end"), default=0.0))
    report("loop held by one request", shape=shape, bytes=len(request), ms=statistics.median(worst), goal_ms=10)
