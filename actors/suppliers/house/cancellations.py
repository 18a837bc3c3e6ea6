"""Cancellations of the embedded inventory: a quote that is stored with the order, and its confirmation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ....storage.travel import house_orders
from ...domain import ids
from ...domain.audit import wire_time
from ...domain.errors import Conflict
from ...domain.money import Money
from ...domain.travel import CancelQuote
from ...foundation.clock import Clock
from ...runtime.actor import Recipient
from ..protocols import SupplierError
from .conditions import Schedule, refund

QUOTE_LIFE = timedelta(minutes=20)
BALANCE, UNPAID = "balance", "awaiting_payment"
"""Where refunds go: to the agency's balance; nowhere, as nothing was paid."""


class Cancellations:
    """Quotes and confirms cancellations of one agency's orders of one kind."""

    def __init__(
        self,
        supplier: str,
        kind: house_orders.Kind,
        tenant_id: str,
        store: Recipient,
        clock: Clock,
        schedule: Callable[[house_orders.HouseOrder], Schedule],
    ) -> None:
        """``schedule`` gives the conditions under which an order can be cancelled."""
        self._supplier = supplier
        self._kind = kind
        self._tenant_id = tenant_id
        self._store = store
        self._clock = clock
        self._schedule = schedule

    async def quote(self, supplier_ref: str) -> CancelQuote:
        """What cancelling would return now. It holds for 20 minutes, but not beyond the next tier of the conditions."""
        order = await self._load(supplier_ref)
        quote = self._quote(order, self._clock.now())
        ask = house_orders.Quote(tenant_id=self._tenant_id, id=order.id, kind=self._kind, quote=quote)
        try:
            return self._read(await self._store.ask(ask))
        except Conflict as changed:
            raise _not_cancellable("the order can no longer be cancelled") from changed

    async def read(self, ref: str) -> CancelQuote:
        """The quote, if it is its order's newest."""
        order = await self._load(ref.partition(":")[0])
        if order.cancel_quote is None or order.cancel_quote["ref"] != ref:
            raise SupplierError("not_found", "a later quote has replaced this one", reason="quote_expired")
        return self._read(order)

    async def confirm(self, ref: str, key: str) -> CancelQuote:
        """Cancel as quoted, once per key."""
        order_id = ids.parse_uuid(ref.partition(":")[0]) or ids.uuid7()
        cancel = house_orders.Cancel(
            tenant_id=self._tenant_id, id=order_id, kind=self._kind, ref=ref, key=key, now=self._clock.now()
        )
        try:
            return self._read(await self._store.ask(cancel))
        except Conflict as gone:
            raise SupplierError("conflict", "the quote has expired or was replaced", reason="quote_expired") from gone

    async def _load(self, supplier_ref: str) -> house_orders.HouseOrder:
        order_id = ids.parse_uuid(supplier_ref) or ids.uuid7()
        order = await self._store.ask(house_orders.Read(tenant_id=self._tenant_id, kind=self._kind, id=order_id))
        if order is None:
            raise SupplierError("not_found", "there is no such order")
        return order

    def _quote(self, order: house_orders.HouseOrder, now: datetime) -> dict[str, Any]:
        if order.state not in house_orders.CANCELLABLE:
            raise _not_cancellable("the order is cancelled already" if order.state == "cancelled" else "it was booked")
        tier = self._schedule(order).at(now)
        if tier is None:
            raise _not_cancellable("it is too late to cancel this order")
        paid = order.state != "held"
        returned = refund(order.price, tier) if paid else Money.of(0, order.price.currency)
        return {
            "ref": f"{order.id}:{ids.uuid7()}",
            "refund": returned.text,
            "refund_to": BALANCE if paid else UNPAID,
            "expires_at": wire_time(min(now + QUOTE_LIFE, tier.ends_at)),
        }

    def _read(self, order: house_orders.HouseOrder) -> CancelQuote:
        quote = order.cancel_quote
        if quote is None:
            raise SupplierError("not_found", "nothing was quoted for this order")
        return CancelQuote(
            supplier=self._supplier,
            ref=quote["ref"],
            order_ref=order.id,
            refund=Money.read(quote["refund"]),
            refund_to=quote["refund_to"],
            expires_at=datetime.fromisoformat(quote["expires_at"]),
            confirmed=order.state == "cancelled",
        )


def _not_cancellable(why: str) -> SupplierError:
    return SupplierError("conflict", why, reason="not_cancellable")
