"""JSON that the database writes, as the API shows it.

Making rows into objects and those into text takes the service ten times as long.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Numeric,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
)

from .engine.statements import json_array


def as_shown(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column as the API shows it (business 7.1): amounts as text with two decimals, times in UTC with six digits.

    The first and the last day of Python's calendar are infinite ones in the database: asyncpg stores them so.
    """
    if isinstance(column.type, Numeric):
        return cast(func.round(column, literal(2)), Text).label(column.name)
    if isinstance(column.type, Date):
        ends = {day: literal_column(f"date '{day.isoformat()}'", Date) for day in (date.min, date.max)}
        return case(
            (column == literal_column("date '-infinity'"), ends[date.min]),
            (column == literal_column("date 'infinity'"), ends[date.max]),
            else_=column,
        ).label(column.name)
    if isinstance(column.type, DateTime):
        utc = func.timezone(literal("UTC"), column)
        return cast(func.to_char(utc, literal('YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), Text).label(column.name)
    return column


def json_of(rows: Select[Any]) -> ColumnElement[bytes]:
    """The rows as one JSON array in UTF-8, an object each, in their order."""
    array = cast(json_array(rows.subquery("shown")), Text)
    return select(func.convert_to(array, literal("UTF8"))).scalar_subquery()
