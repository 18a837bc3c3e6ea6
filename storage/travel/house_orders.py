"""Orders of the embedded supplier ``house``, one row per idempotency key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import BigInteger, Integer, bindparam, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.errors import Conflict
from ...actors.domain.money import Money
from ..engine.operations import Command, Query
from ..engine.statements import any_of, binds, statement
from ..schema.columns import Json, Time
from ..tables import house_counters, house_orders, house_sales

if TYPE_CHECKING:
    from ..engine.connection import Connection

Kind = Literal["flight", "hotel"]
State = Literal["held", "booked", "taken", "ticketed", "cancelled"]
"""``taken`` is a hold whose seats a booking has got."""
CANCELLABLE: tuple[State, ...] = ("held", "booked", "ticketed")
FIRST_TICKET = 2_400_000_001
"""Ten digits of ticket numbers, without the airline's three, begin here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseOrder:
    """A row as it stands."""

    id: str
    key: str
    state: State
    price: Money
    data: dict[str, Any]
    cancel_quote: dict[str, Any] | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Take:
    """So many units of an item of which there are ``stock`` to sell."""

    item: str
    units: int
    stock: int


class SoldOut(Conflict):
    """409 ``house_sold_out``: of ``item`` fewer are left than an order needs."""

    def __init__(self, item: str, left: int) -> None:
        super().__init__("house_sold_out")
        self.item = item
        self.left = left


HOLD_GONE = "house_hold_gone"
STATE = "house_order_state"
QUOTE_GONE = "house_quote_gone"

