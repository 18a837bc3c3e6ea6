"""The kinds of audit events in the contract are those that are written, no more and no fewer."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.metric_values import HOME, audit_kinds
from voyagent.actors.agent.tools.catalogue import CATALOGUE

FOLDERS = ("actors", "storage")
CONTRACT = audit_kinds()
FILES = {"csv", "py", "txt"}
"""Ends of names of files."""
SUBJECTS = {kind.partition(".")[0] for kind in CONTRACT}


def texts(path: Path) -> tuple[set[str], set[str]]:
    """The texts of a module, and the beginnings of those that are put together."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    constants = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    formatted = [node.values[0] for node in nodes if isinstance(node, ast.JoinedStr) and node.values]
    return constants, {str(first.value) for first in formatted if isinstance(first, ast.Constant)}


def is_kind(text: str) -> bool:
    subject, dot, act = text.partition(".")
    return bool(dot) and subject in SUBJECTS and act.isidentifier() and act not in FILES


def written() -> set[str]:
    """Every kind in the code: as it is, or as ``subject.`` and an act that the same package names."""
    found: set[str] = set()
    named: set[str] = set()
    beginnings: set[str] = set()
    for folder in FOLDERS:
        for path in (HOME / folder).rglob("*.py"):
            constants, begun = texts(path)
            found |= {text for text in constants if is_kind(text)}
            named |= constants
            beginnings |= {text for text in begun if text.endswith(".") and text[:-1] in SUBJECTS}
    apart = {kind: kind.partition(".") for kind in CONTRACT}
    return found | {kind for kind, (head, dot, act) in apart.items() if head + dot in beginnings and act in named}


def test_every_kind_that_is_written_is_in_the_contract_and_the_other_way_round() -> None:
    assert len(CONTRACT) > 40
    assert written() == CONTRACT


def test_no_tool_is_named_like_a_kind_of_its_own() -> None:
    assert CONTRACT.isdisjoint(CATALOGUE)
