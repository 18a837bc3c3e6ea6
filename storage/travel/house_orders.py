"""Orders of the embedded supplier ``house``, one row per idempotency key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.errors import Conflict
from ...actors.domain.money import Money
from ..engine.operations import Command, Query
from ..engine.statements import binds, statement
from ..schema.columns import Time
from ..tables import house_orders

if TYPE_CHECKING:
    from ..engine.connection import Connection

Kind = Literal["flight", "hotel"]
State = Literal["held", "booked", "taken"]
"""``taken`` is a hold whose seats a booking has got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseOrder:
    """A row as it stands."""

    id: str
    key: str
    state: State
    price: Money
    data: dict[str, Any]
    created_at: datetime


HOLD_GONE = "house_hold_gone"

COLUMNS = house_orders.c["id", "key", "state", "price", "currency", "data", "created_at"]

INSERT = statement(
    insert(house_orders)
    .values(**binds("id", "tenant_id", "key", "kind", "state", "price", "currency", "data", "created_at"))
    .on_conflict_do_nothing(index_elements=["tenant_id", "key"])
    .returning(*COLUMNS)
)
BY_KEY = statement(select(*COLUMNS).filter_by(**binds("tenant_id", "key")))
FIND = statement(select(*COLUMNS).filter_by(**binds("tenant_id", "key", "kind")))
READ = statement(select(*COLUMNS).filter_by(**binds("tenant_id", "id", "kind")))
TAKE = statement(
    update(house_orders)
    .filter_by(**binds("tenant_id", "id"), state="held")
    .where(house_orders.c.data["hold_expires_at"].astext.cast(Time) > bindparam("now"))
    .values(state="taken")
    .returning(house_orders.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Command[HouseOrder]):
    """Insert an order under ``key``. A repeated key returns the first order.

    With ``held`` the seats are those of that hold. Conflict ``HOLD_GONE`` if it has expired or was booked before.
    """

    id: str
    key: str
    state: State
    price: Decimal
    currency: str
    data: Mapping[str, Any]
    now: datetime
    held: str | None = None
    kind: Kind = "flight"

    async def run(self, db: Connection) -> HouseOrder:
        row = await INSERT.fetchrow(
            db,
            id=self.id,
            tenant_id=self.tenant_id,
            key=self.key,
            kind=self.kind,
            state=self.state,
            price=self.price,
            currency=self.currency,
            data=self.data,
            created_at=self.now,
        )
        if row is None:
            return _order(await BY_KEY.fetchrow(db, tenant_id=self.tenant_id, key=self.key))
        if self.held is not None and not await TAKE.fetchval(db, tenant_id=self.tenant_id, id=self.held, now=self.now):
            raise Conflict(HOLD_GONE)
        return _order(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Query[HouseOrder | None]):
    """The order of that kind made with ``key``, if any."""

    key: str
    kind: Kind = "flight"

    async def run(self, db: Connection) -> HouseOrder | None:
        row = await FIND.fetchrow(db, tenant_id=self.tenant_id, key=self.key, kind=self.kind)
        return None if row is None else _order(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Query[HouseOrder | None]):
    """The order of that kind with that id, if any."""

    id: str
    kind: Kind = "flight"

    async def run(self, db: Connection) -> HouseOrder | None:
        row = await READ.fetchrow(db, tenant_id=self.tenant_id, id=self.id, kind=self.kind)
        return None if row is None else _order(row)


def _order(row: Mapping[str, Any]) -> HouseOrder:
    return HouseOrder(
        id=row["id"],
        key=row["key"],
        state=row["state"],
        price=Money.of(row["price"], row["currency"]),
        data=row["data"],
        created_at=row["created_at"],
    )
