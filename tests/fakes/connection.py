"""A database connection for what an operation decides by itself: it keeps what it is told to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voyagent.storage.engine.statements import Statement


class FakeConnection:
    """Statements in their order with their parameters; a statement's reply is what the test says, else None.

    What the statements do is the real database's to show.
    """

    def __init__(self) -> None:
        self.ran: list[tuple[str, tuple[Any, ...]]] = []
        self._replies: dict[str, Callable[..., Any]] = {}

    def on(self, sql: str, reply: Callable[..., Any]) -> None:
        """Answer this statement with what ``reply`` returns for its parameters."""
        self._replies[sql] = reply

    def of(self, sql: str) -> list[tuple[Any, ...]]:
        """The parameters of each time that this statement ran."""
        return [values for ran, values in self.ran if ran == sql]

    def named(self, statement: Statement) -> list[dict[str, Any]]:
        """The same of a compiled statement, by name."""
        return [dict(zip(statement.parameters, values, strict=True)) for values in self.of(statement.sql)]

    async def execute(self, sql: str, *values: Any) -> Any:
        self.ran.append((sql, values))
        reply = self._replies.get(sql)
        return None if reply is None else reply(*values)

    fetchval = fetchrow = execute
