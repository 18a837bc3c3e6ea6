"""Orders of the embedded supplier ``house``, one row per idempotency key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from ...actors.domain.errors import Conflict
from ...actors.domain.money import Money
from ..engine.operations import Command, Query

if TYPE_CHECKING:
    from ..engine.pool import Connection

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

COLUMNS = "id, key, state, price, currency, data, created_at"

INSERT = f"""
INSERT INTO house_orders (id, tenant_id, key, kind, state, price, currency, data, created_at)
VALUES ($1, $2, $3, $9, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, key) DO NOTHING RETURNING {COLUMNS}
"""  # noqa: S608  # our own columns
BY_KEY = f"SELECT {COLUMNS} FROM house_orders WHERE tenant_id = $1 AND key = $2"  # noqa: S608  # our own columns
FIND = f"{BY_KEY} AND kind = $3"
READ = f"SELECT {COLUMNS} FROM house_orders WHERE tenant_id = $1 AND id = $2 AND kind = $3"  # noqa: S608  # our own columns
TAKE = """
UPDATE house_orders SET state = 'taken'
 WHERE tenant_id = $1 AND id = $2 AND state = 'held' AND (data->>'hold_expires_at')::timestamptz > $3 RETURNING id
"""


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
        row = await db.fetchrow(
            INSERT,
            self.id,
            self.tenant_id,
            self.key,
            self.state,
            self.price,
            self.currency,
            self.data,
            self.now,
            self.kind,
        )
        if row is None:
            return _order(await db.fetchrow(BY_KEY, self.tenant_id, self.key))
        if self.held is not None and await db.fetchval(TAKE, self.tenant_id, self.held, self.now) is None:
            raise Conflict(HOLD_GONE)
        return _order(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(Query[HouseOrder | None]):
    """The order of that kind made with ``key``, if any."""

    key: str
    kind: Kind = "flight"

    async def run(self, db: Connection) -> HouseOrder | None:
        row = await db.fetchrow(FIND, self.tenant_id, self.key, self.kind)
        return None if row is None else _order(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Query[HouseOrder | None]):
    """The order of that kind with that id, if any."""

    id: str
    kind: Kind = "flight"

    async def run(self, db: Connection) -> HouseOrder | None:
        row = await db.fetchrow(READ, self.tenant_id, self.id, self.kind)
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
