"""Every column that holds sealed values: where the id of their key stands, and what each is sealed to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, ColumnElement, Integer, Table, Text, bindparam, case, exists, func, null, select, true

from ..tables import (
    digest_keys,
    idempotency_keys,
    outbox,
    passengers,
    recovery_codes,
    tenant_credentials,
    tool_calls,
    users,
)
from .digest_keys import NEEDED
from .statements import Statement, statement

if TYPE_CHECKING:
    from .connection import Connection

IDS: Final = "^[A-Za-z0-9_-]+$"
"""As the configuration takes them."""
LONGEST_ID: Final = 32
"""Characters of a key's id. A sealed value begins with their number; JSON, as some replies are, with a higher byte."""

_ALL: Final = true()


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values.

    Each is sealed to its table, its column and the name of its row, which is made of the ``row`` columns.
    """

    column: Column[Any]
    row: tuple[str, ...] = ("id",)
    row_name: Callable[[Sequence[str]], str] = "".join
    key_id: Column[Any] | None = None
    """Repeats the id of the value's key."""
    digest: Column[Any] | None = None
    """A keyed digest of the value within its agency, under the key that seals it."""
    needed: ColumnElement[bool] = _ALL
    """Of which rows somebody may need the value."""

    @property
    def table(self) -> Table:
        """Its table."""
        return self.column.table

    @property
    def name(self) -> str:
        """Table and column, as operators are told."""
        return f"{self.table.name}.{self.column.name}"

    @property
    def key(self) -> ColumnElement[Any]:
        """The id of a value's key; NULL for what is no sealed value, or has no longer the head of one."""
        length = func.get_byte(self.column, 0)
        id_ = func.encode(func.substring(self.column, 2, length), "escape")
        return case(
            (func.coalesce(func.length(self.column), 0) <= 1, null()),
            (~length.between(1, LONGEST_ID), null()),
            else_=func.substring(id_, IDS),
        )

    def place(self, row: Mapping[str, Any]) -> dict[str, str]:
        """What the value of a row is sealed to."""
        name = self.row_name([str(row[column]) for column in self.row])
        return {"table": self.table.name, "column": self.column.name, "row": name}


COLUMNS: Final = (
    SealedColumn(users.c.totp_sealed),
    SealedColumn(users.c.totp_pending_sealed),
    SealedColumn(digest_keys.c.sealed, key_id=digest_keys.c.key_id, needed=NEEDED),
    SealedColumn(outbox.c.payload_sealed, key_id=outbox.c.key_id),
    SealedColumn(passengers.c.passport_sealed, key_id=passengers.c.passport_key_id, digest=passengers.c.passport_index),
    SealedColumn(tool_calls.c.input_sealed),
    SealedColumn(
        tenant_credentials.c.sealed,
        row=("tenant_id", "supplier"),
        row_name="/".join,
        key_id=tenant_credentials.c.key_id,
    ),
    SealedColumn(
        idempotency_keys.c.reply,
        row=("tenant_id", "user_id", "route", "key"),
        row_name=lambda names: json.dumps(list(names)),
    ),
)

DIGEST_KEYS: Final = "digest_keys.sealed"
RECOVERY_CODES: Final = "recovery_codes"
"""Codes whose digest key is not stored: they hold only with the sealing key that it is derived from."""

SAMPLE: Final = {
    each.name: statement(
        select(*(each.table.c[name] for name in each.row), each.column.label("sealed"))
        .where(each.column.is_not(None), each.key == bindparam("key_id", type_=Text))
        .limit(bindparam("most", type_=Integer))
    )
    for each in COLUMNS
}
"""Some values of a key, by column."""

_IN_USE: Final = {
    each.name: statement(
        select(each.key.label("key_id"), func.count().label("count"))
        .where(each.column.is_not(None), each.needed)
        .group_by(each.key)
    )
    for each in COLUMNS
}
_UNSTORED: Final = statement(
    select(recovery_codes.c.key_id, func.count().label("count"))
    .where(
        recovery_codes.c.used_at.is_(None),
        ~exists().where(digest_keys.c.derived_from == recovery_codes.c.key_id),
    )
    .group_by(recovery_codes.c.key_id)
)

Usage = Mapping[str, Mapping[str, int]]
"""Id of a sealing key: the number of values that need it, by column."""


async def usage(db: Connection) -> Usage:
    """How many values need each sealing key. ``db`` is the system role's: it sees those of all agencies."""
    asked: dict[str, Statement] = {**_IN_USE, RECOVERY_CODES: _UNSTORED}
    found: dict[str, dict[str, int]] = {}
    for name, counted in asked.items():
        for row in await counted.fetch(db):
            if row["key_id"] is not None:
                found.setdefault(row["key_id"], {})[name] = row["count"]
    return found


def outdated(used: Usage, key_id: str) -> dict[str, int]:
    """How many values need another key than this one, by column."""
    found: dict[str, int] = {}
    for kid, columns in used.items():
        if kid != key_id:
            for name, count in columns.items():
                found[name] = found.get(name, 0) + count
    return found
