"""What an operator may do wrong, or find broken: each command says it on a line and in its exit status."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.operator_calls import DEADLINE, ROOT, development, plain, ran, started
from tests.waiting import until

AGENCY = "0193f5a0-0000-7000-8000-0000000000aa"
IN_DATABASE: tuple[tuple[str, ...], ...] = (
    ("audit", "verify"),
    ("keys", "list"),
    ("keys", "reseal"),
    ("supplier", "list", AGENCY),
    ("supplier", "remove", AGENCY, "duffel"),
    ("supplier", "set", AGENCY, "duffel", "--file", "token"),
    ("seed",),
    ("migrate",),
    ("migrate", "--check"),
)
"""Every command that works on the database."""


async def tells(folder: Path, words: tuple[str, ...], environ: dict[str, str], status: int, text: str) -> None:
    """The command ends so: with one line that says why, and no traceback."""
    code, _, err = await ran(folder, *words, **environ)
    assert (code, text in err, "Traceback" in err) == (status, True, False), (words, code, err)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("serv",), "invalid choice: 'serv'"),
        (("keys",), "the following arguments are required: command"),
        (("supplier", "set", AGENCY), "the following arguments are required: supplier"),
        (("migrate", "--wait", "soon"), "must be seconds, from 0 to 86400"),
        (("migrate", "--wait", "nan"), "must be seconds, from 0 to 86400"),
        (("keys", "reseal", "--wait", "-1"), "must be seconds, from 0 to 86400"),
        (("doctor", "now"), "unrecognized arguments: now"),
    ],
)
async def test_a_wrong_command_line_is_told_with_its_usage(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    code, out, err = await ran(tmp_path, *words)
    assert (code, out, err.startswith("usage: "), told in err) == (2, "", True, True), err


async def test_every_command_tells_of_a_database_that_is_gone_and_of_one_without_tables(
    tmp_path: Path, empty_database: Any
) -> None:
    (tmp_path / "token").write_text("duffel_test_s3cret\n")
    gone = development(f"postgresql://voyagent@/x?host={tmp_path}")
    for words in IN_DATABASE:
        if words != ("seed",):
            await tells(tmp_path, words, gone, 75, "Nothing listens where the URL points")
    for words in IN_DATABASE[:6]:
        await tells(tmp_path, words, development(empty_database.url), 1, "The tables are missing: run the migrations.")


async def test_a_migration_tells_of_a_role_that_may_not_a_lock_and_a_database_that_takes_no_writes(
    tmp_path: Path, database: Any, production_database: Any
) -> None:
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute("UPDATE alembic_version SET version_num = '0021'; DROP TABLE digest_keys")
    await tells(tmp_path, ("migrate",), development(production_database.url), 1, "may not do that: ")
    async with admin.transaction():
        await admin.execute("LOCK TABLE tool_calls")
        await tells(tmp_path, ("migrate",), development(database.url), 75, "somebody else holds a lock for long")
    await admin.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    await tells(tmp_path, ("migrate",), development(database.url), 75, "The database takes no writes")
    await admin.close()


async def test_commands_that_write_tell_of_a_database_that_takes_no_writes(tmp_path: Path, database: Any) -> None:
    (tmp_path / "token").write_text("duffel_test_s3cret\n")
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Rao Travels', now())", AGENCY)
    await admin.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    await admin.close()
    for words in IN_DATABASE[4:6]:
        await tells(tmp_path, words, development(database.url), 75, "The database does not answer, or not as it should")


async def test_a_token_that_cannot_be_read_is_told_of(tmp_path: Path, database: Any) -> None:
    environ = development(database.url)
    (tmp_path / "token").write_bytes(b"\xff\xfe\x00")
    word = ("supplier", "set", AGENCY, "duffel")
    await tells(tmp_path, (*word, "--file", "token"), environ, 2, "The token is empty, too long, or not one word")
    await tells(tmp_path, (*word, "--file", "nowhere"), environ, 1, "No such file or directory: 'nowhere'")
    await tells(tmp_path, word, environ, 2, "The token is empty")  # from the end of /dev/null


async def test_a_file_of_heads_or_settings_that_is_no_text_is_told_of(tmp_path: Path, database: Any) -> None:
    environ = development(database.url)
    (tmp_path / "audit").mkdir()
    heads = tmp_path / "audit" / "heads.jsonl"
    heads.write_bytes(b"\xff\n")
    await tells(tmp_path, ("audit", "verify"), environ, 3, f"{heads}: line 1 cannot be read")
    (tmp_path / ".env").write_bytes(b"VOYAGENT_ENV=\xff\n")
    await tells(tmp_path, ("doctor",), environ, 2, ".env: is not text in UTF-8")


async def test_a_reader_that_has_enough_gets_no_traceback(tmp_path: Path) -> None:
    process = await started(tmp_path, "openapi")
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readexactly(10)
    process.stdout._transport.close()  # type: ignore[attr-defined]  # as head does
    err = await asyncio.wait_for(process.stderr.read(), DEADLINE)
    assert (await process.wait(), err) == (1, b"")


async def test_ctrl_c_at_the_question_for_a_token_ends_it_at_once(tmp_path: Path, database: Any) -> None:
    ours, theirs = pty.openpty()
    script = (
        "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"sys.argv = ['run.py', 'supplier', 'set', '{AGENCY}', 'duffel'];"
        "runpy.run_path(sys.path.pop(), run_name='__main__')"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"import sys; sys.path.append({str(ROOT / 'run.py')!r}); {script}"),
        cwd=tmp_path,
        env=plain(tmp_path) | development(database.url),
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    loop = asyncio.get_running_loop()

    def read() -> None:
        nonlocal said
        try:
            said += os.read(ours, 1000)
        except OSError:  # the other end is closed
            loop.remove_reader(ours)

    loop.add_reader(ours, read)
    await until(lambda: b"Token: " in said, within=DEADLINE)
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 20) == 130
    await until(lambda: b"Interrupted." in said)
    loop.remove_reader(ours)
    os.close(ours)
    assert b"Traceback" not in said
