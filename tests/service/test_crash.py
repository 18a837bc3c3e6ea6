"""The service as a process that is killed: what a client has stands, and what was under way ends, once."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.proofs.figures import record
from tests.rehearsal import Gate, Rehearsal, Text, Turn
from voyagent.actors.agent.rehearsed.server import KEY
from voyagent.actors.domain.ids import uuid7

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STEP_SECONDS = 180.0
"""What a client waits for one thing, restarts of the service included."""
KILLS = int(os.environ.get("COUNT", "300"))
KILLS_A_RUN = 50
DAY = datetime.now(UTC).date() + timedelta(days=60)
WISH = f"Find me a flight from Mumbai to Dubai on {DAY} for Asha Rao and book it"
CUT = (aiohttp.ClientError, ConnectionError)


class Service:
    """The service in a process of its own, started and killed as often as a test likes."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.environ = environ
        self.log = log
        self.url = ""
        self.up = asyncio.Event()
        self.process: asyncio.subprocess.Process | None = None
        self.reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "run.py",
                "serve",
                cwd=ROOT,
                env=self.environ,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.reading = asyncio.create_task(self._read(self.process, listening))
        async with asyncio.timeout(START_SECONDS):
            self.url = await listening
        self.up.set()

    async def _read(self, process: asyncio.subprocess.Process, listening: asyncio.Future[str]) -> None:
        assert process.stdout is not None
        with self.log.open("ab") as log:
            async for line in process.stdout:
                log.write(line)
                found = re.search(rb"listens on (\S+)", line)
                if found and not listening.done():
                    listening.set_result(found[1].decode())
        if not listening.done():
            listening.set_exception(AssertionError(self.log.read_text(errors="replace")[-4000:]))

    async def ended(self, within: float = 40.0) -> int:
        """Wait for the end; answers the status."""
        assert self.process is not None
        async with asyncio.timeout(within):
            status = await self.process.wait()
            if self.reading is not None:
                await self.reading
        return status

    async def kill(self) -> None:
        """The plug is pulled."""
        assert self.process is not None
        self.up.clear()
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()


@pytest.fixture
async def player() -> AsyncIterator[Rehearsal]:
    """A model that takes its time, so that kills fall into its midst; it outlives the service."""
    rehearsal = Rehearsal(delay=0.002)
    await rehearsal.start()
    yield rehearsal
    await rehearsal.stop()


