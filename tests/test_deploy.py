"""What stands in ``deploy/`` starts the service it is written for, and says what is there."""

from __future__ import annotations

import base64
import configparser
import os
import re
import secrets
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from dotenv import dotenv_values
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_rows import names
from voyagent.actors.foundation import command_line
from voyagent.actors.foundation.config import Settings, unknown_variables

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PAGE = (DEPLOY / "README.md").read_text("utf-8")
STEPS = dict(re.findall(r"<!-- step: (\w+) -->\n```sh\n(.*?)```", PAGE, re.DOTALL))
UNITS = sorted(path.name for path in DEPLOY.glob("*.service"))
EXPOSURE = 1.5
"""Of ``systemd-analyze security``, from 0 to 10. What is left is the network, local sockets and ``setpriority``."""

FILLED = {
    "VOYAGENT_AUTH_SECRET": secrets.token_urlsafe(48),
    "VOYAGENT_KMS_KEY": base64.b64encode(os.urandom(32)).decode(),
    "VOYAGENT_SMTP_URL": "smtp://mail.example.com",
    "ANTHROPIC_API_KEY": "a key",
}


def environment(name: str) -> dict[str, str]:
    """The variables of an environment file."""
    return {variable: value or "" for variable, value in dotenv_values(DEPLOY / name).items()}


def unit(name: str) -> list[str]:
    """The lines of a unit."""
    return (DEPLOY / name).read_text().splitlines()


def test_the_environment_holds_all_a_production_start_asks_for_but_the_secrets() -> None:
    given = environment("env")
    assert {name for name, value in given.items() if not value} == set(FILLED)
    settings = Settings.load(environ=given | FILLED)
    assert settings.production
    assert (settings.public_url, settings.throttle) == ("https://agency.example.com", "on")
    assert settings.db_migrate_url is None


def test_migrations_have_an_environment_with_two_roles_and_no_secret() -> None:
    given = environment("migrate.env")
    assert set(given) == {"VOYAGENT_ENV", "VOYAGENT_DB_URL", "VOYAGENT_DB_MIGRATE_URL"}
    assert Settings.load(environ=given, migrating=True).db_url == environment("env")["VOYAGENT_DB_URL"]


def test_a_release_says_its_version_and_commit() -> None:
    given, settings = environment("release.env"), configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert given["VOYAGENT_VERSION"] == settings["metadata"]["version"]
    assert given["VOYAGENT_GIT_SHA"] == "$Format:%h$"
    assert "deploy/release.env export-subst" in (ROOT / ".gitattributes").read_text().splitlines()
    assert f"/root/voyagent-{given['VOYAGENT_VERSION']}.tar.gz" in STEPS["program"]


def test_no_environment_sets_what_nothing_reads() -> None:
    for name in ("env", "migrate.env", "release.env"):
        assert unknown_variables(environment(name)) == []


