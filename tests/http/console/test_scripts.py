"""What the console's files must not do, read in their text: make markup, reach out, or hide what they load."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import PurePosixPath

import pytest

from tests.http.console.tables import SCRIPTS
from voyagent.http.console.console import FIRST, FOLDER, needed

MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML"
    r"|\beval\(|new Function|setTimeout\(\s*[\"'`]|style=|\.cssText|setAttribute\(\s*[\"']style"
)
ELSEWHERE = re.compile(r"https?://[^\s\"'`)]+")
NAMESPACE = "http://www.w3.org/2000/svg"
GUARD = "dom.js"
"""Names what it refuses."""


@pytest.mark.parametrize("name", sorted(SCRIPTS.keys() - {GUARD}))
def test_no_script_makes_markup_from_text(name: str) -> None:
    assert MARKUP.findall(SCRIPTS[name]) == []


def test_elements_refuse_attributes_that_run_or_style() -> None:
    assert set(MARKUP.findall(SCRIPTS[GUARD])) == {"innerHTML", "outerHTML", "srcdoc"}
    assert "FORBIDDEN.has(name)" in SCRIPTS[GUARD]


def test_no_file_names_another_host() -> None:
    files = [path for path in FOLDER.rglob("*") if path.suffix in {".js", ".css", ".html", ".svg"}]
    found = {link for path in files for link in ELSEWHERE.findall(path.read_text("utf-8"))}
    assert found <= {NAMESPACE, 'http://www.w3.org/2000/svg"'}


def test_the_style_sheets_load_nothing() -> None:
    for name in ("console.css", "print.css"):
        assert re.findall(r"@import|url\(", (FOLDER / name).read_text("utf-8")) == []


def imported(name: str) -> list[str]:
    """The modules a script needs before it runs."""
    found = re.findall(r'^(?:import|export) [^;]*?from "([^"]+)"|^import "([^"]+)"', SCRIPTS[name], re.MULTILINE)
    return [_resolved(name, first or second) for first, second in found]


def _resolved(name: str, link: str) -> str:
    parts: list[str] = [*PurePosixPath(name).parent.parts]
    for part in link.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def test_modules_exist_and_form_no_cycle() -> None:
    graph = {name: imported(name) for name in SCRIPTS}
    assert {link for links in graph.values() for link in links} - SCRIPTS.keys() == set()
    assert len([*TopologicalSorter(graph).static_order()]) == len(SCRIPTS)


def test_the_document_names_all_that_its_first_view_needs() -> None:
    reached, left = set[str](), [*FIRST]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += imported(name)
    assert {*needed({name: text.encode() for name, text in SCRIPTS.items()}, FIRST)} == reached
    assert {"dom.js", "api.js", "texts/en.js", "views/conversations.js"} < reached
    assert "views/audit.js" not in reached


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_checked_for_its_types(name: str) -> None:
    assert SCRIPTS[name].startswith("// @ts-check\n")
    assert "@ts-ignore" not in SCRIPTS[name]
