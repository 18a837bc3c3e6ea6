"""Every actor says what it receives, and mypy fails when a message has no case."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MACHINERY = ROOT / "actors" / "runtime"
HANDLERS = ("receive", "_handle")
"""Where a match over the protocol stands; ``receive`` may call the other and do something after every message."""


def actors() -> Iterator[tuple[str, ast.ClassDef]]:
    for path in sorted((ROOT / "actors").rglob("*.py")):
        if MACHINERY in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Actor"):
                yield path.relative_to(ROOT).as_posix(), node


def fault(actor: ast.ClassDef) -> str | None:
    """What is missing for mypy to see that every message has its case."""
    bases = [ast.unparse(base) for base in actor.bases]
    if not any(base.startswith(("Actor[", "Supervisor[")) and not base.endswith("[Any]") for base in bases):
        return f"does not name its protocol: {bases}"
    handlers = {
        node.name: node
        for node in actor.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in HANDLERS
    }
    if "receive" not in handlers:
        return "has no receive"
    for handler in handlers.values():
        message = handler.args.args[1]
        if message.annotation is None or ast.unparse(message.annotation) == "Any":
            return f"{handler.name} takes Any"
    return None if any(exhaustive(handler) for handler in handlers.values()) else "does not end in assert_never"


def exhaustive(handler: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it matches its parameter, case by case, and ends in ``assert_never`` of it."""
    message, last = handler.args.args[1].arg, handler.body[-1]
    if not isinstance(last, ast.Match) or ast.unparse(last.subject) != message:
        return False
    *cases, never = last.cases
    named = all(ast.unparse(case.pattern) != "_" for case in cases)
    return named and ast.unparse(never) == f"case _:\n    assert_never({message})"


def test_every_actor_of_the_tree_is_looked_at() -> None:
    assert {actor.name for _, actor in actors()} == {
        "AccountsActor",
        "HousekeepingActor",
        "MailActor",
        "RootActor",
        "SessionActor",
        "StorageActor",
        "SupplierActor",
        "TenantActor",
        "ThrottleActor",
        "TurnActor",
    }


@pytest.mark.parametrize(("path", "actor"), [pytest.param(path, actor, id=actor.name) for path, actor in actors()])
def test_every_actor_matches_its_protocol_to_the_end(path: str, actor: ast.ClassDef) -> None:
    assert fault(actor) is None, path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class A(Actor): ...", "does not name its protocol"),
        ("class A(Actor[Any]): ...", "does not name its protocol"),
        ("class A(Actor[P]): ...", "has no receive"),
        ("class A(Actor[P]):\n async def receive(self, message: Any): ...", "takes Any"),
        ("class A(Actor[P]):\n async def receive(self, message: P):\n  return 1", "does not end in assert_never"),
        (
            "class A(Actor[P]):\n async def receive(self, message: P):\n  match message:\n   case B(): return 1",
            "does not end in assert_never",
        ),
        (
            """class A(Actor[P]):
    async def receive(self, message: P):
        known: Any = message
        match known:
            case _:
                assert_never(known)""",
            "does not end in assert_never",
        ),
    ],
)
def test_a_gap_is_found(source: str, expected: str) -> None:
    actor = ast.parse(source).body[0]
    assert isinstance(actor, ast.ClassDef)
    assert expected in (fault(actor) or "")
