"""The embedded servers: ours alone, gone when we are, back when they fall."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from tests.waiting import Event
from voyagent.storage.embedded import processes
from voyagent.storage.embedded import servers as embedded
from voyagent.storage.embedded.servers import (
    OWNER,
    SOCKET_FOLDER_BYTES,
    SUPERUSER,
    SYSTEM,
    EmbeddedError,
    EmbeddedServers,
)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends our children with us on Linux only")

PARENT = """
import asyncio, asyncpg, json, sys
from pathlib import Path
from voyagent.storage.embedded.servers import EmbeddedServers

async def main():
    servers = EmbeddedServers(Path(sys.argv[1]))
    await servers.start()
    db = await asyncpg.connect(servers.url)
    await db.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('acknowledged')")
    print(json.dumps([servers.postgres.pid, servers.redis.pid]), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="voyagent-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def own(folder: Path) -> AsyncIterator[EmbeddedServers]:
    async with EmbeddedServers(folder, fast=True) as servers:
        yield servers


async def gone(pid: int, within: float = 15.0) -> None:
    """Return when the process has ended, whoever's child it is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), within)
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def asked(url: str, question: str) -> object:
    db = await asyncpg.connect(url)
    try:
        return await db.fetchval(question)
    finally:
        await db.close()


@linux_only
async def test_a_kill_of_the_parent_leaves_no_orphan_and_a_restart_at_once_finds_every_row(folder: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pids = json.loads(await asyncio.wait_for(parent.stdout.readline(), 30))
    parent.kill()
    await parent.wait()

    async with EmbeddedServers(folder) as servers:
        assert await asked(servers.url, "SELECT word FROM kept") == "acknowledged"
        assert [servers.postgres.pid, servers.redis.pid] != pids
        for pid in pids:
            await gone(pid)


async def test_a_stop_is_clean_and_a_second_start_is_warm(folder: Path) -> None:
    servers = EmbeddedServers(folder, fast=True)
    await servers.start()
    pids = [servers.postgres.pid, servers.redis.pid]
    await servers.stop()
    await servers.stop()

    for pid in pids:
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list(embedded.socket_folder(folder).iterdir()) == []
    assert not (folder / "postgres" / "postmaster.pid").exists()

    async with servers:
        assert await asked(servers.url, "SELECT 1") == 1


async def test_a_second_service_on_the_same_data_is_told_whose_pid_has_it(own: EmbeddedServers, folder: Path) -> None:
    with pytest.raises(EmbeddedError, match=f"in use by process {os.getpid()}"):
        await EmbeddedServers(folder, fast=True).start()
    assert await asked(own.url, "SELECT 1") == 1


async def test_a_server_that_dies_by_itself_is_started_again(own: EmbeddedServers) -> None:
    for server in (own.postgres, own.redis):
        pid = server.pid
        assert pid is not None
        own.restarted.clear()
        os.kill(pid, signal.SIGKILL)
        await asyncio.wait_for(own.restarted.wait(), 30)
        assert server.pid != pid
    assert await asked(own.url, "SELECT 1") == 1
    client = redis.asyncio.from_url(own.redis_url)
    assert await client.ping()
    await client.aclose()


async def test_stopping_one_server_on_purpose_is_no_death(own: EmbeddedServers) -> None:
    await own.postgres.stop()
    assert own.postgres.pid is None
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        await asked(own.url, "SELECT 1")
    await own.postgres.start()
    assert await asked(own.url, "SELECT 1") == 1
    assert not own.restarted.is_set()


async def test_leftovers_of_an_earlier_life_are_no_obstacle(folder: Path) -> None:
    """A first start that was cut off, and pid files whose number another process bears by now."""
    (folder / "postgres.new").mkdir()
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    (folder / "redis").mkdir()
    (folder / "redis" / "redis.pid").write_text(f"{os.getpid()}\n")
    servers = EmbeddedServers(folder, fast=True)
    async with servers:
        assert await asked(servers.url, "SHOW fsync") == "off"
    (folder / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder / 'postgres'}\n")
    async with servers:
        assert await asked(servers.url, "SELECT 1") == 1


async def test_a_path_too_long_for_a_socket_gets_a_short_one_nobody_else_may_enter(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    sockets = embedded.socket_folder(deep)
    assert len(os.fsencode(sockets)) <= SOCKET_FOLDER_BYTES
    assert sockets != embedded.socket_folder(deep / "other")
    try:
        async with EmbeddedServers(deep, fast=True) as servers:
            assert await asked(servers.url, "SELECT 1") == 1
            assert sockets.stat().st_mode & 0o077 == 0
    finally:
        shutil.rmtree(sockets)


async def test_a_socket_folder_that_is_a_link_is_refused(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "sockets").symlink_to(folder / "elsewhere")
    with pytest.raises(EmbeddedError, match="belongs to somebody else"):
        await EmbeddedServers(folder, fast=True).start()


async def test_a_server_that_cannot_start_says_why_and_leaves_nothing_running(folder: Path) -> None:
    async with EmbeddedServers(folder, fast=True):
        pass
    (folder / "postgres" / "postgresql.conf").write_text("no_such_setting = on\n")
    servers = EmbeddedServers(folder, fast=True)
    with pytest.raises(EmbeddedError, match="no_such_setting"):
        await servers.start()
    assert (servers.postgres.pid, servers.redis.pid) == (None, None)


async def test_a_data_directory_keeps_its_rows_safe_unless_told_to_be_fast(folder: Path) -> None:
    async with EmbeddedServers(folder) as servers:
        assert await asked(servers.url, "SHOW fsync") == "on"
        assert await asked(servers.url, "SHOW synchronous_commit") == "on"


async def test_servers_are_refused_outside_the_main_thread(folder: Path) -> None:
    def start() -> None:
        asyncio.run(EmbeddedServers(folder, fast=True).start())

    with pytest.raises(EmbeddedError, match="main thread"):
        await asyncio.to_thread(start)


async def test_the_service_is_no_superuser_and_does_not_inherit_the_system_role(servers: EmbeddedServers) -> None:
    db = await asyncpg.connect(servers.postgres.url(SUPERUSER, SUPERUSER))
    try:
        roles = await db.fetch(
            "SELECT rolname, rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = ANY($1) ORDER BY 1",
            [OWNER, SYSTEM],
        )
        membership = await db.fetchrow(
            "SELECT inherit_option, set_option, admin_option FROM pg_auth_members WHERE roleid = $1::regrole", SYSTEM
        )
    finally:
        await db.close()
    assert [tuple(role) for role in roles] == [(OWNER, False, False, True), (SYSTEM, False, False, False)]
    assert membership is not None
    assert tuple(membership) == (False, True, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_where_namespaces_are_forbidden_root_hands_postgres_to_an_account(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: object, libc: object) -> None:
        raise PermissionError

    nobody = pwd.getpwnam("nobody").pw_uid
    async with EmbeddedServers(folder, fast=True) as servers:
        pass
    monkeypatch.setattr(processes.OwnNamespace, "assume", forbidden)
    async with servers:
        assert await asked(servers.url, "SELECT 1") == 1
        assert (folder / "postgres").stat().st_uid == nobody
    monkeypatch.undo()
    async with servers:
        assert await asked(servers.url, "SELECT 1") == 1
