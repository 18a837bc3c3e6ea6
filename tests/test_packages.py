"""The layout holds: no folder of ours hides the standard library, and a wheel holds everything."""

from __future__ import annotations

import configparser
import fnmatch
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("actors", "http", "storage")
FOLDERS = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def listed(section: str) -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return dict(parser[section])


def dotted(folder: Path) -> str:
    return ".".join(("voyagent", *folder.relative_to(ROOT).parts))


def test_no_folder_has_an_init_file() -> None:
    assert [path for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("__init__.py")] == []


def test_every_folder_with_code_is_in_the_wheel() -> None:
    assert sorted(map(dotted, FOLDERS)) == sorted(listed("options")["packages"].split())


def test_every_data_file_is_in_the_wheel() -> None:
    patterns = listed("options.package_data")
    data = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    ]
    missing = [
        path
        for path in data
        if not any(fnmatch.fnmatch(path.name, glob) for glob in patterns.get(dotted(path.parent), "").split())
    ]
    assert missing == []


@pytest.mark.parametrize("folder", [ROOT, ROOT / "tests", Path("/")], ids=["root", "tests", "elsewhere"])
def test_http_is_still_the_standard_library(folder: Path) -> None:
    script = "import http.client, http, voyagent.http, sys; sys.exit(not http.__file__.startswith(sys.base_prefix))"
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=folder, check=True)


def test_the_top_level_holds_no_other_source_folder() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert {Path(line).parts[0] for line in tracked.splitlines()} <= {*PACKAGES, "tests", "run.py"}
