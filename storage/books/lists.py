"""Lists of documents, those that are due first at the top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Date, Integer, Table, Text, bindparam, func, or_, select

from ...actors.domain.documents import Bill, Document, Invoice
from ..engine.operations import Query
from ..engine.statements import Statement, any_of, statement
from ..tables import bills, invoices
from .bills import bill_of
from .invoices import DISCOUNT, invoice_of

if TYPE_CHECKING:
    from ..engine.connection import Connection

T = TypeVar("T", bound=Document)


def _listing(table: Table, *more: ColumnElement[Any]) -> Statement:
    party, due_before = bindparam("party", type_=Text), bindparam("due_before", type_=Date)
    within = func.strpos(func.lower(table.c.party_name), func.lower(party)) > 0
    return statement(
        select(table, *more, func.count().over().label("found"))
        .where(
            table.c.tenant_id == bindparam("tenant_id"),
            any_of(table.c.status, "statuses"),
            or_(party.is_(None), within),
            or_(due_before.is_(None), table.c.due_date < due_before),
        )
        .order_by(table.c.due_date, table.c.id)
        .limit(bindparam("limit", type_=Integer))
    )


INVOICES, BILLS = _listing(invoices, DISCOUNT), _listing(bills)


class Found(NamedTuple, Generic[T]):
    """The first documents of a list, and how many there are in all."""

    total: int
    documents: tuple[T, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _List(Query[Found[T]], Generic[T]):
    """Documents in one of the statuses. ``party`` is a part of the name, every character for itself."""

    statuses: Sequence[str]
    party: str | None
    due_before: date | None
    limit: int

    async def _found(self, db: Connection, listing: Statement, read: Callable[[Any], T]) -> Found[T]:
        rows = await listing.fetch(
            db,
            tenant_id=self.tenant_id,
            statuses=list(self.statuses),
            party=self.party,
            due_before=self.due_before,
            limit=self.limit,
        )
        return Found(rows[0]["found"] if rows else 0, tuple(read(row) for row in rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoices(_List[Invoice]):
    """Invoices."""

    async def run(self, db: Connection) -> Found[Invoice]:
        return await self._found(db, INVOICES, invoice_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bills(_List[Bill]):
    """Vendors' bills."""

    async def run(self, db: Connection) -> Found[Bill]:
        return await self._found(db, BILLS, bill_of)
