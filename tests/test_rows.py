"""Every row of the identity checklist has a test that carries its number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
ROWS = range(1, 62)
PENDING: set[int] = set()
"""Rows whose part of the service does not exist yet: a row leaves when it gets its test."""


def names() -> Iterator[str]:
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield node.name


def rows(name: str) -> set[int]:
    """The rows a test is about, by the numbers its name begins with."""
    begins = re.match(r"test_((?:[rb]\d+[a-z]?_)+)", name)
    return set() if begins is None else {int(number) for number in re.findall(r"r(\d+)", begins[1])}


def test_every_row_has_a_test_of_its_number() -> None:
    shown = {row for name in names() for row in rows(name)}
    assert shown <= set(ROWS)
    assert set(ROWS) - shown == PENDING - shown


def test_the_numbers_of_a_name_are_read_from_its_beginning() -> None:
    assert rows("test_r22_r49_b23_nothing_r7_crashes") == {22, 49}
    assert rows("test_rows") == set()
