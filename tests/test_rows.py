"""Every row of the identity checklist has a test that carries its number, and every fault of the page names tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
FAULTS = TESTS.parent / "docs/faults.md"
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


def faults(page: str) -> list[tuple[str, str, list[str]]]:
    """Each line of the page's tables: the fault, what prevents it, and the tests."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if not line.startswith("| fault")
    ]
    return [(fault, prevention, re.findall(r"`(\w+)`", tests)) for fault, prevention, tests in cells]


def test_every_row_has_a_test_of_its_number() -> None:
    shown = {row for name in names() for row in rows(name)}
    assert shown <= set(ROWS)
    assert set(ROWS) - shown == PENDING - shown


def test_the_numbers_of_a_name_are_read_from_its_beginning() -> None:
    assert rows("test_r22_r49_b23_nothing_r7_crashes") == {22, 49}
    assert rows("test_rows") == set()


def test_every_fault_names_what_prevents_it_and_tests_that_exist() -> None:
    known, listed = set(names()), faults(FAULTS.read_text("utf-8"))
    assert len(listed) > 50
    assert len({fault for fault, _, _ in listed}) == len(listed)
    assert [fault for fault, prevention, tests in listed if not (fault and prevention and tests)] == []
    assert {test for _, _, tests in listed for test in tests} - known == set()
