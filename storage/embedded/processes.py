"""Server processes as children: they do not outlive the parent, receive its Ctrl-C, or run as root.

Postgres detaches itself when started its usual way and then lives on for ever after our ``kill -9``; started here, the
kernel ends it with us (Linux). Where the kernel cannot, the next start finds the orphan by its pid file and ends it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
INNER_ID = 1000
"""The user id of root inside its user namespace; any number but 0."""

PROC = Path("/proc")
PREDECESSOR_TIMEOUT = 10.0
POLL_INTERVAL = 0.02


class EmbeddedError(Exception):
    """An embedded server cannot run here; the text says why and what helps."""


class Identity(Protocol):
    """As whom a child runs, and whose its files must be."""

    owner: tuple[int, int]

    def assume(self, libc: ctypes.CDLL) -> None:
        """Called in the child between fork and exec."""


class CurrentUser:
    """The current, unprivileged user."""

    def __init__(self) -> None:
        self.owner = (os.geteuid(), os.getegid())

    def assume(self, libc: ctypes.CDLL) -> None:
        """Nothing to change."""


class OwnNamespace:
    """Root outside the namespace, an ordinary user inside: needs no account and no chown."""

    owner = (0, 0)

    def assume(self, libc: ctypes.CDLL) -> None:
        """Enter a user namespace of its own in which the one known user is not root."""
        if libc.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        for name, line in (("setgroups", "deny"), ("uid_map", f"{INNER_ID} 0 1"), ("gid_map", f"{INNER_ID} 0 1")):
            file = os.open(f"/proc/self/{name}", os.O_WRONLY)
            os.write(file, line.encode())
            os.close(file)


class UnprivilegedUser:
    """An unprivileged OS user, who becomes the owner of the files."""

    def __init__(self, account: pwd.struct_passwd) -> None:
        self.owner = (account.pw_uid, account.pw_gid)

    def assume(self, libc: ctypes.CDLL) -> None:  # noqa: ARG002 - only a namespace needs it
        """Drop root permanently."""
        os.setgroups([])
        os.setgid(self.owner[1])
        os.setuid(self.owner[0])


def unprivileged(folder: Path, probe: Sequence[str | Path]) -> Identity:
    """Somebody who is not root and can run ``probe``: ourselves, a namespace of our own, or ``folder``'s owner."""
    if os.geteuid() != 0:
        return CurrentUser()
    holder = folder.stat().st_uid
    account = pwd.getpwuid(holder) if holder else pwd.getpwnam("nobody")
    choices: list[Identity] = (
        [OwnNamespace(), UnprivilegedUser(account)] if sys.platform == "linux" else [UnprivilegedUser(account)]
    )
    for identity in choices:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(  # noqa: S603 - the command is our own
                probe, check=True, capture_output=True, timeout=30, preexec_fn=_before_exec(identity, signal.SIGKILL)
            )
            return identity
    raise EmbeddedError(
        f"Postgres refuses to run as root, and neither a user namespace nor the account {account.pw_name} works here: "
        "run the service as an ordinary user."
    )


def hand_over(folder: Path, identity: Identity) -> None:
    """Make ``folder`` and all in it belong to ``identity``, if it does not."""
    if (folder.stat().st_uid, folder.stat().st_gid) == identity.owner or os.geteuid() != 0:
        return
    for path in (*folder.rglob("*"), folder):
        os.chown(path, *identity.owner, follow_symlinks=False)


def _before_exec(identity: Identity, parent_death_signal: signal.Signals) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare() -> None:
        identity.assume(libc)  # first: a change of user clears what the next line asks of the kernel
        if sys.platform == "linux":
            if libc.prctl(PR_SET_PDEATHSIG, int(parent_death_signal)) != 0:
                os._exit(1)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


class Child:
    """A running server process. ``on_exit`` is called with its exit status if it ends without ``stop``."""

    def __init__(self, process: asyncio.subprocess.Process, on_exit: Callable[[int], None]) -> None:
        self._process = process
        self._on_exit = on_exit
        self._stopping = False
        self._watch = asyncio.create_task(self._wait())

    @classmethod
    async def start(
        cls,
        command: Sequence[str | Path],
        *,
        identity: Identity,
        parent_death_signal: signal.Signals,
        log: Path,
        on_exit: Callable[[int], None],
    ) -> Child:
        """Start it. Only from the main thread: the kernel ends it with the *thread* that started it."""
        if threading.current_thread() is not threading.main_thread():
            raise EmbeddedError("embedded servers are started from the main thread, or they would end with another one")
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as sink:
            os.fchmod(sink.fileno(), 0o600)
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                preexec_fn=_before_exec(identity, parent_death_signal),
            )
        return cls(process, on_exit)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        return await asyncio.shield(self._watch)

    async def stop(self, *signals: tuple[signal.Signals, float]) -> None:
        """Send each signal in turn, waiting the given seconds; then kill it. Kills it at once if this is cancelled."""
        self._stopping = True
        try:
            for ask, seconds in (*signals, (signal.SIGKILL, 60.0)):
                self._send(ask)
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self.wait()
                        return
        except asyncio.CancelledError:
            self._send(signal.SIGKILL)
            raise

    def _send(self, ask: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(ask)

    async def _wait(self) -> int:
        status = await self._process.wait()
        if not self._stopping:
            self._on_exit(status)
        return status


async def stop_predecessor(pid_file: Path, marks: Sequence[str], ask: signal.Signals) -> None:
    """Wait for an earlier server on our data, which may still be stopping; one that is not stopping is asked to.

    ``marks`` must all occur in its command line, so that a reused pid of another program is left alone. The caller
    holds the lock of the data directory, so whatever the file names is an orphan. The file is gone afterwards.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PREDECESSOR_TIMEOUT
    asked = False
    while (pid := _pid_in(pid_file)) is not None and all(mark in _command_line(pid) for mark in marks):
        if loop.time() > deadline:
            if asked:
                raise EmbeddedError(f"an earlier server (process {pid}) on the same data does not end")
            with suppress(ProcessLookupError):
                os.kill(pid, ask)
            asked, deadline = True, loop.time() + PREDECESSOR_TIMEOUT
        await asyncio.sleep(POLL_INTERVAL)
    pid_file.unlink(missing_ok=True)


def _pid_in(file: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int(file.read_text().split()[0])
    return None


def _command_line(pid: int) -> str:
    """The command line of a process; empty if it has ended, or is a zombie."""
    if not PROC.is_dir():
        ps = ["/bin/ps", "-o", "command=", "-p", str(pid)]
        return subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # noqa: S603 - a number only
    with suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    return ""
