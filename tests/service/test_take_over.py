"""An owner that is paused or killed is replaced, and writes nothing when it goes on."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest

from tests.actors.suppliers.duffel.standin import Standin
from tests.service.process import Client, Service, kind_of
from tests.waiting import Event, until
from voyagent.storage.engine.coordinator import TTL

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web


WITHIN = TTL + 1.0
"""Seconds in which a paused owner is replaced."""
SLACK = 2.0
"""Seconds more for a machine on which much else runs."""
DAY = datetime.now(UTC).date() + timedelta(days=60)
WISH = (
    f"Find a flight from Mumbai to Dubai on {DAY} for Ms Asha Rao, born 1990-04-02, female, asha.rao@example.com, "
    "+919820012345, and book it"
)
TOKEN = "duffel_test_env"
ROWS = ("session_events", "turns", "messages", "tool_calls", "model_calls", "bookings", "audit_events", "sessions")


@pytest.fixture
async def successor(service: Service, tmp_path: Path) -> AsyncIterator[Service]:
    """A second process on the same database."""
    started = Service(service.environ, tmp_path / "successor.log")
    yield started
    if started.process is not None:
        await started.kill()


@pytest.fixture
async def db(database: Any) -> AsyncIterator[asyncpg.Connection]:
    """As the superuser."""
    connection = await asyncpg.connect(database.admin_url)
    yield connection
    await connection.close()


def send(process: Service, number: signal.Signals) -> None:
    assert process.process is not None
    process.process.send_signal(number)


async def pause(owner: Service) -> float:
    """Stop the process where it stands; answers when."""
    send(owner, signal.SIGSTOP)
    assert owner.process is not None
    state = f"/proc/{owner.process.pid}/stat"

    def stopped() -> bool:
        with open(state) as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] == "T"

    await until(stopped)
    return time.monotonic()


async def serves(http: aiohttp.ClientSession, process: Service, client: Client) -> bool:
    async with http.get(f"{process.url}/chat/sessions", headers=client.headers()) as response:
        assert response.status in {200, 503}, await response.text()
        return response.status == 200


async def taken_over(
    http: aiohttp.ClientSession,
    successor: Service,
    client: Client,
    since: float,
    within: float = WITHIN,
) -> None:
    """Wait until the second process serves the agency. Its requests go there from now on."""
    await until(lambda: serves(http, successor, client), pause=0.05)
    assert time.monotonic() - since < within + SLACK
    client.service = successor


async def goes_on(owner: Service) -> None:
    """Let the former owner go on, until it knows that it owns nothing."""
    send(owner, signal.SIGCONT)
    await until(lambda: b"shards_owned_by_another_node" in owner.log.read_bytes())


async def rows(db: asyncpg.Connection) -> dict[str, int]:
    return {table: await db.fetchval(f"SELECT count(*) FROM {table}") for table in ROWS}


async def begun(service: Service, successor: Service, http: aiohttp.ClientSession) -> Client:
    """Somebody with the first of two processes, which owns all; the second waits."""
    await service.start()
    client = Client(service, http)
    await client.sign_up()
    await successor.start()
    assert not await serves(http, successor, client)
    return client


@pytest.mark.slow
async def test_an_idle_owner_that_is_paused_is_replaced_and_serves_again_when_its_successor_stops(
    service: Service,
    successor: Service,
    http: aiohttp.ClientSession,
    db: asyncpg.Connection,
) -> None:
    client = await begun(service, successor, http)
    session = await client.session()
    await taken_over(http, successor, client, await pause(service))
    await client.say(session, "hello")
    before = await rows(db)
    send(service, signal.SIGCONT)
    client.service = service
    assert not await serves(http, service, client), "its lease is over before it has looked"
    await goes_on(service)
    assert await rows(db) == before
    assert await db.fetchval("SELECT count(DISTINCT node) FROM shards WHERE epoch = 2") == 1
    assert successor.process is not None
    stopped_at = time.monotonic()
    successor.process.send_signal(signal.SIGTERM)
    await taken_over(http, service, client, stopped_at, within=5.0)
    await client.say(session, "hello again")
    assert kinds_of(client, session).count("final") == 2


@pytest.mark.slow
async def test_an_owner_that_is_killed_is_replaced_at_once(
    service: Service,
    successor: Service,
    http: aiohttp.ClientSession,
    db: asyncpg.Connection,
) -> None:
    """Its lock is gone with its connection: nobody waits for its lease."""
    client = await begun(service, successor, http)
    await until(lambda: db.fetchval("SELECT now() - pg_postmaster_start_time() > interval '8 seconds'"))
    since = time.monotonic()
    await service.kill()
    await taken_over(http, successor, client, since, within=2.0)


async def test_an_owner_that_is_paused_within_a_transaction_holds_nobody_up_and_commits_nothing(
    service: Service,
    successor: Service,
    http: aiohttp.ClientSession,
    db: asyncpg.Connection,
) -> None:
    """It holds the session's row and its shard's. Its connections are ended, and the request is made again."""
    client = await begun(service, successor, http)
    session = await client.session()
    await db.execute("BEGIN")
    await db.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", session)
    url = f"{service.url}/chat/sessions/{session}"
    renaming = asyncio.create_task(rename(http, url, client, "by the first"))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('tuple', 'transactionid')"
    await until(lambda: db.fetchval(waits))
    since = await pause(service)
    await db.execute("COMMIT")  # the statement returns, and nobody goes on with its transaction
    await until(lambda: db.fetchval("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"))
    await taken_over(http, successor, client, since)
    assert await rename(http, url.replace(service.url, successor.url), client, "by the second") == 200
    before = await rows(db)
    await goes_on(service)
    assert await renaming == 503
    assert await rows(db) == before
    assert await db.fetchval("SELECT title FROM sessions WHERE id = $1", session) == "by the second"
    assert await db.fetchval("SELECT count(*) FROM audit_events WHERE kind = 'session.renamed'") == 1


def kinds_of(client: Client, session: str) -> list[str]:
    return [kind_of(frame) for _, frame in sorted(client.seen[session].items())]


async def rename(http: aiohttp.ClientSession, url: str, client: Client, title: str) -> int:
    async with http.patch(url, json={"title": title}, headers=client.headers()) as response:
        return response.status


class SlowStandin(Standin):
    """Makes an order, and answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.ordered, self.may_answer = Event(), Event()

    async def order(self, request: web.Request) -> Any:
        made = await super().order(request)
        self.ordered.set()
        await asyncio.wait_for(self.may_answer.wait(), 60.0)
        return made


