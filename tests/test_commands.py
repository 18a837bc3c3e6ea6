"""The commands of ``run.py`` beside serving: migrations, the doctor, tokens, the demo, the audit chains."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg

from tests.operator_calls import DEADLINE, ROOT, development, production, ran, serving, started


async def test_the_openapi_document_needs_no_configuration(tmp_path: Path) -> None:
    process = await started(tmp_path, "openapi", VOYAGENT_VERSION="1.2.3")
    out, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 0
    assert json.loads(out)["info"]["version"] == "1.2.3"


async def test_migrate_may_be_run_twice(tmp_path: Path, empty_database: Any) -> None:
    for _ in range(2):
        code, out, err = await ran(tmp_path, "migrate", **development(empty_database.url))
        assert (code, out) == (0, "The database schema is up to date.\n"), err
    code, findings, _ = await ran(tmp_path, "doctor", **development(empty_database.url))
    assert code == 0
    assert "ok  database" in findings


async def test_migrate_says_whether_one_is_due_and_waits_for_a_database(
    tmp_path: Path, empty_database: Any, database: Any, servers: Any
) -> None:
    environ = development(empty_database.url)
    assert (await ran(tmp_path, "migrate", "--check", **environ))[:2] == (3, "A migration is due.\n")
    assert (await ran(tmp_path, "migrate", "--check", **development(database.url)))[0] == 0
    gone = {"VOYAGENT_DB_MIGRATE_URL": f"postgresql://voyagent@/x?host={tmp_path}"}
    code, out, err = await ran(tmp_path, "migrate", **environ | gone)
    assert (code, out, err) == (
        75,
        "",
        "Nothing listens where the URL points: is Postgres running, and is the port right?\n",
    )
    (tmp_path / "later").mkdir()
    late = {"VOYAGENT_DB_MIGRATE_URL": f"postgresql://voyagent@/{empty_database.name}?host={tmp_path}/later"}
    process = await started(tmp_path, "migrate", "--wait", "30", **environ | late)
    (tmp_path / "later/.s.PGSQL.5432").symlink_to(Path(str(servers.postgres._sockets)) / ".s.PGSQL.5432")
    out, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert (process.returncode, out) == (0, b"The database schema is up to date.\n")


async def test_production_migrates_with_two_urls_and_no_secret_and_serves_without_the_owners(
    tmp_path: Path, empty_database: Any, production_database: Any, database: Any
) -> None:
    """S9: the owner's URL is refused beside the service, and so is a service whose role owns its tables."""
    name = f"/{empty_database.name}?"
    urls = {
        "VOYAGENT_DB_URL": production_database.url.replace(f"/{production_database.name}?", name),
        "VOYAGENT_DB_MIGRATE_URL": empty_database.url,
    }
    assert (await ran(tmp_path, "migrate", **urls))[:2] == (0, "The database schema is up to date.\n")
    code, _, err = await ran(tmp_path, **production(production_database, VOYAGENT_DB_MIGRATE_URL=database.url))
    assert (code, err.partition(": ")[0], len(err.splitlines())) == (2, "VOYAGENT_DB_MIGRATE_URL", 1)
    code, out, err = await ran(tmp_path, **production(database))
    assert (code, out) == (2, "")
    assert "The service's role owns the tables" in err
    code, findings, _ = await ran(tmp_path, "doctor", **production(database))
    assert (code, "NO  database       The service's role owns" in findings) == (3, True)
    code, findings, _ = await ran(tmp_path, "doctor", **production(production_database))
    assert (code, "ok  database" in findings) == (0, True), findings


async def test_doctor_fails_where_the_service_could_not_serve(tmp_path: Path, empty_database: Any) -> None:
    code, findings, _ = await ran(tmp_path, "doctor", **development(empty_database.url), VOYAGENT_AUTH_SERCET="x")
    assert code == 3
    assert "NO  database       The tables are missing" in findings
    assert "unknown settings VOYAGENT_AUTH_SERCET" in findings


