"""The supplier ``duffel``: flights of many airlines, ordered and paid from the agency's balance.

It promises to honour no key. Ours stands in each order's metadata, so that a write whose answer was lost is found.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ....storage.engine.sealing import NotOpened, Sealing
from ....storage.travel import passports
from ...domain.travel import CancelQuote, FlightOffer, FlightOrder, FlightQuestion, Passenger
from ...foundation.clock import Clock
from ..protocols import Capabilities, SupplierError
from . import offers, orders
from .api import Api, Token, not_sent
from .failures import DUPLICATE, DuffelError
from .persons import flaws

SEARCH_MILLISECONDS = 20_000
"""How long the supplier waits for airlines, within the 30 s of our own limit."""
WRITE_SECONDS = 130.0
LOOK_UP_TIMES = (0.0, 135.0, 150.0, 180.0)
"""An order may take 120 s at the supplier. It is looked up when the write fails, and again when it must have ended."""
PAGE = 200
OFFER_PAGES, ORDER_PAGES = 5, 20
"""Pages of a list that are read: the cheapest 1,000 offers; the 4,000 orders that a lost write is looked for in."""
REMEMBERED_PAYMENTS = 100


class Duffel:
    """Flights sold by Duffel, for one agency."""

    name = offers.NAME
    capabilities = Capabilities(
        methods=frozenset(
            {
                "search",
                "price",
                "hold",
                "book",
                "read",
                "find",
                "quote_cancel",
                "read_cancel",
                "confirm_cancel",
                "issue",
            }
        ),
        honours_keys=False,
        looks_up=True,
        write_seconds=WRITE_SECONDS,
        look_up_times=LOOK_UP_TIMES,
        tickets_follow=True,
        flaws=flaws,
    )

    def __init__(self, base_url: str, token: Token, clock: Clock, sealing: Sealing) -> None:
        self._api = Api(base_url, token, clock)
        self._clock = clock
        self._sealing = sealing
        self._paid: OrderedDict[str, str] = OrderedDict()
        """The order that each of the last payments is for, by the payment's key."""

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def search(self, question: FlightQuestion) -> list[FlightOffer]:
        """Offers of all airlines, cheapest first."""
        query = {"return_offers": "false", "supplier_timeout": str(SEARCH_MILLISECONDS)}
        made = await self._api.ask("/air/offer_requests", offers.request(question), query)
        request_id = orders.order_id(made["data"])
        asked = {"offer_request_id": request_id, "sort": "total_amount"}
        items = [item async for item in self._pages("/air/offers", asked, OFFER_PAGES)]
        return await offers.read_all(items, question, self._clock.now())

    async def price(self, offer: FlightOffer) -> FlightOffer:
        """The offer, read again."""
        answer = await self._api.get(f"/air/offers/{offer.supplier_ref}")
        return offers.reread(answer["data"], offer, self._clock.now())

    async def hold(self, offer: FlightOffer, passengers: Sequence[Passenger], key: str) -> FlightOrder:
        """An unpaid order. ``capability_not_supported`` if the airline wants its money at once."""
        if not offer.hold_possible:
            raise SupplierError("capability_not_supported", "this fare cannot be held")
        return await self._order(offer, passengers, key, hold=True)

    async def book(
        self, offer: FlightOffer, passengers: Sequence[Passenger], key: str, held: str | None = None
    ) -> FlightOrder:
        """An order that is paid at once, or the payment of a held one."""
        if held is not None:
            return await self._pay(held, offer, key)
        return await self._order(offer, passengers, key, hold=False)

    async def read(self, supplier_ref: str) -> FlightOrder:
        """An order by its id."""
        return orders.read(await self._read(supplier_ref), self._clock.now())

    async def find(self, key: str) -> FlightOrder | None:
        """The order that carries this key: as its maker's, or as its payer's if it is paid.

        Orders cannot be asked for by metadata and are listed in any order, so pages are compared.
        """
        known = self._paid.get(key)
        if known is not None:
            return self._outcome(await self._read(known), key)
        async for item in self._pages("/air/orders", {}, ORDER_PAGES, whole=True):
            if key in (orders.metadata(item).get(orders.KEY), orders.metadata(item).get(orders.PAID_BY)):
                return self._outcome(item, key)
        return None

    async def issue(self, supplier_ref: str, key: str) -> FlightOrder:
        """The order with its tickets, which the airline issues by itself once it is paid."""
        del key  # nothing is sent
        with _before_sending():
            order = await self.read(supplier_ref)
        if order.status in ("tentative", "cancelled"):
            raise SupplierError("conflict", f"the order is {order.status}", reason="invalid_status")
        if not order.tickets:
            text = "the airline has not issued the tickets yet"
            raise SupplierError("conflict", text, reason="tickets_not_ready")
        return order

    async def quote_cancel(self, supplier_ref: str) -> CancelQuote:
        """A quote, which replaces earlier ones of the order."""
        item = await self._read(supplier_ref)
        if orders.is_cancelled(item):
            raise SupplierError("conflict", "the order has been cancelled", reason="not_cancellable")
        actions = item.get("available_actions")
        if not isinstance(actions, list) or "cancel" not in actions:
            text = "the airline does not let this order be cancelled here"
            raise SupplierError("conflict", text, reason="not_cancellable")
        answer = await self._api.ask("/air/order_cancellations", {"order_id": supplier_ref})
        return orders.quote(answer["data"])

    async def read_cancel(self, ref: str) -> CancelQuote:
        """A quote by its id."""
        return orders.quote((await self._api.get(f"/air/order_cancellations/{ref}"))["data"])

    async def confirm_cancel(self, ref: str, key: str) -> CancelQuote:
        """Cancel as quoted; only the newest quote of an order can be confirmed."""
        del key  # the quote's own id is looked up
        try:
            answer = await self._api.write(f"/air/order_cancellations/{ref}/actions/confirm")
        except DuffelError as refused:
            if refused.supplier_code == "conflict" and refused.reason is None:
                refused.reason = "quote_expired"  # only the newest quote of an order can be confirmed, while it lives
            raise
        confirmed = orders.quote(answer["data"])
        return confirmed.model_copy(update={"confirmed": True})

    async def _order(self, offer: FlightOffer, passengers: Sequence[Passenger], key: str, *, hold: bool) -> FlightOrder:
        body = orders.request(offer, passengers, key, self._passports(offer, passengers), hold=hold)
        try:
            answer = await self._api.write("/air/orders", body)
        except DuffelError as refused:
            if refused.vendor_code != DUPLICATE:
                raise
            try:
                found = await self.find(key)  # it may be a duplicate of this very write
            except SupplierError as unknown:  # the order was sent, whatever became of the look-up
                raise SupplierError(unknown.supplier_code, unknown.text, unclear=True) from unknown
            if found is None:
                raise
            return found
        return orders.read(answer["data"], self._clock.now(), offer, held=hold)

    def _passports(self, offer: FlightOffer, passengers: Sequence[Passenger]) -> dict[str, str]:
        """The passengers' passport numbers by their ids, for an order that needs them; for any other none is opened."""
        if not offer.supplier_data.get("documents_required"):
            return {}
        try:
            numbers = {person.id: passports.opened(self._sealing, person) for person in passengers}
        except NotOpened as wrong:
            raise SupplierError(
                "validation_failed", "a passport number on file cannot be opened", sent=False
            ) from wrong
        return {person: number for person, number in numbers.items() if number is not None}

    async def _pay(self, ref: str, offer: FlightOffer, key: str) -> FlightOrder:
        """Pay a held order at the offer's price. It carries the payment's key before it is paid."""
        with _before_sending():
            item = await self._read(ref)
            if not orders.status(item).awaiting_payment or orders.is_cancelled(item):
                return self._paid_already(item, key)
            current = orders.price(item)
            if current != offer.price:
                text = f"the price is now {'unknown' if current is None else current.text}"
                raise SupplierError("conflict", text, reason="price_changed")
            self._remember(key, ref)
            marked = orders.metadata(item) | {orders.PAID_BY: key}
            await self._api.patch(f"/air/orders/{ref}", {"metadata": marked})
        await self._api.write("/air/payments", {"order_id": ref, "payment": orders.payment(offer.price)})
        try:
            return orders.read(await self._read(ref), self._clock.now(), offer)
        except SupplierError:  # it is paid, whatever a second look says
            paid = item | {"payment_status": {"awaiting_payment": False}, "documents": []}
            return orders.read(paid, self._clock.now(), offer)

    def _paid_already(self, item: dict[str, Any], key: str) -> FlightOrder:
        if orders.metadata(item).get(orders.PAID_BY) == key and not orders.is_cancelled(item):
            return orders.read(item, self._clock.now())
        raise SupplierError("conflict", "the hold has expired, was cancelled or was paid before")

    def _outcome(self, item: Any, key: str) -> FlightOrder | None:
        """What the write with this key has done to the order that carries it."""
        if orders.metadata(item).get(orders.KEY) != key and orders.status(item).awaiting_payment:
            return None
        return orders.read(item, self._clock.now())

    def _remember(self, key: str, ref: str) -> None:
        self._paid[key] = ref
        if len(self._paid) > REMEMBERED_PAYMENTS:
            self._paid.popitem(last=False)

    async def _read(self, ref: str) -> dict[str, Any]:
        item = (await self._api.get(f"/air/orders/{ref}"))["data"]
        if not isinstance(item, dict):
            raise SupplierError("permanent", "the supplier's order cannot be read")
        return item

    async def _pages(self, path: str, query: dict[str, str], most: int, *, whole: bool = False) -> AsyncIterator[Any]:
        """The items of a list, page by page. With ``whole`` it is an error if there are more pages than ``most``."""
        after: str | None = None
        for _ in range(most):
            asked = {**query, "limit": str(PAGE)} | ({} if after is None else {"after": after})
            answer = await self._api.get(path, asked)
            items, meta = answer["data"], answer.get("meta")
            if not isinstance(items, list):
                raise SupplierError("permanent", "the supplier's list cannot be read")
            for item in items:
                yield item
            cursor = meta.get("after") if isinstance(meta, dict) else None
            if not isinstance(cursor, str) or not items:
                return
            after = cursor
        if whole:
            raise SupplierError("permanent", "the supplier has more orders than can be looked through")


@contextmanager
def _before_sending() -> Iterator[None]:
    """Errors of requests before a write leave no doubt: it has not been sent."""
    try:
        yield
    except SupplierError as error:
        raise not_sent(error) from error