@pytest.fixture
async def service(database: Any, redis_url: str, player: Rehearsal, tmp_path: Path) -> AsyncIterator[Service]:
    """The service on this test's own database; not started yet."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("VOYAGENT_", "ANTHROPIC_"))},
        "VOYAGENT_ENV": "development",
        "VOYAGENT_PORT": "0",
        "VOYAGENT_DB_URL": database.url,
        "VOYAGENT_REDIS_URL": redis_url,
        "VOYAGENT_DATA_DIR": str(tmp_path),
        "VOYAGENT_GUARD": "off",
        "VOYAGENT_AUTH_SECRET": "a secret that is only for tests, and long",
        "VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION": "true",
        "VOYAGENT_AUTH_ARGON2_MEMORY_COST": "8192",
        "VOYAGENT_AUTH_ARGON2_TIME_COST": "1",
        "VOYAGENT_SUPPLIERS": "house",
        "VOYAGENT_DRAIN_SECONDS": "20",
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": player.url,
    }
    started = Service(environ, tmp_path / "service.log")
    yield started
    if started.process is not None:
        await started.kill()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a limit on its connections."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        yield client


@dataclass(slots=True)
class Client:
    """Somebody who keeps what he was told, and comes back after every cut."""

    service: Service
    http: aiohttp.ClientSession
    told: Callable[[], None] = lambda: None
    token: str = ""
    seen: dict[str, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    decided: set[str] = field(default_factory=set)
    said: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def sign_up(self) -> None:
        body = {
            "email": f"{uuid7()}@example.com",
            "password": "a long password 1",
            "full_name": "Asha Rao",
            "agency_name": "Rao Travels",
        }
        self.token = (await self.json("POST", "/auth/sign-up", json=body))[1]["access_token"]

    async def json(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """One request, sent again until there is an answer that is no 503."""
        return await self._through(lambda: self._json(method, path, more))

    async def _through(self, attempt: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(STEP_SECONDS):
            while True:
                await self.service.up.wait()
                try:
                    answer = await attempt()
                except CUT:
                    continue
                if answer is not None:
                    return answer

    async def _json(self, method: str, path: str, more: dict[str, Any]) -> tuple[int, Any] | None:
        async with self.http.request(method, self.service.url + path, headers=self.headers(), **more) as response:
            body = await response.json()
            return None if response.status == 503 else (response.status, body)

    def headers(self, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", **more} if self.token else more

    async def session(self) -> str:
        status, body = await self.json("POST", "/chat/sessions")
        assert status == 201
        return str(body["session_id"])

    async def say(self, session: str, text: str) -> list[str]:
        """Say something, once, whatever happens; the kinds of events up to where nothing goes on any more."""
        key = uuid7()
        self.said[session, text] += 1
        await self._through(lambda: self._read(session, {"message": text}, {"Idempotency-Key": key}))
        return await self.follow(session)

    async def follow(self, session: str) -> list[str]:
        """Read what is missing, until the session is at rest."""

        async def attempt() -> bool | None:
            newest = max(self.seen[session], default=0)
            return await self._read(session, {}, {"Last-Event-ID": str(newest)})

        before = max(self.seen[session], default=0)
        await self._through(attempt)
        return [kind_of(frame) for number, frame in sorted(self.seen[session].items()) if number > before]

    async def _read(self, session: str, body: dict[str, Any], headers: dict[str, str]) -> bool | None:
        """True when the stream came to its ``final``. What is told is checked as it comes."""
        url = f"{self.service.url}/chat/sessions/{session}/messages"
        expected = int(headers["Last-Event-ID"]) + 1 if "Last-Event-ID" in headers else None
        ended = None
        async with self.http.post(url, json=body, headers=self.headers(**headers)) as response:
            if response.status != 200:
                assert response.status in {409, 503}, await response.text()
                return None
            async for frame in frames(response):
                ended = kind_of(frame) == "final" or None
                number = id_of(frame)
                if number is not None:
                    assert expected is None or number == expected, (number, expected)
                    expected = number + 1
                    if number not in self.seen[session]:
                        self.told()
                    assert self.seen[session].setdefault(number, frame) == frame
        return ended

    async def decide(self, session: str) -> None:
        """Grant whatever waits in this session; the first answer that comes may be of an attempt that was cut."""
        waiting = (await self.json("GET", f"/approvals?session_id={session}&status=pending"))[1]["items"]
        for item in waiting:
            status, _ = await self.json("POST", f"/approvals/{item['id']}/resolve", json={"granted": True})
            assert status in {200, 409}
            self.decided.add(item["id"])


async def frames(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Whole frames with an event."""
    lines: list[bytes] = []
    async for line in response.content:
        if line != b"\n":
            lines.append(line)
            continue
        if b"event: agent_event\n" in lines:
            yield b"".join(lines)
        lines = []


def id_of(frame: bytes) -> int | None:
    found = re.match(rb"id: (\d+)\n", frame)
    return None if found is None else int(found[1])


def kind_of(frame: bytes) -> str:
    found = re.search(rb'"kind":"(\w+)"', frame)
    assert found is not None
    return found[1].decode()


def turn_of(frame: bytes) -> str:
    found = re.search(rb'"turn_id":"([\w-]+)"', frame)
    assert found is not None
    return found[1].decode()


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
    saying = asyncio.create_task(client._read(session, {"message": "hello"}, {}))
    await gate.release()
    async with asyncio.timeout(20):
        await told.wait()
    assert service.process is not None
    service.process.terminate()
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

    Each message was taken once, and each event that is stored was told with the number behind the one before it.
    """
    decided = set().union(*(client.decided for client in clients))
    assert len(decided) >= len(clients), "too little was granted to show anything"
    rows = await db.fetch(
        "SELECT p.id, p.status, c.id AS call_id, c.state, c.output->>'booking_id' AS booking_id"
        "  FROM pending_approvals p JOIN tool_calls c ON c.id = p.tool_call_id WHERE p.status = 'granted'"
    )
    assert {row["id"] for row in rows} == decided
    assert {row["state"] for row in rows} == {"succeeded"}
    orders = Counter(row["key"] for row in await db.fetch("SELECT key::text FROM house_orders"))
    assert orders == Counter(str(row["call_id"]) for row in rows)
    bookings = Counter(str(row["id"]) for row in await db.fetch("SELECT id FROM bookings"))
    assert bookings == Counter(row["booking_id"] for row in rows)

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
        "SELECT status, entity_refs->>'tool_call_id' AS call FROM audit_events WHERE kind = 'book_flight'"
    )
    started = Counter(row["call"] for row in audit if row["status"] == "started")
    ended = Counter(row["call"] for row in audit if row["status"] != "started")
    assert started == ended == Counter(str(row["call_id"]) for row in rows)
    unanswered = await db.fetchval(
        "SELECT count(*) FROM tool_calls c WHERE (SELECT count(*) FROM messages m WHERE m.tool_call_id = c.id) <> 1"
        "   AND NOT (c.approval_id IS NOT NULL AND c.state = 'proposed')"
    )
    assert unanswered == 0
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
