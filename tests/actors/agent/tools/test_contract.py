"""The catalogue is the contract's (business 10.1, 10.2): desks, effects, gates, approvers, inputs, outputs, reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from voyagent.actors.agent.desks import ORCHESTRATOR_TOOLS, SPECIALISTS
from voyagent.actors.agent.tools.catalogue import CATALOGUE, for_desk
from voyagent.actors.agent.tools.supplier_tool import GATED
from voyagent.actors.agent.tools.tool import ALL_ACCOUNTING, ALL_TRAVEL, Tool

PAGE = (Path(__file__).parents[4] / "docs/contract/business.md").read_text("utf-8")
NOT_SERVED = re.compile(r"not served yet:?\s*(?P<names>[a-z_, ]+)|(?P<one>[a-z_]+) \(not served yet\)")
TOOLS = list(CATALOGUE.values())


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = PAGE.split(f"### {heading}", 1)[1].split("\n### ", 1)[0]
    section = re.sub(r" ?\(\*additive\*\)|\*additive\*:? ?", "", section)
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def unserved(cell: str) -> set[str]:
    """The tools a cell names as not served yet."""
    return {
        name for match in NOT_SERVED.finditer(cell) for name in re.findall(r"[a-z_]+", match["names"] or match["one"])
    }


LISTED = rows("10.1 Catalogue")
DESCRIBED = {cells[0].split()[0]: cells for cells in rows("10.2 Inputs and outputs")}
PENDING = set().union(*(unserved(cells[0]) for cells in (*LISTED, *DESCRIBED.values())))
GATES = {"travel": ALL_TRAVEL, "accounting": ALL_ACCOUNTING}


def listed() -> dict[str, dict[str, Any]]:
    """Each tool of the catalogue's table: its desks, effect, and approvers."""
    known: dict[str, dict[str, Any]] = {}
    for names, desk, effect, gate, approvers in LISTED:
        effects: list[str] = []
        for name, said in reversed(re.findall(r"([a-z_]+)(?: \((reversible|irreversible)\))?", names)):
            if name in PENDING or name in ("not", "served", "yet"):
                continue
            effects.append(said or (effects[-1] if effects and effect == "yes" else effect))
            kind = effects[-1] if effects[-1] in ("reversible", "irreversible") else "read"
            row = {"effect": kind, "approvers": GATES.get(approvers, frozenset())}
            assert (gate == "yes") == bool(row["approvers"]), name
            known.setdefault(name, {"desks": set(), **row})["desks"].add(desk)
    return known


def test_the_catalogue_has_the_tools_of_the_contract_and_no_others() -> None:
    orchestrator = {str(tool["name"]) for tool in ORCHESTRATOR_TOOLS}
    assert set(listed()) == {*CATALOGUE, *orchestrator}
    assert set(DESCRIBED) - PENDING == set(listed())
    offered = {tool.name for desk in SPECIALISTS for tool in for_desk(desk.name)}
    assert offered == set(CATALOGUE), "what is not served yet is not offered"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_b5_a_tool_has_the_desks_effect_and_approvers_of_the_contract(tool: Tool[Any]) -> None:
    expected = listed()[tool.name]
    assert (set(tool.desks), tool.effect, tool.approvers) == (
        expected["desks"],
        expected["effect"],
        expected["approvers"],
    )
    assert isinstance(tool, GATED) == bool(expected["approvers"])


def required(schema: Any) -> Iterator[str]:
    """The names of all required fields, of inner objects, too."""
    match schema:
        case dict():
            yield from schema.get("required", ())
            for value in schema.values():
                yield from required(value)
        case list():
            for value in schema:
                yield from required(value)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_takes_gives_and_refuses_what_the_contract_says(tool: Tool[Any]) -> None:
    _, taken, given = DESCRIBED[tool.name]
    if tool.name == "list_bills":
        taken += DESCRIBED["list_invoices"][1]
    if tool.name == "book_flight":
        given += DESCRIBED["hold_flight"][2]
    schema = tool.schema()["input_schema"]
    starred = set(re.findall(r"\b([a-z_]+)\*", re.sub(r"\([^()]*\)", "", taken)))
    assert set(schema.get("required", ())) <= starred <= set(required(schema))
    assert [name for name in schema["properties"] if not re.search(rf"\b{name}\b", taken)] == []
    assert [name for name in tool.Output.model_fields if not re.search(rf"\b{name}\b", given)] == []
    reasons = tool.reasons - {"changed_since_approval"}
    assert [name for name in sorted(reasons) if not re.search(rf"\b{name}\b", given)] == []
