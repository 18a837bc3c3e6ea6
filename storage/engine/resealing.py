"""Sealing again what an older key has sealed, batch by batch, so that a key can leave the ring at last.

A value stays the same and so does its row, but for the ciphertext and the key's id. Each batch is one transaction that
locks its rows: a change that comes first is what is sealed again, one that comes later replaces it. A batch that is
repeated finds its values done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Integer, Text, bindparam, select, update

from . import sealed_columns
from .operations import Command, Snapshot
from .sealed_columns import COLUMNS, SealedColumn, Usage
from .sealing import NotOpened, Sealing
from .statements import Statement, statement

if TYPE_CHECKING:
    from .connection import Connection

AT_ONCE: Final = 200
"""Values sealed again in one transaction: some 2 ms of work."""
SHOWN: Final = 20
"""Rows that are named of those that cannot be opened."""


def _primary_key(each: SealedColumn) -> tuple[str, ...]:
    return tuple(column.name for column in each.table.primary_key)


def _outdated(each: SealedColumn) -> Statement:
    table = each.table
    named = {*_primary_key(each), *each.row, *(() if each.digest is None else ("tenant_id",))}
    return statement(
        select(*(table.c[name] for name in sorted(named)), each.column.label("sealed"))
        .where(each.column.is_not(None), each.key != bindparam("key_id", type_=Text))
        .order_by(*table.primary_key)
        .limit(bindparam("most", type_=Integer))
        .offset(bindparam("skip", type_=Integer))
        .with_for_update(key_share=True)
    )


def _keep(each: SealedColumn) -> Statement:
    kept = [column for column in (each.column, each.key_id, each.digest) if column is not None]
    return statement(
        update(each.table)
        .where(*(each.table.c[name] == bindparam(f"its_{name}") for name in _primary_key(each)))
        .values({column.name: bindparam(f"new_{column.name}") for column in kept})
    )


_OUTDATED: Final = {each.name: _outdated(each) for each in COLUMNS}
_KEEP: Final = {each.name: _keep(each) for each in COLUMNS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """A batch: how many values were sealed again, the names of rows that cannot be opened, and whether it was full."""

    done: int
    not_opened: tuple[str, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reseal(Command[Resealed]):
    """Seal a batch of a column's values with the key that seals. What cannot be opened stays as it is.

    ``skip``: the number of those that earlier batches could not open, which come first again.
    """

    UNFENCED = "Resealing changes no value: whichever node does it, row locks decide."

    tenant_id: None = None
    column: str
    sealing: Sealing = field(repr=False)
    skip: int = 0
    most: int = AT_ONCE

    async def run(self, db: Connection) -> Resealed:
        each = next(each for each in COLUMNS if each.name == self.column)
        key_id = self.sealing.ids[0]
        rows = await _OUTDATED[self.column].fetch(db, key_id=key_id, most=self.most, skip=self.skip)
        not_opened = []
        for row in rows:
            try:
                values = _resealed(each, self.sealing, row)
            except NotOpened:
                not_opened.append(each.place(row)["row"])
                continue
            own = {f"its_{name}": row[name] for name in _primary_key(each)}
            await _KEEP[self.column].execute(db, **own, **{f"new_{name}": value for name, value in values.items()})
        return Resealed(done=len(rows) - len(not_opened), not_opened=tuple(not_opened), more=len(rows) == self.most)


def _resealed(each: SealedColumn, sealing: Sealing, row: Any) -> dict[str, bytes | str]:
    """The columns that keep the row's value, sealed again. Raises ``NotOpened``."""
    place = each.place(row)
    plain = sealing.open(row["sealed"], **place)
    values: dict[str, bytes | str] = {each.column.name: sealing.seal(plain, **place)}
    if each.key_id is not None:
        values[each.key_id.name] = sealing.ids[0]
    if each.digest is not None:
        where = {"table": place["table"], "column": place["column"], "scope": row["tenant_id"]}
        values[each.digest.name] = sealing.digests(plain, **where)[0]
    return values


async def reseal(run: Callable[[Reseal], Awaitable[Resealed]], column: str, sealing: Sealing) -> Resealed:
    """Seal all of a column again, each batch by ``run``; replies what they did together."""
    whole = Resealed(done=0, more=True)
    while whole.more:
        batch = await run(Reseal(column=column, sealing=sealing, skip=len(whole.not_opened)))
        whole = Resealed(done=whole.done + batch.done, not_opened=whole.not_opened + batch.not_opened, more=batch.more)
    return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUsage(Snapshot[Usage]):
    """How many values need each sealing key."""

    tenant_id: None = None

    async def run(self, db: Connection) -> Usage:
        return await sealed_columns.usage(db)