async def test_an_agencys_token_is_set_from_a_file_listed_without_it_and_removed(tmp_path: Path, database: Any) -> None:
    environ = development(database.url)
    assert (await ran(tmp_path, "seed", "--people-only", **environ))[0] == 0
    agency = (await ran(tmp_path, "audit", "verify", **environ))[1].split()[0]
    (tmp_path / "token").write_text("duffel_test_s3cret\n")
    said = []
    for words in (
        ("set", agency, "duffel", "--file", "token"),
        ("set", agency, "duffel", "--file", "token"),
        ("list", agency),
        ("remove", agency, "duffel"),
        ("list", agency),
        ("set", "nobody", "duffel", "--file", "token"),
    ):
        code, out, err = await ran(tmp_path, "supplier", *words, **environ)
        assert "s3cret" not in out + err
        assert "Traceback" not in err
        said.append((code, out.partition(" 20")[0].strip()))
    assert said == [
        (0, "The token for duffel is stored."),
        (0, "The token for duffel is replaced."),
        (0, "duffel"),
        (0, "The token for duffel is removed."),
        (0, ""),
        (2, ""),
    ]


async def test_a_second_seed_says_so_and_changes_nothing(tmp_path: Path, database: Any) -> None:
    environ = development(database.url)
    code, first, _ = await ran(tmp_path, "seed", "--people-only", **environ)
    assert (code, len(first.splitlines())) == (0, 6)
    again = await ran(tmp_path, "seed", **environ)
    assert again[:2] == (0, "The demo agency exists already. Nothing was changed.\n")


async def test_production_is_seeded_only_if_it_is_asked_for_by_name(tmp_path: Path, production_database: Any) -> None:
    environ = production(production_database)
    code, out, err = await ran(tmp_path, "seed", "--people-only", **environ)
    assert (code, out) == (2, "")
    assert err.startswith("seed: refused in production")
    assert (await ran(tmp_path, "seed", "--people-only", "--in-production", **environ))[0] == 0


async def test_audit_verify_names_the_first_broken_row(tmp_path: Path, database: Any) -> None:
    environ = development(database.url)
    assert (await ran(tmp_path, "seed", "--people-only", **environ))[0] == 0
    db = await asyncpg.connect(database.admin_url)
    await db.execute("SET session_replication_role = replica; UPDATE audit_events SET kind = 'nothing.happened'")
    await db.close()
    code, out, _ = await ran(tmp_path, "audit", "verify", **environ)
    assert code == 3
    assert "BROKEN at row 1  Demo Travels" in out


async def test_b40_audit_verify_shows_a_chain_cut_with_its_head_by_the_signed_one(
    tmp_path: Path, database: Any
) -> None:
    environ = development(database.url)
    assert (await ran(tmp_path, "seed", "--people-only", **environ))[0] == 0
    async with serving(tmp_path, **environ):
        pass
    signed = tmp_path / "audit" / "heads.jsonl"
    head = json.loads(signed.read_text())
    assert (head["seq"] >= 1, signed.stat().st_mode & 0o777) == (True, 0o600)
    db = await asyncpg.connect(database.admin_url)
    await db.execute("SET session_replication_role = replica; DELETE FROM audit_events; DELETE FROM audit_heads")
    await db.close()
    code, out, _ = await ran(tmp_path, "audit", "verify", **environ)
    assert (code, "BROKEN at row 1  Demo Travels" in out) == (3, True)
    async with serving(tmp_path, **environ):
        pass
    assert json.loads(signed.read_text())["seq"] == head["seq"]
    signed.write_text(json.dumps({**head, "seq": head["seq"] + 1}) + "\n")
    code, _, err = await ran(tmp_path, "audit", "verify", **environ)
    assert (code, err.strip()) == (3, f"{signed}: line 1 has another signature")
    signed.unlink()
    code, out, _ = await ran(tmp_path, "audit", "verify", **environ)
    assert (code, "unbroken  Demo Travels" in out) == (0, True)


def test_an_interrupted_command_says_so_on_one_line(tmp_path: Path) -> None:
    script = (
        "import asyncio, runpy, signal, sys; sys.argv = ['run.py', 'doctor', '--embedded'];"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # a shell's job in the background inherits SIG_IGN
        "asyncio.run = lambda command: (command.close(), signal.raise_signal(signal.SIGINT));"
        "runpy.run_path('run.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "VOYAGENT_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")
