"""Compiles SQLAlchemy Core statements, once, into the text that asyncpg runs.

A statement is a constant of its module, on the tables of ``storage.tables``, and runs with its parameters by name::

    FIND = statement(select(users.c.id).where(users.c.email == bindparam("email")))
    row = await FIND.fetchrow(db, email=email)

A ``bindparam`` without a value is a parameter, cast to the type of the column it is compared with or stored in. Every
other value is written into the text as a literal, because the planner uses a partial index only where it can see that
the condition holds.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    Select,
    Subquery,
    any_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, PGDialect_asyncpg
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import TypeEngine

from ..schema.columns import Uuid

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


FENCE = func.voyagent_fence(
    bindparam("shard", type_=Integer), bindparam("node", type_=Uuid), bindparam("epoch", type_=BigInteger)
).alias("fence")
"""One row as long as the lease given is held, for the FROM of a statement; raises what ``LostShard`` is made of."""


def _bytes(shown: str) -> bytes:
    """Bytes as Postgres shows them: a backslash, an x and hexadecimal digits."""
    return bytes.fromhex(shown.removeprefix("\\x"))


INFINITE: Mapping[date | None, str] = {date.min: "-infinity", date.max: "infinity"}
"""The first and the last day of Python's calendar as Postgres shows them: asyncpg stores them as infinite ones."""
_ENDS = {shown: day for day, shown in INFINITE.items()}


def _day(shown: str) -> date:
    """A day as Postgres shows it."""
    return _ENDS.get(shown) or date.fromisoformat(shown)


_DECODERS: Mapping[type[TypeEngine[Any]], Callable[[str], Any]] = {
    DateTime: datetime.fromisoformat,
    Date: _day,
    LargeBinary: _bytes,
}


def json_array(rows: Subquery) -> ColumnElement[Any]:
    """The rows as one JSON array in their order, an object each; without rows an empty one."""
    return func.coalesce(func.json_agg(rows.table_valued()), literal_column("'[]'::json"))


class Rows:
    """All rows of a query, in its order, as one ``column`` of another: several become one statement so.

    That takes one round trip and sees one state. The rows travel as JSON, which ``read`` makes values of the columns'
    types again. Raises ``TypeError`` for a decimal column: JSON would make it a float.
    """

    __slots__ = ("_decoders", "column")

    def __init__(self, query: Select[Any]) -> None:
        self.column = select(json_array(query.subquery())).scalar_subquery()
        self._decoders: dict[str, Callable[[str], Any]] = {}
        for column in query.selected_columns:
            if isinstance(column.type, Numeric):
                raise TypeError(f"{column.name} is decimal, and no JSON number")
            for kind, decode in _DECODERS.items():
                if isinstance(column.type, kind):
                    self._decoders[column.name] = decode

    def read(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows as the query alone would read them."""
        for row in rows:
            for name, decode in self._decoders.items():
                if row[name] is not None:
                    row[name] = decode(row[name])
        return rows


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
