"""Compiles SQLAlchemy Core statements, once, into the text that asyncpg runs.

A statement is a constant of its module, on the tables of ``storage.tables``, and runs with its parameters by name::

    FIND = statement(select(users.c.id).where(users.c.email == bindparam("email")))
    row = await FIND.fetchrow(db, email=email)

A ``bindparam`` without a value is a parameter, cast to the type of the column it is compared with or stored in. Every
other value is written into the text as a literal, because the planner uses a partial index only where it can see that
the condition holds.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, Column, ColumnElement, any_, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, PGDialect_asyncpg
from sqlalchemy.sql import ClauseElement

if TYPE_CHECKING:
    from .connection import Connection


class Statement:
    """SQL text with ``$n`` in it, and the names of its parameters in their order."""

    __slots__ = ("parameters", "sql")

    def __init__(self, sql: str, parameters: tuple[str, ...]) -> None:
        self.sql = sql
        self.parameters = parameters

    def fetch(self, db: Connection, /, **values: Any) -> Coroutine[Any, Any, list[Any]]:
        """All rows."""
        return db.fetch(self.sql, *self.arguments(values))

    def fetchrow(self, db: Connection, /, **values: Any) -> Coroutine[Any, Any, Any]:
        """The first row, or ``None``."""
        return db.fetchrow(self.sql, *self.arguments(values))

    def fetchval(self, db: Connection, /, **values: Any) -> Coroutine[Any, Any, Any]:
        """The first column of the first row, or ``None``."""
        return db.fetchval(self.sql, *self.arguments(values))

    def execute(self, db: Connection, /, **values: Any) -> Coroutine[Any, Any, str]:
        """The command's tag, ``UPDATE 1`` for instance."""
        return db.execute(self.sql, *self.arguments(values))

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the parameters. Raises ``TypeError`` if one is missing or unknown."""
        if len(values) == len(self.parameters):
            try:
                return [values[name] for name in self.parameters]
            except KeyError:
                pass  # one is missing, another is unknown: both are named below
        missing = sorted(set(self.parameters) - values.keys())
        unknown = sorted(values.keys() - set(self.parameters))
        raise TypeError(f"parameters missing: {missing}, unknown: {unknown}")


def statement(core: ClauseElement) -> Statement:
    """Compile ``core``. Raises ``TypeError`` for a list that is no array: ``IN`` would be compiled for each call."""
    compiled: Any = core.compile(dialect=_DIALECT)
    if compiled.post_compile_params:
        raise TypeError("IN is compiled for each list again: use any_of")
    return Statement(str(compiled), tuple(compiled.positiontup or ()))


def binds(*names: str) -> dict[str, BindParameter[Any]]:
    """A parameter for each column of that name, for ``values`` and ``filter_by``."""
    return {name: bindparam(name) for name in names}


def any_of(column: Column[Any], name: str) -> ColumnElement[bool]:
    """Whether the column is one of a list, which each call gives by ``name``."""
    return column == any_(bindparam(name, type_=ARRAY(column.type)))


class _Compiler(PGCompiler_asyncpg):
    """Renders values as literals, and as parameters only those that a call gives."""

    def visit_bindparam(self, *args: Any, **more: Any) -> Any:
        value: BindParameter[Any] = args[0]
        if isinstance(value.value, bytes):
            raise TypeError("bytes have no literal: give them by a bindparam")
        if not value.required:
            more["literal_binds"] = True
        return super().visit_bindparam(*args, **more)  # type: ignore[no-untyped-call]


class _Dialect(PGDialect_asyncpg):
    statement_compiler = _Compiler
    supports_statement_cache = True


_DIALECT = _Dialect()  # type: ignore[no-untyped-call]
