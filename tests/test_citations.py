"""Whatever code, tests and pages cite of the contract is there, and what the contract names exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_rows import carried, names
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.foundation import metrics
from voyagent.actors.foundation.config import Settings, variable
from voyagent.http.openapi import document
from voyagent.http.routes import ROUTES

HOME = Path(__file__).parents[1]
PAGES = {name: (HOME / f"docs/contract/{name}.md").read_text("utf-8") for name in ("business", "identity")}
FOLDERS = ("actors", "http", "storage", "tests", "deploy", "docs")
KINDS = {".py", ".md", ".sql", ".toml", ".js", ".cfg"}

NUMBER = r"\d+(?:\.\d+)*"
CITED = re.compile(
    rf"\b(business|identity),? (?:section )?({NUMBER}(?:(?:-|, | to | and |, and ){NUMBER})*)", re.IGNORECASE
)
OWN = re.compile(rf"\bsections? ({NUMBER}(?:(?:, | to | and ){NUMBER})*)")
ROW = re.compile(r"\b([RB]-\d+)\b")
ELSEWHERE = re.compile(r"\b(?:DESIGN|FINDINGS|PRACTICE|RECIPES|REDESIGN|RULINGS|STYLE)\b(?:\.md| \d)")


def files() -> Iterator[Path]:
    yield from (HOME / name for name in ("run.py", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", ".env.example"))
    for folder in FOLDERS:
        yield from (path for path in sorted((HOME / folder).rglob("*")) if path.suffix in KINDS)


def sections(page: str) -> set[str]:
    return set(re.findall(rf"^#{{2,3}} ({NUMBER})\.? ", page, re.MULTILINE))


def checklist(page: str) -> set[str]:
    return set(re.findall(r"^\| ([RB]-\d+) \|", page, re.MULTILINE))


def citations(text: str) -> Iterator[tuple[str, str]]:
    """Page and section of each citation; a line that breaks within one is no obstacle."""
    joined = re.sub(r"\s+", " ", text)
    for page, numbers in CITED.findall(joined):
        yield from ((page.lower(), number) for number in re.findall(NUMBER, numbers))


def test_every_section_that_is_cited_exists() -> None:
    known = {name: sections(page) for name, page in PAGES.items()}
    cited = [(path, *each) for path in files() for each in citations(path.read_text("utf-8"))]
    assert len(cited) > len(PAGES)
    assert [each for each in cited if each[2] not in known[each[1]]] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_section_a_page_names_of_its_own_exists(name: str) -> None:
    joined = re.sub(r"\s+", " ", PAGES[name])
    named = {number for numbers in OWN.findall(joined) for number in re.findall(NUMBER, numbers)}
    assert named - sections(PAGES[name]) == set()


def test_every_row_that_is_cited_exists() -> None:
    known = checklist(PAGES["business"]) | checklist(PAGES["identity"])
    cited = {row for path in files() for row in ROW.findall(path.read_text("utf-8"))}
    assert cited - known == set()
    shown = {row for name in names() for row in carried(name, "rb")}
    assert {f"{row[0].upper()}-{row[1:]}" for row in shown} - known == set()


def test_no_page_outside_the_repository_is_cited() -> None:
    own = Path(__file__)
    assert [path for path in files() if path != own and ELSEWHERE.search(path.read_text("utf-8"))] == []


def test_citations_are_found_in_all_their_forms() -> None:
    text = "(business 3.5 and 3.6; identity 9.12 to\n9.14) Business 4.3, identity, section 8 (business 3-5)"
    found = list(citations(text))
    assert found[:4] == [("business", "3.5"), ("business", "3.6"), ("identity", "9.12"), ("identity", "9.14")]
    assert found[4:] == [("business", "4.3"), ("identity", "8"), ("business", "3"), ("business", "5")]


def test_every_operation_is_on_a_page() -> None:
    text = re.sub(r"\{[^}]*\}", "{}", "".join(PAGES.values()))
    served = [f"{route.method} {re.sub(r'{[^}]*}', '{}', route.path)}" for route in ROUTES if not route.hidden]
    assert [operation for operation in served if operation not in text] == []


def test_every_code_a_route_declares_is_on_a_page() -> None:
    text = "".join(PAGES.values())
    codes = {
        code
        for route in ROUTES
        for found in (route.operation.refusals, route.guard.refusals)
        for c in found.values()
        for code in c
    }
    assert {code for code in codes if f"`{code}`" not in text} == set()


def test_every_setting_a_page_names_is_one() -> None:
    settings = {variable(field) for field in Settings.model_fields}
    named = {name for page in PAGES.values() for name in re.findall(r"\bVOYAGENT_[A-Z0-9_]*[A-Z0-9]\b(?!_)", page)}
    assert named - settings == set()


def test_every_series_of_the_metrics_is_in_the_table_and_no_other() -> None:
    listed = set(re.findall(r"`(voyagent_[a-z_]+)`", PAGES["identity"]))
    declared = {
        each.name + ("_total" if each.type == "counter" else "")
        for each in metrics.REGISTRY.collect()
        if each.name.startswith("voyagent_")
    }
    assert listed == declared


def test_every_parameter_and_field_of_the_document_is_on_a_page() -> None:
    told, text = document(ROUTES, "1"), "".join(PAGES.values())
    operations = [operation for path in told["paths"].values() for operation in path.values()]
    wanted = {each["name"] for operation in operations for each in operation["parameters"] if each["in"] == "query"}
    for schema in told["components"]["schemas"].values():
        wanted |= schema.get("properties", {}).keys()
    assert {name for name in wanted if re.search(rf"\b{name}\b", text) is None} == set()


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_tools_fields_and_reasons_are_in_its_row(name: str) -> None:
    rows = PAGES["business"].partition("### 10.2")[2].splitlines()
    [row] = [row for row in rows if row.startswith(f"| {name} |")]
    tool = CATALOGUE[name]
    reasons = tool.reasons - {"changed_since_approval"}
    if "reasons as hold" in row:
        reasons -= CATALOGUE["hold_flight"].reasons
    fields = {*tool.Input.model_fields, *tool.Output.model_fields}
    assert {word for word in fields | reasons if re.search(rf"\b{word}\b", row) is None} == set()


def test_a_tool_is_not_served_yet_exactly_if_it_is_not_built() -> None:
    rows = PAGES["business"].partition("### 10.2")[2].partition("### 10.3")[0]
    unserved = set(re.findall(r"^\| ([a-z_]+) \(not served yet\) \|", rows, re.MULTILINE))
    listed = set(re.findall(r"^\| ([a-z_]+) (?:\(not served yet\) )?\|", rows, re.MULTILINE))
    assert listed - unserved == {*CATALOGUE, "handoff", "clarify"}
