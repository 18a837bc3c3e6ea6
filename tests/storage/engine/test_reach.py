"""What a database that does not let us in is told as: each reason in its own words, none with a secret."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.storage.engine.cut_line import CutLine
from voyagent.storage.engine import fitness, reach
from voyagent.storage.migrations import migrate

if TYPE_CHECKING:
    from tests.conftest import Database
    from voyagent.storage.embedded.servers import EmbeddedServers

URL = "postgresql://ravi:s3cret-word@db.internal:5432/desk"
PASSWORD = 'password authentication failed for user "ravi"'
REASONS: list[tuple[BaseException, str, bool]] = [
    (asyncpg.InvalidPasswordError(PASSWORD), "The password of role ravi is wrong, or there is no such role.", False),
    (asyncpg.InvalidAuthorizationSpecificationError('role "ravi" does not exist'), "There is no role ravi", False),
    (asyncpg.InvalidAuthorizationSpecificationError('Peer authentication failed for user "ravi"'), "peer", False),
    (
        asyncpg.InvalidAuthorizationSpecificationError('no pg_hba.conf entry for host "::1", user "ravi"'),
        "No line of pg_hba.conf",
        False,
    ),
    (
        asyncpg.InvalidAuthorizationSpecificationError('role "ravi" is not permitted to log in'),
        "ALTER ROLE ravi LOGIN",
        False,
    ),
    (asyncpg.InvalidCatalogNameError('database "desk" does not exist'), "There is no database desk", False),
    (asyncpg.InsufficientPrivilegeError('permission denied for database "desk"'), "Role ravi may not", False),
    (asyncpg.CannotConnectNowError("the database system is starting up"), "starting or stopping", True),
    (asyncpg.TooManyConnectionsError("sorry, too many clients already"), "max_connections", True),
    (asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"), "broke off", True),
    (asyncpg.AdminShutdownError("terminating connection due to administrator command"), "broke off", True),
    (asyncpg.CrashShutdownError("terminating connection because of crash of another process"), "broke off", True),
    (asyncpg.DiskFullError("could not extend file"), "Postgres refuses: could not extend file", True),
    (asyncpg.PostgresError("something else"), "Postgres refuses: something else", False),
    (ConnectionRefusedError(111, "Connect call failed"), "Nothing listens", True),
    (FileNotFoundError(2, "No such file"), "Nothing listens", True),
    (socket.gaierror(-2, "Name or service not known"), "The host of the URL is not known", True),
    (TimeoutError(), "does not answer in time", True),
    (ssl.SSLCertVerificationError("certificate verify failed"), "sslmode", True),
    (BrokenPipeError(32, "Broken pipe"), "broke off", True),
    (ConnectionResetError(104, "Connection reset by peer"), "broke off", True),
    (OSError("something else"), "cannot be reached: OSError", True),
    (asyncpg.InterfaceError("could not determine user name"), "cannot be reached: InterfaceError", False),
]


@pytest.mark.parametrize(("error", "told", "passes"), REASONS, ids=[type(row[0]).__name__ for row in REASONS])
def test_each_reason_has_words_of_its_own(error: BaseException, told: str, passes: bool) -> None:
    sentence = reach.sentence(error, URL)
    assert told in sentence
    assert "s3cret-word" not in sentence
    assert "db.internal" not in sentence
    assert reach.may_pass(error) is passes


def test_no_two_reasons_are_told_alike() -> None:
    twice = {"broke off", "Nothing listens"}
    told = [reach.sentence(error, URL) for error, told, _ in REASONS if told not in twice]
    assert len(set(told)) == len(told)
    assert len({reach.sentence(error, URL) for error, told, _ in REASONS if told in twice}) == len(twice)


async def test_real_servers_are_told_apart_by_migrations_and_by_the_start(
    servers: EmbeddedServers, database: Database
) -> None:
    nobody = servers.postgres.url("nobody", database.name)
    nowhere = servers.postgres.url(database="nowhere")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    silent = f"postgresql://voyagent:s3cret-word@127.0.0.1:{port}/voyagent"
    for work in (migrate.upgrade, lambda url: fitness.faults(url, {})):
        with pytest.raises(migrate.NotAdmitted, match="There is no role nobody"):
            await work(nobody)
        with pytest.raises(migrate.NotAdmitted, match="There is no database nowhere"):
            await work(nowhere)
        with pytest.raises(migrate.Unreachable, match="Nothing listens"):
            await work(silent)


WORKS: dict[str, Any] = {
    "the start": lambda url: fitness.faults(url, {}),
    "doctor": lambda url: fitness.troubles(url, datetime.now(UTC)),
    "nodes": fitness.nodes,
    "keys": fitness.key_usage,
    "a migration": migrate.upgrade,
    "the grants of a migration": lambda url: migrate.upgrade(url, url),
    "a look for migrations": migrate.is_due,
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
async def test_a_database_that_breaks_off_at_any_moment_is_one_to_wait_for(
    work: Any, servers: EmbeddedServers, database: Database, tmp_path: Path
) -> None:
    """It is restarted, fails over, or is cut off: waiting may help, so it is no fault of a URL or of a setting."""
    line = CutLine(Path(str(servers.postgres._sockets)) / ".s.PGSQL.5432", tmp_path)
    async with line.listening():
        told: list[str] = []
        answers = line.left = 1
        while line.left is not None:
            try:
                await work(line.url(database.name))
            except migrate.Unreachable as error:
                told.append(str(error))
            answers += 1
            line.left = None if line.left > 0 else answers
    assert set(told) == {reach.BROKEN}


async def test_a_service_role_without_the_system_role_is_told_what_to_run(
    servers: EmbeddedServers, database: Database
) -> None:
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute("CREATE ROLE alone LOGIN")
    await admin.execute("GRANT voyagent_system TO alone WITH INHERIT FALSE, SET FALSE")
    await admin.execute("GRANT SELECT ON alembic_version, tenants TO alone")
    try:
        with pytest.raises(migrate.MissingRole, match="GRANT voyagent_system TO alone WITH INHERIT FALSE, SET TRUE"):
            await fitness.faults(servers.postgres.url("alone", database.name), {})
    finally:
        await admin.execute("DROP OWNED BY alone")
        await admin.execute("DROP ROLE alone")
        await admin.close()


async def test_a_standby_and_a_clock_that_is_off_are_told_although_the_database_answers(database: Database) -> None:
    now = datetime.now(UTC)
    assert await fitness.troubles(database.url, now) == []
    (fault,) = await fitness.troubles(database.url, now - timedelta(minutes=2))
    assert "are 120 s apart" in fault or "are 119 s apart" in fault
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    await admin.close()
    (fault,) = await fitness.troubles(database.url, now)
    assert "takes no writes" in fault


async def test_a_role_that_may_not_write_is_told_although_it_reads(database: Database) -> None:
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute("REVOKE INSERT ON sealing_canaries FROM voyagent_system")
    await admin.close()
    (fault,) = await fitness.troubles(database.url, datetime.now(UTC))
    assert fault.startswith("A write fails:")


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@pytest.fixture
async def old_server() -> AsyncIterator[str]:
    """As much of a Postgres 15.4 as says its version, and refuses everything else."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        await reader.readexactly(length - 4)
        for name, value in (("server_version", "15.4"), ("client_encoding", "UTF8")):
            writer.write(message(b"S", name.encode() + b"\x00" + value.encode() + b"\x00"))
        writer.write(message(b"R", struct.pack("!i", 0)) + message(b"K", bytes(8)) + message(b"Z", b"I"))
        while kind := await reader.read(1):
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            await reader.readexactly(length - 4)
            if kind == b"X":
                break
            writer.write(message(b"E", b"SERROR\x00VERROR\x00C42601\x00Mtoo old for this\x00\x00"))
            writer.write(message(b"Z", b"I"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"postgresql://voyagent@127.0.0.1:{server.sockets[0].getsockname()[1]}/voyagent?sslmode=disable"
    server.close()
    await server.wait_closed()


async def test_an_old_server_is_told_so_before_anything_else(old_server: str) -> None:
    works: list[Any] = [migrate.upgrade, lambda url: fitness.faults(url, {})]
    for work in works:
        with pytest.raises(reach.TooOld, match=r"^Postgres 16 or newer is needed; this is 15\.4\.$"):
            await work(old_server)