def test_new_keys_are_made_once_and_suit_the_service(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text((DEPLOY / "env").read_text())
    file.chmod(0o600)
    seen = []
    for _ in range(2):
        subprocess.run(["sh", DEPLOY / "new-keys", file], check=True, capture_output=True, timeout=60)
        seen.append(file.read_text())
    given = {name: value or "" for name, value in dotenv_values(file).items()}
    assert seen[0] == seen[1]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["env"]
    assert Settings.load(environ=given | {"VOYAGENT_SMTP_URL": "smtps://mail.example.com"}).production


def rotate(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``rotate-key`` on an environment file. No key of the file before or after is printed."""
    before = file.read_text()
    done = subprocess.run(
        ["sh", DEPLOY / "rotate-key", *words[:-1], file, words[-1]],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    secret = [value for value in re.split(r"[\s=,:]", before + file.read_text()) if len(value) > 30]
    assert [value for value in secret if value in done.stdout + done.stderr] == []
    return done


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("VOYAGENT_KMS_KEY", lambda settings: settings.sealing_keys.values()),
        ("VOYAGENT_AUTH_SECRET", lambda settings: settings.signing_keys.values()),
        ("VOYAGENT_METRICS_TOKEN", lambda settings: settings.metrics_token),
    ],
)
def test_a_key_is_rotated_in_its_file_and_the_service_takes_each_state(
    tmp_path: Path, name: str, keys: Callable[[Settings], Iterable[object]]
) -> None:
    file = tmp_path / "env"
    file.write_text((DEPLOY / "env").read_text() + "VOYAGENT_METRICS_TOKEN=the-first-scrapers-token")
    file.chmod(0o640)
    subprocess.run(["sh", DEPLOY / "new-keys", file], check=True, capture_output=True, timeout=60)

    def held() -> list[object]:
        given = {variable: value or "" for variable, value in dotenv_values(file).items()}
        return list(keys(Settings.load(environ=given | {"VOYAGENT_SMTP_URL": "smtps://mail.example.com"})))

    refused = rotate(file, "--finish", name)
    assert (refused.returncode, refused.stderr) == (1, f"{name}: has no older key\n")
    states = [held()]
    for words in ((name,), (name,), ("--finish", name), (name,), ("--finish", name)):
        done = rotate(file, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("Restart the service.\n")
        states.append(held())
    assert [len(set(state)) for state in states] == [1, 2, 3, 1, 2, 1]
    assert [states[n][1:] for n in (1, 2, 4)] == [states[n] for n in (0, 1, 3)], "the older ones stay, behind the new"
    assert [states[n] for n in (3, 5)] == [states[n][:1] for n in (2, 4)], "the newest one stays"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


WATCHED = """
import os, stat

def telling(name, call):
    def tell(*args, **more):
        call(*args, **more)
        kind = "" if name == "replace" else " a folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else " a file"
        print(name + kind, file=open(os.environ["WATCHED"], "a"))
    setattr(os, name, tell)

telling("fsync", os.fsync)
telling("replace", os.replace)
"""
"""What the scripts' Python imports at its start, to tell what they do."""


@pytest.mark.parametrize("words", [("new-keys", "env"), ("rotate-key", "env", "VOYAGENT_KMS_KEY")])
def test_a_key_that_is_used_outlives_a_loss_of_power(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The service seals with it at once, and the database is on the disk earlier than a file nobody waits for."""
    (tmp_path / "env").write_text(
        (DEPLOY / "env").read_text().replace("KMS_KEY=", f"KMS_KEY=old:{FILLED['VOYAGENT_KMS_KEY']}")
    )
    (tmp_path / "sitecustomize.py").write_text(WATCHED)
    watched = {"PYTHONPATH": str(tmp_path), "WATCHED": str(tmp_path / "done"), "PATH": os.environ["PATH"]}
    script, *rest = words
    subprocess.run(
        ["sh", DEPLOY / script, *rest], check=True, capture_output=True, timeout=60, cwd=tmp_path, env=watched
    )
    assert (tmp_path / "done").read_text().splitlines() == ["fsync a file", "replace", "fsync a folder"]


def test_a_key_that_cannot_be_rotated_so_is_told_of_and_nothing_is_changed(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("VOYAGENT_KMS_KEY=\n")
    for name, told in (("VOYAGENT_DB_URL", "is no key that is rotated so"), ("VOYAGENT_KMS_KEY", "new-keys makes")):
        done = rotate(file, name)
        assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert file.read_text() == "VOYAGENT_KMS_KEY=\n"


def test_the_unit_gives_a_stop_more_time_than_the_service_takes() -> None:
    lines = unit("voyagent.service")
    seconds = next(line for line in lines if line.startswith("TimeoutStopSec="))
    assert int(seconds.partition("=")[2]) >= 30
    assert {"KillMode=mixed", "Type=notify", "NotifyAccess=main", "WatchdogSec=30"} <= set(lines)
    assert f"RestartPreventExitStatus={command_line.MISCONFIGURED}" in lines


def test_each_unit_runs_as_its_own_user_with_its_own_environment() -> None:
    held = {
        name: {line.partition("=")[2] for line in unit(name) if line.startswith(("User=", "EnvironmentFile=/etc"))}
        for name in UNITS
    }
    assert held == {
        "voyagent.service": {"voyagent", "/etc/voyagent/env"},
        "voyagent-migrate.service": {"voyagent_owner", "/etc/voyagent/migrate.env"},
        "voyagent-backup.service": {"voyagent_backup", "/etc/voyagent/backup.env"},
    }
    roles = (DEPLOY / "roles.sql").read_text()
    for name in ("voyagent", "voyagent_owner", "voyagent_backup"):
        assert f"\nCREATE ROLE {name} LOGIN " in roles
        assert f"--shell /usr/sbin/nologin {name}\n" in STEPS["program"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_units_and_finds_little_exposed(name: str, tmp_path: Path) -> None:
    for each in UNITS:
        (tmp_path / each).write_text(re.sub(r"(?m)^(Exec\w+=\+?)\S+", r"\g<1>/bin/true", (DEPLOY / each).read_text()))
    path = tmp_path / name
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], check=False, capture_output=True, text=True, timeout=60
    )
    ours = [line for line in verified.stderr.splitlines() if str(path) in line or line.startswith(name)]
    assert ours == []
    checked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", path],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", checked.stdout)
    assert found is not None, checked.stdout + checked.stderr
    assert float(found[1]) <= EXPOSURE


def test_the_lock_pins_all_a_production_install_needs_by_hash_and_from_no_place() -> None:
    lock = (DEPLOY / "requirements.lock").read_text()
    pinned = {canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+) \\$", lock)}
    blocks = re.split(r"(?m)^(?=[\w.-]+==)", lock)[1:]
    assert len(blocks) == len(pinned)
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert re.search(r"://|--(?:extra-)?index-url|--find-links", lock) is None
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for line in [*settings["options"]["install_requires"].split(), *build]:
        asked = Requirement(line)
        assert asked.specifier.contains(pinned[canonicalize_name(asked.name)], prereleases=True), line


@pytest.mark.parametrize("name", [*STEPS, "install", "new-keys", "rotate-key", "backup", "restore", "voyagent", "try"])
def test_what_is_run_is_a_shells(name: str) -> None:
    text = STEPS[name] if name in STEPS else (DEPLOY / name).read_text()
    checked = subprocess.run(["bash", "-n"], input=text, check=False, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_page_names_files_and_tests_that_are_there_and_each_exit_status() -> None:
    mentioned = set(re.findall(r"\bdeploy/([\w.-]+\w)", PAGE))
    assert mentioned
    assert [name for name in mentioned if not (DEPLOY / name).exists()] == []
    assert [path.name for path in DEPLOY.iterdir() if path.name not in f"README.md {PAGE}"] == []
    shown = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(shown) > 5
    assert shown <= set(names())
    statuses = set(re.findall(r"(?m)^\| (\d+) \|", PAGE))
    assert statuses == {str(value) for name, value in vars(command_line).items() if isinstance(value, int)}


def test_the_proxy_serves_bare_paths_and_api_and_keeps_metrics_inside() -> None:
    edge = (DEPLOY / "Caddyfile").read_text()
    assert edge.count("reverse_proxy 127.0.0.1:8010") == 2
    assert "handle_path /api/* {" in edge
    assert re.search(r"handle /internal/\* \{\s+respond", edge)
    assert re.search(r"handle /api/internal/\* \{\s+respond", edge)
