"""``make soak``: half an hour of mixed work, in which memory, tasks, descriptors and connections must not grow.

``python -m tests.proofs.soak 5`` soaks for five minutes. What an agency's people do all day is done by a dozen of
them at once: turns with approvals, cuts and replays, viewers that come and go, enquiries, reports, downloads, sign-ins
and keys. The first fifth warms up; then the medians of the first and the last fifth of the rest are compared.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from tests.proofs.figures import record
from tests.proofs.service import PASSWORD, Person, Running, join, service, sign_up

MINUTES = 30.0
EVERY_SECONDS = 5.0
GROWTH = 0.05
"""Memory may be so much larger at the end than after the warm-up."""
QUIET_SECONDS = 240.0
"""Sessions passivate two minutes after the last message; until all has gone, so long is waited."""
STEP_SECONDS = 60.0
DAY = datetime.now(UTC).date() + timedelta(days=60)
WISHES = (
    f"Find me a flight from Mumbai to Dubai on {DAY} for Asha Rao and book it",
    f"Find me a hotel in Dubai from {DAY} to {DAY + timedelta(days=2)} for Asha Rao and book it",
    "What do we have to collect?",
    "Hello",
)
READ = (
    "/reports/trial-balance",
    "/audit?limit=50",
    "/audit/verify",
    "/audit/export.csv",
    "/approvals",
    "/chat/sessions?limit=50",
    "/auth/members",
)
SLACK = 8
"""Descriptors and tasks more than at the start that are no leak: what is opened at its first use and kept."""
VOLATILE = ("loop_tasks", "sse_viewers", "turns_running", "api_active_sessions", "approvals_pending")


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment."""

    seconds: float
    rss: int
    descriptors: int
    metrics: dict[str, float]


@dataclass(slots=True)
class Office:
    """The people, what they have done, and the sessions they know."""

    people: list[Person]
    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def anybody(self) -> Person:
        return self.chance.choice(self.people)

    def remember(self, session_id: str) -> None:
        self.sessions = [*self.sessions[-200:], session_id]


Work = Callable[[Office], Awaitable[None]]


async def talk(office: Office) -> None:
    """A turn, read to its end or cut; what it asks for is decided, and the rest read by its cursor."""
    who, chance = office.anybody(), office.chance
    session_id = (await who.ask("POST", "/chat/sessions"))["session_id"]
    office.remember(session_id)
    path = f"/chat/sessions/{session_id}/messages"
    seen = await _read(who, path, {"message": chance.choice(WISHES)}, chance.choice((None, None, 3)))
    seen = max(seen, await _read(who, path, {}, None, seen))
    waiting = (await who.ask("GET", f"/approvals?status=pending&session_id={session_id}"))["items"]
    for each in waiting:
        await office.people[0].ask("POST", f"/approvals/{each['id']}/resolve", {"granted": chance.random() < 0.7})
    await _read(who, path, {}, None, seen)
    await who.ask("GET", path)
    await who.ask("GET", f"/reports/itinerary?session_id={session_id}")
    if chance.random() < 0.3:
        await who.ask("DELETE", f"/chat/sessions/{session_id}")
        office.sessions.remove(session_id)


async def watch(office: Office) -> None:
    """A viewer of some session, for a few seconds."""
    if office.sessions:
        who, session_id = office.anybody(), office.chance.choice(office.sessions)
        path = f"/chat/sessions/{session_id}/events"
        async with who.http.get(path, headers=who.headers) as answer:
            with suppress(TimeoutError):
                async with asyncio.timeout(office.chance.random() * 8):
                    while await answer.content.readany():
                        pass


async def sell(office: Office) -> None:
    """An enquiry: made, changed, listed, promoted."""
    who, chance = office.anybody(), office.chance
    made = await who.ask("POST", "/enquiries", {"customer_name": "Ravi Nair", "destination": "DXB"})
    await who.ask("PATCH", f"/enquiries/{made['id']}", {"notes": "window seat", "pax_count": chance.randint(1, 9)})
    await who.ask("GET", "/enquiries?limit=50")
    await who.ask("GET", "/enquiries?q=nair&limit=20")
    if chance.random() < 0.3:
        await who.ask("POST", f"/enquiries/{made['id']}/promote-to-session")


async def account(office: Office) -> None:
    """The reports, the lists, the audit trail."""
    admin = office.people[0]
    today = datetime.now(UTC).date()
    window = f"?from={today - timedelta(days=90)}&to={today}"
    for path in ("receivables", "payables", "usage", "tally/ledgers", "tally/vouchers"):
        await admin.ask("GET", f"/reports/{path}{window}")
    for path in READ:
        await admin.ask("GET", path)


async def identify(office: Office) -> None:
    """A sign-in and a key of one's own, each used and ended."""
    who = office.anybody()
    async with who.http.post("/auth/sign-in", json={"email": who.email, "password": PASSWORD}) as answer:
        signed_in = await answer.json()
        answer.raise_for_status()
    again = Person(who.http, who.email, signed_in["access_token"], who.user)
    await again.ask("GET", "/auth/me")
    key = await again.ask("POST", "/auth/api-keys", {"name": "soak", "expires_in_days": 1})
    await Person(who.http, "", key["key"], who.user).ask("GET", "/auth/me")
    await again.ask("POST", f"/auth/api-keys/{key['api_key']['id']}/revoke")
    await again.ask("POST", "/auth/sign-out", {"refresh_token": signed_in["refresh_token"]})