COLUMNS = house_orders.c["id", "key", "state", "price", "currency", "data", "cancel_quote", "created_at"]

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
_THIS = binds("tenant_id", "id", "kind")
_CANCELLABLE = house_orders.c.state.in_(CANCELLABLE)
QUOTE = statement(
    update(house_orders)
    .filter_by(**_THIS)
    .where(_CANCELLABLE)
    .values(cancel_quote=bindparam("quote", type_=Json))
    .returning(*COLUMNS)
)
CANCEL = statement(
    update(house_orders)
    .filter_by(**_THIS)
    .where(
        _CANCELLABLE,
        house_orders.c.cancel_quote["ref"].astext == bindparam("ref"),
        house_orders.c.cancel_quote["expires_at"].astext.cast(Time) > bindparam("now", type_=Time),
    )
    .values(state="cancelled", cancel_quote=house_orders.c.cancel_quote.concat(bindparam("confirmation", type_=Json)))
    .returning(*COLUMNS)
)
LOCK = statement(select(*COLUMNS).filter_by(**_THIS).with_for_update())
_COUNT = insert(house_counters).values(tenant_id=bindparam("tenant_id"), tickets=bindparam("count", type_=BigInteger))
COUNT = statement(
    _COUNT.on_conflict_do_update(
        index_elements=["tenant_id"], set_={"tickets": house_counters.c.tickets + _COUNT.excluded.tickets}
    ).returning(house_counters.c.tickets)
)
ISSUE = statement(
    update(house_orders)
    .filter_by(**_THIS)
    .values(state="ticketed", data=house_orders.c.data.concat(bindparam("issued", type_=Json)))
    .returning(*COLUMNS)
)
LOCK_ITEMS = """
SELECT pg_advisory_xact_lock(hashtextextended('voyagent.house:' || $1 || ':' || item, 0))
  FROM unnest($2::text[]) AS item
"""
"""Text: it is about no table. Items are locked in their order, so that two orders of the same ones do not deadlock."""
SOLD = statement(
    select(house_sales.c.item, cast(func.sum(house_sales.c.units), Integer).label("units"))
    .filter_by(**binds("tenant_id"))
    .where(
        any_of(house_sales.c.item, "items"),
        or_(house_sales.c.ends_at.is_(None), house_sales.c.ends_at > bindparam("now", type_=Time)),
    )
    .group_by(house_sales.c.item)
)
SELL = statement(insert(house_sales).values(**binds("tenant_id", "item", "order_id", "units", "ends_at", "created_at")))
FREE = statement(delete(house_sales).filter_by(**binds("tenant_id", "order_id")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold(Query[dict[str, int]]):
    """What the agency's orders have taken of each item; items of which nothing is taken are left out."""

    items: Sequence[str]
    now: datetime

    async def run(self, db: Connection) -> dict[str, int]:
        return await _sold(db, self.tenant_id, self.items, self.now)


async def _sold(db: Connection, tenant_id: str | None, items: Sequence[str], now: datetime) -> dict[str, int]:
    rows = await SOLD.fetch(db, tenant_id=tenant_id, items=list(items), now=now)
    return {row["item"]: row["units"] for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Command[HouseOrder]):
    """Insert an order under ``key``. A repeated key returns the first order.

    It takes what it sells of the stock, a hold until ``ends_at``; ``SoldOut`` if not enough is left. With ``held`` it
    gets what that hold has taken: Conflict ``HOLD_GONE`` if that has expired or was booked before.
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
    takes: Sequence[Take] = ()
    ends_at: datetime | None = None

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
        if self.held is not None:
            if await TAKE.fetchval(db, tenant_id=self.tenant_id, id=self.held, now=self.now) is None:
                raise Conflict(HOLD_GONE)
            await FREE.execute(db, tenant_id=self.tenant_id, order_id=self.held)
        await self._check(db)  # of a hold, too: it may have expired, and its seats been sold, while this waited
        await self._sell(db, row["id"])
        return _order(row)

    async def _check(self, db: Connection) -> None:
        """Refuse the order if an item has not enough left; nobody else sells of them until it is committed."""
        items = sorted(take.item for take in self.takes)
        await db.execute(LOCK_ITEMS, self.tenant_id, items)
        sold = await _sold(db, self.tenant_id, items, self.now)
        for take in self.takes:
            left = take.stock - sold.get(take.item, 0)
            if left < take.units:
                raise SoldOut(take.item, max(left, 0))

    async def _sell(self, db: Connection, order_id: str) -> None:
        order = {"tenant_id": self.tenant_id, "order_id": order_id, "ends_at": self.ends_at, "created_at": self.now}
        for take in self.takes:
            await SELL.execute(db, **order, item=take.item, units=take.units)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote(Command[HouseOrder]):
    """Store the quote of a cancellation, in place of an earlier one. Conflict ``STATE`` if none is possible."""

    id: str
    kind: Kind
    quote: Mapping[str, Any]

    async def run(self, db: Connection) -> HouseOrder:
        row = await QUOTE.fetchrow(db, tenant_id=self.tenant_id, id=self.id, kind=self.kind, quote=self.quote)
        if row is None:
            raise Conflict(STATE)
        return _order(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Command[HouseOrder]):
    """Cancel an order by its quote ``ref``, which frees what it has taken. A repeated ``key`` returns the order.

    Conflict ``QUOTE_GONE`` if the quote has expired, was replaced, or was confirmed with another key.
    """

    id: str
    kind: Kind
    ref: str
    key: str
    now: datetime

    async def run(self, db: Connection) -> HouseOrder:
        this = {"tenant_id": self.tenant_id, "id": self.id, "kind": self.kind}
        row = await CANCEL.fetchrow(db, **this, ref=self.ref, now=self.now, confirmation={"key": self.key})
        if row is not None:
            await FREE.execute(db, tenant_id=self.tenant_id, order_id=self.id)
            return _order(row)
        known = await READ.fetchrow(db, **this)
        quote = {} if known is None else known["cancel_quote"] or {}
        if known is None or (quote.get("ref"), quote.get("key")) != (self.ref, self.key):
            raise Conflict(QUOTE_GONE)
        return _order(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue(Command[HouseOrder]):
    """Issue the tickets of a booked flight: a number for each of its persons. Once issued it stays as it is.

    ``accounting`` is the airline's three digits. Conflict ``STATE`` if the order is not booked.
    """

    id: str
    accounting: str

    async def run(self, db: Connection) -> HouseOrder:
        this = {"tenant_id": self.tenant_id, "id": self.id, "kind": "flight"}
        row = await LOCK.fetchrow(db, **this)
        if row is None or row["state"] not in ("booked", "ticketed"):
            raise Conflict(STATE)
        if row["state"] == "ticketed":
            return _order(row)
        persons = row["data"]["persons"]
        last = await COUNT.fetchval(db, tenant_id=self.tenant_id, count=len(persons))
        first = FIRST_TICKET + last - len(persons)
        issued = [
            {"number": f"{self.accounting}{first + place}", "passenger_ids": [person["id"]]}
            for place, person in enumerate(persons)
        ]
        return _order(await ISSUE.fetchrow(db, **this, issued={"tickets": issued}))


def _order(row: Mapping[str, Any]) -> HouseOrder:
    return HouseOrder(
        id=row["id"],
        key=row["key"],
        state=row["state"],
        price=Money.of(row["price"], row["currency"]),
        data=row["data"],
        cancel_quote=row["cancel_quote"],
        created_at=row["created_at"],
    )
