"""``run.py`` in processes that have imported it already: an import takes longer than most commands.

One process imports it and forks for each command. The fork has an environment, a folder, standard streams and an exit
code of its own, as one that an operator starts.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import re
import signal
import socket
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NoReturn

from tests.waiting import until

ROOT = Path(__file__).parents[1]
DEADLINE = 60.0
MOST = 1_000_000
"""Bytes that a service says, at most, until it listens."""


@dataclass(frozen=True, slots=True)
class Command:
    """One that was started."""

    pid: int
    _ended: asyncio.Task[int]

    @property
    def returncode(self) -> int | None:
        """As of a child process."""
        return self._ended.result() if self._ended.done() else None

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """End it where it stands."""
        if self.returncode is None:
            self.send_signal(signal.SIGKILL)
        await self.wait()

    async def wait(self) -> int:
        """Exit code, or the signal that ended it as a negative number."""
        return await asyncio.shield(self._ended)


async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """The exit code, when it is told."""
    code = int(await reader.readline())
    writer.close()
    return code


class Prepared:
    """The process that forks; started by its first command."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._requests: socket.socket | None = None

    async def start(self, folder: Path, words: tuple[str, ...], environ: dict[str, str], out: int, err: int) -> Command:
        """A command in ``folder`` with this environment alone, that writes to these two files."""
        if self._requests is None:
            self._requests, requested = socket.socketpair()
            with requested:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-W", "error", "-m", "tests.prepared"), cwd=ROOT, stdin=requested
                )
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._requests, [b"."], [theirs.fileno(), out, err])
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        writer.write(json.dumps({"folder": str(folder), "words": words, "environ": environ}).encode() + b"\n")
        pid = int(await asyncio.wait_for(reader.readline(), DEADLINE))
        return Command(pid, asyncio.create_task(end(reader, writer)))

    async def run(self, folder: Path, words: tuple[str, ...], environ: dict[str, str]) -> tuple[int, str, str]:
        """Exit code, output and errors of a command that ends by itself."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            command = await self.start(folder, words, environ, out.fileno(), err.fileno())
            try:
                code = await asyncio.wait_for(command.wait(), DEADLINE)
            except BaseException:
                await command.kill()
                raise
            for stream in (out, err):
                stream.seek(0)
            return code, out.read(), err.read()

    async def serve(
        self, folder: Path, words: tuple[str, ...], environ: dict[str, str], log: IO[bytes]
    ) -> tuple[Command, str]:
        """A service that listens, and where; all it says is in ``log``."""
        before = log.seek(0, os.SEEK_END)
        command = await self.start(folder, words, environ, log.fileno(), log.fileno())

        def listens() -> re.Match[bytes] | None:
            said = os.pread(log.fileno(), MOST, before)
            assert command.returncode is None, said.decode(errors="replace")
            return re.search(rb"Voyagent listens on (http://127\.0\.0\.1:\d+)\s", said)

        try:
            return command, (await until(listens, within=DEADLINE))[1].decode()
        except BaseException:
            await command.kill()
            raise

    async def stop(self) -> None:
        """End the process."""
        if self._requests is not None:
            assert self._process is not None
            self._requests.close()
            await asyncio.wait_for(self._process.wait(), DEADLINE)
            self._process = self._requests = None


def imported() -> ModuleType:
    """``run.py`` as a module."""
    spec = importlib.util.spec_from_file_location("voyagent_run", ROOT / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve() -> None:
    """Fork for each request that comes with a connection and two files, until there are no more."""
    commands = imported()
    importlib.import_module("voyagent.actors.agent.llm.messages_api")  # a service's first turn would load it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that attend
    with socket.socket(fileno=0) as requests:
        while True:
            request, files, _, _ = socket.recv_fds(requests, 1, 3)
            if not request:
                return
            if os.fork() == 0:
                attend(commands, *files)
            for each in files:
                os.close(each)


def attend(commands: ModuleType, connection: int, out: int, err: int) -> NoReturn:
    """Fork once more for the command; tell its process id and, when it has ended, its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=connection) as told, told.makefile() as lines:
        asked = json.loads(lines.readline())
        child = os.fork()
        if child == 0:
            play(commands, asked, out, err)
        told.sendall(b"%d\n" % child)
        told.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)


def play(commands: ModuleType, asked: dict[str, Any], out: int, err: int) -> NoReturn:
    """Become the command."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
        os.dup2(stream, number)
    sys.argv = ["run.py", *asked["words"]]
    code: Any = 1
    try:
        code = commands.main()
    except SystemExit as error:
        code = error.code
    except BaseException:  # noqa: BLE001 -- as the interpreter ends a process
        traceback.print_exc()
    gc.collect()  # what was left open is complained of
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    serve()
