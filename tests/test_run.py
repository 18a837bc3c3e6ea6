"""The command line, as an operator meets it: in processes of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.operator_calls import DEADLINE, answer, development, production, ran, serving, started
from tests.prepared import imported
from tests.service_manager import Manager
from tests.waiting import Event


async def test_it_serves_with_servers_of_its_own_and_a_signal_ends_all_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path, "--embedded") as (process, url):
        assert await answer(f"{url}/health") == (200, {"status": "ok"})
        status, ready = await answer(f"{url}/health/ready")
        assert (status, set(ready["checks"].values())) == (200, {"ok"})
        postmaster = int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0])

        code, _, complaint = await ran(tmp_path, "--embedded")
        assert (code, complaint.strip()) == (
            1,
            f"{tmp_path} is in use by process {process.pid}: stop it, or set VOYAGENT_DATA_DIR",
        )

        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(postmaster, 0)


async def test_nobody_else_on_the_machine_reads_what_the_service_keeps(tmp_path: Path) -> None:
    var = tmp_path / "made" / "var"
    async with serving(tmp_path, "--embedded", VOYAGENT_DATA_DIR=str(var)):
        own = os.geteuid()
        kept = [path for path in (var, *var.rglob("*")) if path.lstat().st_uid == own and not path.is_socket()]
        modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in kept if not path.is_symlink()}
    assert {f"made/var/{name}" for name in ("logs", "logs/postgres.log", "logs/redis.log", "secrets")} <= set(modes)
    passing = 0o011 if own == 0 else 0
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077 & ~passing} == {}


async def test_commands_share_the_servers_of_a_service_that_runs(tmp_path: Path) -> None:
    async with serving(tmp_path, "--embedded", VOYAGENT_AUTH_ARGON2_MEMORY_COST="8192"):
        code, people, _ = await ran(tmp_path, "seed", "--embedded", VOYAGENT_AUTH_ARGON2_MEMORY_COST="8192")
        assert code == 0
        assert "agency_admin     agency.admin@demo.example" in people
        assert "another process serves this database" in people
        code, findings, _ = await ran(tmp_path, "--embedded", "doctor")
        assert (code, findings.count("NO ")) == (0, 0)
        code, chains, _ = await ran(tmp_path, "audit", "verify", "--embedded")
        assert code == 0
        assert "unbroken  Demo Travels" in chains


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_without_a_database_it_starts_and_says_so(tmp_path: Path, number: signal.Signals) -> None:
    async with serving(tmp_path, VOYAGENT_ENV="development") as (process, url):
        assert await answer(f"{url}/health") == (200, {"status": "ok"})
        assert await answer(f"{url}/health/db") == (503, {"detail": "VOYAGENT_DB_URL is not configured."})
        assert await answer(f"{url}/health/redis") == (503, {"detail": "VOYAGENT_REDIS_URL is not configured."})
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_r1_r59_an_unsafe_production_does_not_start_and_shows_no_value(tmp_path: Path) -> None:
    code, out, err = await ran(tmp_path, VOYAGENT_AUTH_SECRET="hunter2", VOYAGENT_AUTH_DEBUG_TOKENS="true")
    assert (code, out) == (2, "")
    assert err == "VOYAGENT_AUTH_SECRET: must be at least 32 bytes\n"
    secret = "kJ8s2Lq0vXw5Zr7tYb3nMc6pDf9gHa1e"
    code, _, err = await ran(tmp_path, VOYAGENT_AUTH_SECRET=secret, VOYAGENT_AUTH_DEBUG_TOKENS="true")
    assert code == 2
    assert "VOYAGENT_AUTH_DEBUG_TOKENS: is refused in production" in err
    assert secret not in err


async def test_a_port_that_is_taken_is_said_in_our_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, out, err = await ran(tmp_path, VOYAGENT_ENV="development", VOYAGENT_PORT=str(port))
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"VOYAGENT_PORT: 127.0.0.1:{port} is already in use"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Who started the service, and is told how it is."""
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.close()


async def test_production_says_in_one_json_line_that_it_listens_and_in_others_that_it_stops(
    tmp_path: Path, production_database: Any, manager: Manager
) -> None:
    process = await started(tmp_path, **production(production_database), **manager.environ)
    assert process.stderr is not None
    lines: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(DEADLINE):
            while not lines or lines[-1]["event"] != "service_started":
                lines.append(json.loads(await process.stderr.readline()))
        assert await manager.until("READY=1") == f"READY=1\nSTATUS=Listening on {lines[-1]['url']}"
        assert await answer(f"{lines[-1]['url']}/health") == (200, {"status": "ok"})
        await manager.until("WATCHDOG=1")
        process.terminate()
        assert await manager.until("STOPPING=1") == "STOPPING=1\nEXTEND_TIMEOUT_USEC=29000000\nSTATUS=Draining turns"
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE)
    finally:
        if process.returncode is None:
            process.kill()
    lines += [json.loads(line) for line in err.splitlines()]
    events = [line["event"] for line in lines]
    assert (process.returncode, out) == (0, b"")
    assert [event for event in events if event.startswith("service_")] == [
        "service_started",
        "service_stopping",
        "service_stopped",
    ]
    doubts = [line["reason"].partition(":")[0] for line in lines if line["event"] == "configuration_doubtful"]
    assert "VOYAGENT_REDIS_URL" in doubts
    assert "VOYAGENT_MAIL_FROM" in doubts


