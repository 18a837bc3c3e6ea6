"""Rows of the checklists and cases of the trade have tests that carry their numbers; faults and cases name tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
FAULTS, CASES = (TESTS.parent / f"docs/{name}.md" for name in ("faults", "cases"))
ROWS = {f"{page}{number}" for page in "rb" for number in range(1, 62)}
NOT_SERVED = "not served yet"


def names() -> Iterator[str]:
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield node.name


def carried(name: str, kinds: str) -> set[str]:
    """The rows (``r``, ``b``) and cases (``t``) a test is about, by the numbers its name begins with."""
    begins = re.match(r"test_((?:[rbt]\d+[a-z]?_)+)", name)
    return set() if begins is None else set(re.findall(rf"[{kinds}]\d+", begins[1]))


def table(page: str, head: str) -> list[tuple[str, str, str]]:
    """The cells of each line of the page's tables."""
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(f"| {head}")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]
    return [(first, second, third) for first, second, third in cells]


def named(tests: str) -> list[str]:
    return re.findall(r"`(\w+)`", tests)


def faults(page: str) -> list[tuple[str, str, list[str]]]:
    """Each fault, what prevents it, and the tests."""
    return [(fault, prevention, named(tests)) for fault, prevention, tests in table(page, "fault")]


def test_every_row_has_a_test_of_its_number() -> None:
    shown = {row for name in names() for row in carried(name, "rb")}
    assert shown <= ROWS
    assert ROWS - shown == set()


def test_the_numbers_of_a_name_are_read_from_its_beginning() -> None:
    assert carried("test_t9_r22_r49_b23_nothing_r7_crashes", "rb") == {"r22", "r49", "b23"}
    assert carried("test_b36_t17_t_9", "t") == {"t17"}
    assert carried("test_rows", "rbt") == set()


def test_every_case_that_is_served_has_tests_that_exist_one_of_them_of_its_number() -> None:
    known, cases = set(names()), table(CASES.read_text("utf-8"), "case")
    shown = {case for name in known for case in carried(name, "t")}
    served = {case.split()[0].lower(): named(tests) for case, _, tests in cases if tests != NOT_SERVED}
    assert len({case.split()[0] for case, _, _ in cases}) == len(cases)
    assert [case for case, right, _ in cases if not (re.fullmatch(r"T\d+( ★)?", case) and right)] == []
    assert [case for case, _, tests in cases if "★" in case and not named(tests)] == []
    assert shown == set(served)
    assert [case for case, tests in served.items() if not any(case in carried(name, "t") for name in tests)] == []
    assert {test for tests in served.values() for test in tests} - known == set()


def test_every_fault_names_what_prevents_it_and_tests_that_exist() -> None:
    known, listed = set(names()), faults(FAULTS.read_text("utf-8"))
    assert len(listed) > 50
    assert len({fault for fault, _, _ in listed}) == len(listed)
    assert [fault for fault, prevention, tests in listed if not (fault and prevention and tests)] == []
    assert {test for _, _, tests in listed for test in tests} - known == set()
