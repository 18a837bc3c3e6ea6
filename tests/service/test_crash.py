"""The service as a process that is killed: what a client has stands, and what was under way ends, once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.proofs.figures import record
from tests.rehearsal import Gate, Rehearsal, Text, Turn
from tests.service.process import STEP_SECONDS, Client, Service, kind_of
from tests.waiting import until

KILLS = int(os.environ.get("COUNT", "300"))
KILLS_A_RUN = 50
SETTLED = "SELECT count(*) = 0 FROM tool_calls WHERE state IN ('executing', 'unknown')"
STATUSES = ("started", "succeeded", "failed")
DAY = datetime.now(UTC).date() + timedelta(days=60)
WISH = f"Find me a flight from Mumbai to Dubai on {DAY} for Asha Rao and book it"


async def test_b13_b21_what_a_client_had_when_the_plug_was_pulled_is_there_again(
    service: Service, player: Rehearsal, http: aiohttp.ClientSession
) -> None:
    gate = Gate()
    player.play(Turn(Text.split("one", " two", " three"), gate=gate), Turn("And once more."), Turn("Welcome."))
    await service.start()
    told = asyncio.Event()
    client = Client(service, http, told.set)
    await client.sign_up()
    session = await client.session()
    saying = asyncio.create_task(client.say(session, "hello"))
    await gate.release()
    async with asyncio.timeout(20):
        await told.wait()
    await service.kill()
    before = dict(client.seen[session])
    assert [kind_of(frame) for frame in before.values()] == ["text_delta"]
    await service.start()
    await player.received(2, within=20)  # nobody has to ask for it
    await saying
    assert client.seen[session].items() >= before.items()
    events = client.seen[session]
    assert sorted(events) == list(range(1, len(events) + 1))
    assert [kind_of(frame) for frame in events.values()].count("final") == 1
    assert b"answer_restarted: 1 " in events[2], "the words from event 1 on are void"
    assert b'"text":"\\n\\n' in events[3]
    await client.say(session, "thanks")
    assert sorted(events) == list(range(1, len(events) + 1))
    assert [kind_of(frame) for frame in events.values()].count("final") == 2


async def test_sigterm_lets_running_turns_come_to_their_end_and_takes_no_new_ones(
    service: Service, player: Rehearsal, http: aiohttp.ClientSession
) -> None:
    gate = Gate()
    player.play(Turn(Text.split("one", " two"), gate=gate))
    await service.start()
    told = asyncio.Event()
    client = Client(service, http, told.set)
    await client.sign_up()
    session, other = await client.session(), await client.session()
    saying = asyncio.create_task(client.read(session, {"message": "hello"}, {}))
    await gate.release()
    async with asyncio.timeout(20):
        await told.wait()
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    url = f"{service.url}/chat/sessions/{other}/messages"
    async with asyncio.timeout(10):
        status = 200
        while status == 200:  # the signal is on its way
            async with http.post(url, json={"message": "hi"}, headers=client.headers()) as response:
                status, body = response.status, await response.read()
    assert (status, body) == (503, b'{"detail":"shutting_down"}')
    await gate.open()
    assert await saying
    assert await service.ended(within=10) == 0


@dataclass(slots=True)
class Killer:
    """Pulls the plug at random instants while clients are at work."""

    service: Service
    chance: random.Random
    heard: int = 0
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self) -> None:
        self.heard += 1
        self.wakeup.set()

    async def run(self, times: int) -> None:
        for _ in range(times):
            if self.chance.random() < 0.9:
                await self._events(self.chance.randint(1, 200))
            await self._moment(self.chance.uniform(0.0, 0.05))
            await self.service.kill()
            await self.service.start()

    async def _events(self, count: int) -> None:
        target = self.heard + count
        async with asyncio.timeout(STEP_SECONDS):
            while self.heard < target:
                self.wakeup.clear()
                await self.wakeup.wait()

    async def _moment(self, seconds: float) -> None:
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, over.set)
        await over.wait()


async def work(client: Client, over: asyncio.Event) -> None:
    """Book a flight and talk about it, again and again, each time in a session of its own."""
    while not over.is_set():
        session = await client.session()
        await client.say(session, WISH)
        await client.decide(session)
        await client.follow(session)
        await client.say(session, "thanks")


async def killed(service: Service, http: aiohttp.ClientSession, database: Any, times: int, seed: int) -> Counter[str]:
    """Kill the service ``times`` times under load, compare what clients had with what is stored, and count it."""
    await service.start()
    killer = Killer(service, random.Random(seed))
    clients = [Client(service, http, killer.told) for _ in range(4)]
    for client in clients:
        await client.sign_up()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(work(client, over))
        await killer.run(times)
        over.set()
    for client in clients:
        for session in client.seen:
            await nothing_was_lost(client, session)
    db = await asyncpg.connect(database.admin_url)
    try:
        bookings, turns = await everything_happened_once(db, clients)
    finally:
        await db.close()
    events = sum(len(seen) for client in clients for seen in client.seen.values())
    return Counter({"kills": times, "events checked": events, "bookings": bookings, "turns": turns})


async def nothing_was_lost(client: Client, session: str) -> None:
    again = Client(client.service, client.http, token=client.token)
    await again.follow(session)
    assert sorted(again.seen[session]) == list(range(1, len(again.seen[session]) + 1))
    assert again.seen[session].items() >= client.seen[session].items()


async def everything_happened_once(db: asyncpg.Connection, clients: list[Client]) -> tuple[int, int]:
    """Each grant is one booking, each pass has one ``final``, each approval one verdict; how many bookings and turns.

    Each message was taken once, and each event that is stored was told with the number behind the one before it. A turn
    whose passes were cut off thrice is given up: its write is looked up by the minute, and booked at most once.
    """
    decided = set().union(*(client.decided for client in clients))
    assert len(decided) >= len(clients), "too little was granted to show anything"
    await until(lambda: db.fetchval(SETTLED), within=150)
    rows = await db.fetch(
        "SELECT p.id, c.id::text AS call_id, c.state, c.output->>'booking_id' AS booking_id, t.state AS turn"
        "  FROM pending_approvals p JOIN tool_calls c ON c.id = p.tool_call_id JOIN turns t ON t.id = c.turn_id"
        " WHERE p.status = 'granted'"
    )
    assert {row["id"] for row in rows} == decided
    given_up = {row["call_id"] for row in rows if row["turn"] == "failed"}
    assert {row["state"] for row in rows if row["call_id"] not in given_up} == {"succeeded"}
    booked = [row for row in rows if row["state"] == "succeeded"]
    orders = Counter(row["key"] for row in await db.fetch("SELECT key::text FROM house_orders"))
    assert orders == Counter(row["call_id"] for row in booked)
    bookings = Counter(str(row["id"]) for row in await db.fetch("SELECT id FROM bookings"))
    assert bookings == Counter(row["booking_id"] for row in booked)

    assert await db.fetchval("SELECT count(*) FROM turns WHERE state IN ('queued', 'running')") == 0
    stored = await db.fetch("SELECT turn_id, kind, frame FROM session_events ORDER BY session_id, seq")
    finals = Counter(row["turn_id"] for row in stored if row["kind"] == "final")
    passes = {row["id"]: row["pass_no"] for row in await db.fetch("SELECT id, pass_no FROM turns")}
    assert finals == Counter(passes)

    verdicts = Counter(
        row["approval"]
        for row in await db.fetch(
            "SELECT inputs->>'approval_id' AS approval FROM audit_events WHERE kind = 'approval.granted'"
        )
    )
    assert verdicts == Counter(decided)
    audit = await db.fetch(
        "SELECT status, error, entity_refs->>'tool_call_id' AS call FROM audit_events WHERE kind = 'book_flight'"
    )
    assert Counter(each["call"] for each in audit if each["status"] == "succeeded") == orders
    whole = [each for each in audit if each["call"] not in given_up]
    calls = Counter({row["call_id"]: 1 for row in booked if row["call_id"] not in given_up})
    told = {status: Counter(each["call"] for each in whole if each["status"] == status) for status in STATUSES}
    assert told["started"] == told["succeeded"] == calls
    assert told["failed"] <= calls, "a look-up that gets no answer is told once, before the outcome"
    assert {each["error"] for each in whole if each["status"] == "failed"} <= {"outcome_unknown"}
    assert sum(each.total() for each in told.values()) == len(whole)
    unanswered = await db.fetch(
        "SELECT c.tool, c.state, c.error FROM tool_calls c"
        " WHERE (SELECT count(*) FROM messages m WHERE m.tool_call_id = c.id) <> 1"
        "   AND NOT (c.approval_id IS NOT NULL AND c.state = 'proposed')"
    )
    assert unanswered == []
    said = Counter(
        (str(row["session_id"]), row["text"])
        for row in await db.fetch("SELECT session_id, content->0->>'text' AS text FROM messages WHERE role = 'user'")
    )
    assert said == sum((client.said for client in clients), Counter())
    ids = await db.fetch("SELECT session_id, array_agg(seq ORDER BY seq) AS ids FROM session_events GROUP BY 1")
    had = {session: max(seen) for client in clients for session, seen in client.seen.items() if seen}
    assert {str(row["session_id"]): row["ids"] for row in ids} == {
        session: list(range(1, newest + 1)) for session, newest in had.items()
    }
    return len(bookings), len(passes)


async def test_b20_b21_twenty_kills_under_load_lose_and_repeat_nothing(
    service: Service, http: aiohttp.ClientSession, database: Any
) -> None:
    await killed(service, http, database, 20, seed=21)


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter[str]]:
    """What all runs checked together, for the page of figures."""
    counts: Counter[str] = Counter()
    yield counts
    if counts:
        record(
            "make crash", ", ".join(f"{count:,} {name}" for name, count in counts.items()) + ": none lost, none twice"
        )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(-(-KILLS // KILLS_A_RUN)))
async def test_b21_three_hundred_kills_lose_and_repeat_nothing(
    seed: int, service: Service, http: aiohttp.ClientSession, database: Any, tally: Counter[str]
) -> None:
    tally.update(await killed(service, http, database, min(KILLS_A_RUN, KILLS - seed * KILLS_A_RUN), seed=seed))