async def _read(who: Person, path: str, body: dict[str, Any], leave_after: int | None, after: int = 0) -> int:
    """The number of the last event read; ``leave_after`` so many events the connection is cut."""
    headers = {**who.headers, **({} if "message" in body else {"Last-Event-ID": str(after)})}
    last = after
    async with who.http.post(path, json=body, headers=headers, raise_for_status=True) as answer:
        async for line in answer.content:
            if line.startswith(b"id: "):
                last = int(line[4:])
                if leave_after is not None and last >= leave_after:
                    break
    return last


WORKERS: tuple[tuple[Work, float], ...] = (
    (talk, 0.5),
    (talk, 1.0),
    (talk, 2.0),
    (talk, 2.0),
    (watch, 0.2),
    (watch, 0.5),
    (watch, 1.0),
    (sell, 1.0),
    (sell, 2.0),
    (account, 4.0),
    (identify, 5.0),
)
"""Who works, and the seconds of rest between two pieces of work."""


async def keep_doing(office: Office, work: Work, rest: float, until: float) -> None:
    """One worker's day. A piece of work that fails is noted, and the next one begun."""
    while time.monotonic() < until:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                await work(office)
            office.done[work.__name__] += 1
        except aiohttp.ClientResponseError as error:
            sent = error.request_info
            office.failed.append(f"{work.__name__}: {sent.method} {sent.url} {error.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            office.failed.append(f"{work.__name__}: {type(error).__name__}")
        await asyncio.sleep(rest)


async def sample(running: Running, http: aiohttp.ClientSession, began: float) -> Sample:
    """What the process holds now."""
    process = Path(f"/proc/{running.process.pid}")
    rss = int(re.findall(r"^VmRSS:\s+(\d+) kB", (process / "status").read_text(), re.MULTILINE)[0]) * 1024
    async with http.get("/internal/metrics", raise_for_status=True) as answer:
        text = await answer.text()
    read = {
        f"{name}{labels}": float(value)
        for name, labels, value in re.findall(r"^voyagent_(\w+)(\{[^}]*\})? (\S+)$", text, re.MULTILINE)
    }
    return Sample(time.monotonic() - began, rss, len(list((process / "fd").iterdir())), read)


async def sampled(running: Running, http: aiohttp.ClientSession, began: float, until: float) -> list[Sample]:
    """A sample every few seconds."""
    taken: list[Sample] = []
    while time.monotonic() < until:
        taken.append(await sample(running, http, began))
        await asyncio.sleep(EVERY_SECONDS)
    return taken


async def quiet(running: Running, http: aiohttp.ClientSession, before: Sample) -> Sample:
    """The process once everybody has left and everything has gone to sleep, at the latest after `QUIET_SECONDS`."""
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        now = await sample(running, http, before.seconds)
        gone = all(now.metrics.get(name, 0) <= before.metrics.get(name, 0) + SLACK for name in VOLATILE)
        if gone or time.monotonic() > deadline:
            return now
        await asyncio.sleep(EVERY_SECONDS)


def connections(taken: Sample) -> float:
    return sum(value for name, value in taken.metrics.items() if name.startswith("storage_connections"))


async def soak(minutes: float) -> list[str]:
    """Run it; what grew or failed."""
    with tempfile.TemporaryDirectory(prefix="voyagent-soak-") as folder:
        async with (
            service(Path(folder), VOYAGENT_GUARD="off", VOYAGENT_SESSIONS_PER_MINUTE="100000") as running,
            aiohttp.ClientSession(running.url) as reader,
        ):
            before = await sample(running, reader, time.monotonic())
            async with aiohttp.ClientSession(running.url, connector=aiohttp.TCPConnector(limit=0)) as http:
                admin = await sign_up(http, "Soak")
                others = [await join(admin, role) for role in ("ticketing_lead", "accounting_lead", "agent")]
                office = Office([admin, *others])
                began = time.monotonic()
                until = began + minutes * 60
                taken, *_ = await asyncio.gather(
                    sampled(running, reader, began, until),
                    *(keep_doing(office, work, rest, until) for work, rest in WORKERS),
                )
            after = await quiet(running, reader, before)
    return judged(minutes, office, before, taken, after)


def judged(minutes: float, office: Office, before: Sample, taken: list[Sample], after: Sample) -> list[str]:
    """Record the figures; what is not as it has to be."""
    warm = [each for each in taken if each.seconds >= minutes * 60 / 5]
    part = max(len(warm) // 5, 1)
    first, last = (statistics.median(each.rss for each in some) / 2**20 for some in (warm[:part], warm[-part:]))
    growth = last / first - 1
    faults = [f"{len(office.failed)} of {office.done.total()} pieces of work failed: {office.failed[:5]}"] * bool(
        office.failed
    )
    faults += [f"memory grew by {growth:.1%}"] * (growth > GROWTH)
    for name, was, now in (
        ("descriptors", before.descriptors, after.descriptors),
        ("connections", connections(before), connections(after)),
        *((name, before.metrics.get(name, 0), after.metrics.get(name, 0)) for name in VOLATILE),
    ):
        faults += [f"{name}: {was:g} before, {now:g} after"] * (now > was + SLACK)
    done = ", ".join(f"{count:,} x {name}" for name, count in sorted(office.done.items()))
    record(
        "make soak",
        f"{minutes:g} minutes: {done}; memory after warm-up {first:.0f} MB, at the end {last:.0f} MB ({growth:+.1%}); "
        f"descriptors {before.descriptors} -> {after.descriptors}, connections {connections(before):g} -> "
        f"{connections(after):g}, tasks {before.metrics['loop_tasks']:g} -> {after.metrics['loop_tasks']:g}"
        f"{'; ' + '; '.join(faults) if faults else ''}",
    )
    return faults


if __name__ == "__main__":
    sys.exit("\n".join(asyncio.run(soak(float(sys.argv[1]) if sys.argv[1:] else MINUTES))) or 0)
