"""A module leans only on the layers above it, and each outside library stays in its own."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("actors", "http", "storage")

ROWS = {
    "actors/domain/*": 1,
    "actors/foundation/*": 2,
    "actors/runtime/*": 2,
    "storage/*": 3,
    "actors/agent/*": 4,
    "actors/suppliers/*": 4,
    "actors/accounts/hash_queue.py": 4,
    "actors/accounts/passwords.py": 4,
    "actors/accounts/tokens.py": 4,
    "actors/accounts/totp.py": 4,
    "actors/accounts/outgoing.py": 4,
    "actors/accounts/emails.py": 4,
    "actors/*": 5,
    "http/*": 6,
    "run.py": 7,
}
"""Path -> row. The longest pattern that fits wins, so an exception is named beside its rule."""

ANYWHERE_BUT: dict[str, tuple[str, ...]] = {
    "aiohttp.web": ("http/*", "actors/agent/rehearsed/*", "run.py"),
    "aiohttp_sse": ("http/*",),
    "alembic": ("storage/*",),
    "anthropic": ("actors/agent/*",),
    "asyncpg": ("storage/*",),
    "jinja2": ("http/*",),
    "pykka": ("actors/*",),
    "redis": ("storage/*",),
    "sqlalchemy": ("storage/*",),
}
"""Library -> where alone it may be imported."""

NO_IO = (
    "aiohttp",
    "asyncio",
    "http",
    "os",
    "prometheus_client",
    "socket",
    "structlog",
    "subprocess",
)
"""What rules without I/O (row 1) have no use for."""


def row(path: str) -> int:
    """Where a module stands."""
    return max(((len(pattern), number) for pattern, number in ROWS.items() if fnmatch.fnmatch(path, pattern)))[1]


def imports(root: Path, path: Path) -> Iterator[str]:
    """Every imported module by its dotted name, ours as ``voyagent.…``, also where only types need it."""
    tree = ast.parse(path.read_text())
    package = ["voyagent", *path.relative_to(root).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*parts, *(node.module or "").split(".")]).strip(".")
            yield from (f"{source}.{alias.name}" for alias in node.names)


def ours(root: Path, name: str) -> str | None:
    """The file of a ``voyagent.…`` name, relative to the root; None for other people's."""
    parts = name.split(".")
    for end in (len(parts), len(parts) - 1):
        file = Path(*parts[1:end]).with_suffix(".py") if end > 1 else None
        if parts[0] == "voyagent" and file is not None and (root / file).is_file():
            return file.as_posix()
    return None


def within(name: str, library: str) -> bool:
    """Whether the name is the library or something in it."""
    return name == library or name.startswith(f"{library}.")


def violations(root: Path) -> list[str]:
    """Everything a module imports that it may not, a line each."""
    found: list[str] = []
    leans_on: dict[str, set[str]] = {}
    for path in sorted([*(file for package in PACKAGES for file in (root / package).rglob("*.py")), root / "run.py"]):
        here = path.relative_to(root).as_posix()
        for name in imports(root, path):
            target = ours(root, name)
            if target is not None and row(target) > row(here):
                found.append(f"{here} (row {row(here)}) imports upwards {target} (row {row(target)})")
            if target is not None and target != here:
                leans_on.setdefault(here, set()).add(target)
            if row(here) == 1 and any(within(name, library) for library in NO_IO):
                found.append(f"{here} is a rule without I/O and imports {name}")
            found += [
                f"{here} imports {name}, which belongs in {' or '.join(places)}"
                for library, places in ANYWHERE_BUT.items()
                if within(name, library) and not any(fnmatch.fnmatch(here, place) for place in places)
            ]
    try:
        TopologicalSorter(leans_on).prepare()
    except CycleError as cycle:
        found.append("cycle: " + " -> ".join(reversed(cycle.args[1])))
    return found


def test_every_import_points_up_the_rows_and_every_library_stays_in_its_own() -> None:
    assert violations(ROOT) == []


def test_inside_the_packages_imports_are_relative() -> None:
    """But for migrations, which Alembic loads by their path, as parts of nothing."""
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and not node.level and within(node.module or "", "voyagent"))
        or (isinstance(node, ast.Import) and any(within(alias.name, "voyagent") for alias in node.names))
    ]
    assert absolute == []


@pytest.mark.parametrize(
    ("path", "line", "complaint"),
    [
        ("storage/books.py", "from ..actors import tenant", "imports upwards actors/tenant.py"),
        ("storage/books.py", "from ..actors.tenant import Load", "imports upwards actors/tenant.py"),
        ("actors/domain/money.py", "from ...storage import tables", "imports upwards storage/tables.py"),
        ("actors/tenant.py", "def late():\n    from ..http import app", "imports upwards http/app.py"),
        ("actors/accounts/tokens.py", "from . import actor", "imports upwards actors/accounts/actor.py"),
        ("actors/tenant.py", "import asyncpg.pool", "imports asyncpg.pool, which belongs in storage/*"),
        ("actors/agent/run.py", "from aiohttp import web", "imports aiohttp.web, which belongs in http/*"),
        ("http/app.py", "import pykka", "imports pykka, which belongs in actors/*"),
        ("actors/tenant.py", "from anthropic import AsyncAnthropic", "belongs in actors/agent/*"),
        ("actors/domain/money.py", "import asyncio", "is a rule without I/O and imports asyncio"),
        ("actors/tenant.py", "from .conversation import session", "cycle: "),
        ("actors/tenant.py", "if TYPE_CHECKING:\n    from .conversation import session", "cycle: "),
    ],
)
def test_the_layer_test_catches(tmp_path: Path, path: str, line: str, complaint: str) -> None:
    innocent = {
        "actors/domain/money.py": "from decimal import Decimal",
        "actors/agent/run.py": "import anthropic",
        "actors/agent/rehearsed/server.py": "from aiohttp import web",
        "actors/accounts/tokens.py": "",
        "actors/accounts/actor.py": "from . import tokens",
        "actors/tenant.py": "from aiohttp import ClientSession\nfrom ..storage import books",
        "actors/conversation/session.py": "from .. import tenant\nfrom ..agent import run",
        "storage/tables.py": "import sqlalchemy",
        "storage/books.py": "from . import tables\nfrom ..actors.domain.money import Money",
        "http/app.py": "from aiohttp import web\nfrom ..actors import tenant",
        "run.py": "from voyagent.http import app",
    }
    for name, text in innocent.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert violations(tmp_path) == []

    (tmp_path / path).write_text(f"{innocent[path]}\n{line}\n")
    assert [found for found in violations(tmp_path) if complaint in found] != []