@pytest.fixture
async def standin() -> AsyncIterator[tuple[SlowStandin, str]]:
    server = SlowStandin()
    yield server, await server.start()
    await server.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("player")
async def test_an_owner_that_is_paused_while_a_supplier_works_leaves_one_order_and_one_outcome(
    service: Service,
    successor: Service,
    http: aiohttp.ClientSession,
    db: asyncpg.Connection,
    standin: tuple[SlowStandin, str],
) -> None:
    """Its successor looks up what it had ordered; the answer that it reads later is not recorded a second time."""
    supplier, url = standin
    given = {"SUPPLIERS": "duffel", "DUFFEL_TOKEN": TOKEN, "DUFFEL_BASE_URL": url}
    service.environ.update({f"VOYAGENT_{name}": value for name, value in given.items()})
    client = await begun(service, successor, http)
    session = await client.session()
    await client.say(session, WISH)
    assert kinds_of(client, session)[-2:] == ["approval_request", "final"]
    await client.decide(session)
    await supplier.ordered.wait()
    assert await db.fetchval("SELECT state FROM tool_calls WHERE driver IS NOT NULL") == "executing"
    await taken_over(http, successor, client, await pause(service))
    await until(lambda: db.fetchval("SELECT state = 'completed' FROM turns"))
    before = await rows(db)
    supplier.may_answer.set()
    await goes_on(service)
    assert await rows(db) == before
    assert await db.fetchval("SELECT state FROM tool_calls WHERE driver IS NOT NULL") == "succeeded"
    assert await db.fetchval("SELECT count(*) FROM bookings") == 1
    assert len(supplier.account(TOKEN).orders) == 1
    assert supplier.log.count(("POST", "/air/orders")) == 1
    kinds = [row["kind"] for row in await db.fetch("SELECT kind FROM audit_events")]
    assert kinds.count("book_flight") == 2, "once begun, once ended"
    await client.follow(session)
    assert kinds_of(client, session)[-1] == "final"