async def test_a_start_with_another_sealing_key_is_refused_in_a_sentence_and_loses_nothing(
    tmp_path: Path, database: Any, production_database: Any
) -> None:
    other = base64.b64encode(bytes(range(7, 39))).decode()
    right = production(production_database)
    process = await started(tmp_path, **right)
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE):
        while b"service_started" not in (line := await process.stderr.readline()):
            assert line, "it ended without having started"
    process.terminate()
    await asyncio.wait_for(process.communicate(), DEADLINE)
    for wrong in (
        production(production_database, VOYAGENT_KMS_KEY=other),
        development(database.url) | {"VOYAGENT_KMS_KEY": other},
        development(database.url),  # a key of this folder's own
    ):
        code, out, err = await ran(tmp_path, **wrong)
        assert (code, out) == (2, "")
        told = [line for line in err.splitlines() if line.startswith("VOYAGENT_KMS_KEY: ")]
        assert "is not the one this database was sealed with" in told[0]
        assert other not in err


async def test_embedded_servers_are_not_opened_with_a_key_made_after_them(tmp_path: Path) -> None:
    async with serving(tmp_path, "--embedded"):
        pass
    key = tmp_path / "secrets" / "kms_key"
    kept = key.read_text()
    key.unlink()
    code, _, err = await ran(tmp_path, "--embedded")
    assert code == 2
    assert "VOYAGENT_KMS_KEY: key 'default' is not the one" in err
    assert str(key) in err
    key.write_text(kept)
    async with serving(tmp_path, "--embedded") as (_, url):
        assert (await answer(f"{url}/health/ready"))[0] == 200


async def test_a_superuser_and_a_missing_role_are_named_at_once(tmp_path: Path, database: Any, servers: Any) -> None:
    admin = {"VOYAGENT_DB_URL": database.admin_url, "VOYAGENT_DB_MIGRATE_URL": database.url}
    code, _, err = await ran(tmp_path, **development(database.url) | admin)
    assert code != 0
    assert "row-level security" in err or "voyagent_system" in err
    nobody, nowhere = servers.postgres.url("nobody", database.name), servers.postgres.url(database="nowhere")
    for url, words, told in (
        (nobody, (), "There is no role nobody"),
        (nobody, ("audit", "verify"), "There is no role nobody"),
        (nowhere, ("migrate",), "There is no database nowhere"),
    ):
        code, out, err = await ran(tmp_path, *words, **development(url))
        assert (code, out, told in err, "Traceback" in err) == (1, "", True, False), words


async def test_production_does_not_serve_as_the_owner_of_a_database_that_answers_after_the_start(
    tmp_path: Path, database: Any, servers: Any
) -> None:
    folder = tmp_path / "later"
    folder.mkdir()
    url = f"postgresql://{urlsplit(database.url).username}@/{database.name}?host={folder}"
    process = await started(tmp_path, **production(database, VOYAGENT_DB_URL=url))
    assert process.stderr is not None
    try:
        async with asyncio.timeout(DEADLINE):
            while (line := json.loads(await process.stderr.readline()))["event"] != "service_started":
                pass
            service = line["url"]
            (folder / ".s.PGSQL.5432").symlink_to(Path(str(servers.postgres._sockets)) / ".s.PGSQL.5432")
            while (line := json.loads(await process.stderr.readline()))["event"] != "database_check_failed":
                assert line["event"] != "database_opened"
        assert "The service's role owns the tables" in line["faults"][0]
        assert (await answer(f"{service}/health/ready"))[0] == 503
        process.terminate()
        await asyncio.wait_for(process.communicate(), DEADLINE)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0


async def test_production_does_not_migrate_itself(tmp_path: Path, production_database: Any) -> None:
    admin = await asyncpg.connect(production_database.admin_url)
    await admin.execute("UPDATE alembic_version SET version_num = '0001'")
    await admin.close()
    code, out, err = await ran(tmp_path, **production(production_database))
    assert (code, out) == (2, "")
    assert "The tables are older than this release: run the migrations." in err


@pytest.fixture
def commands() -> ModuleType:
    return imported()


async def test_the_second_signal_ends_the_process_where_it_stands(
    commands: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    asked, heard = Event(), Event()
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    loop = asyncio.get_running_loop()
    commands.on_signals(asked)
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(asked.wait(), 5)
        assert ends == []
        monkeypatch.setattr(os, "_exit", lambda code: (ends.append(code), heard.set()))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(heard.wait(), 5)
        assert ends == [130]
    finally:
        for number, handler in before:
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
