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
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]
DEADLINE = 60.0


class Prepared:
    """The process that forks; started by its first command."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, folder: Path, words: tuple[str, ...], environ: dict[str, str]) -> tuple[int, str, str]:
        """Exit code, output and errors of one command, in ``folder`` and with this environment alone."""
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", __file__),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, err = folder / ".stdout", folder / ".stderr"
        asked = {"folder": str(folder), "words": words, "environ": environ, "streams": [str(out), str(err)]}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        try:
            code = await asyncio.wait_for(self._process.stdout.readline(), DEADLINE)
        except BaseException:  # its answer would be taken for the next command's
            self._process.kill()
            await self._process.wait()
            self._process = None
            raise
        said = out.read_text(), err.read_text()
        out.unlink()
        err.unlink()
        return int(code), *said

    async def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await asyncio.wait_for(self._process.wait(), DEADLINE)
            self._process = None


def imported() -> ModuleType:
    """``run.py`` as a module."""
    spec = importlib.util.spec_from_file_location("voyagent_run", ROOT / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def serve() -> None:
    """Fork for each line of standard input, and print the exit code of each."""
    commands = imported()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            play(commands, json.loads(line))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def play(commands: ModuleType, asked: dict[str, Any]) -> NoReturn:
    """Become the command."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(asked["streams"], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
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
