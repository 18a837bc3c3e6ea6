"""Orders, payments and cancellations of the stand-in for Duffel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from tests.actors.suppliers.duffel.broken_answers import Cut, Half, Html, Stopping
from tests.actors.suppliers.duffel.inventory import (
    HALF_HOUR,
    Json,
    Refused,
    check_order,
    failed,
    goes_to,
    gone,
    invalid,
    iso,
    unknown,
)
from tests.actors.suppliers.duffel.world import Account, World


class Orders(World):
    """Handlers of what has an effect."""

    async def order(self, request: web.Request) -> tuple[Any, int]:
        account, asked = self._of(request), await self._data(request)
        offer = account.offers.get(asked["selected_offers"][0])
        if offer is None:
            raise unknown()
        if offer["expires_at"] <= iso(self.clock.now()):
            raise gone()
        check_order(asked, offer)
        return await self._store(account, asked, offer, goes_to(offer))

    async def _store(self, account: Account, asked: Json, offer: Json, row: str) -> tuple[Any, int]:
        self._refuse("Q12" if account.is_empty else row)
        if row == "Q03":
            raise Cut
        if row in ("Q07", "Q08"):
            if row == "Q07":
                self._later(40, lambda: self.made(account, asked, offer))
            return {}, 202
        await self.clock.sleep(90 if row == "Q01" else 0)
        order = None if row == "Q11" else self.made(account, asked, offer)
        if order is None or row == "Q10":
            raise Refused(422, "airline_error", "duplicate_booking", "There is such a booking already")
        for _ in range(200 if row == "Q13" else 0):
            self.made(account, asked | {"metadata": {}}, offer)
        if row in BREAKING:
            broken_by = BREAKING[row]()
            raise broken_by
        return _strange(order, row), 201

    def _refuse(self, row: str) -> None:
        if row == "Q05":
            raise Refused(502, "airline_error", "order_not_created", "The airline did not create the order")
        if row == "Q09":
            raise gone()
        if row == "Q12":
            raise Refused(
                422, "invalid_state_error", "insufficient_balance", "The balance is not sufficient for this order"
            )
        if row == "Q19":
            raise Refused(
                429,
                "rate_limit_error",
                "rate_limit_exceeded",
                "Too many requests",
                **{"ratelimit-reset": self._date(20)},
            )

    def made(self, account: Account, asked: Json, offer: Json) -> Json:
        now, hold = self.clock.now(), asked["type"] == "hold"
        terms = offer["payment_requirements"]
        order: Json = {
            "id": self._id("ord"),
            "booking_reference": f"RZ{next(self._ids):04d}"[-6:],
            "total_amount": offer["total_amount"],
            "total_currency": offer["total_currency"],
            "slices": offer["slices"],
            "passengers": [dict(each) for each in asked["passengers"]],
            "metadata": dict(asked.get("metadata", {})),
            "payment_status": {
                "awaiting_payment": hold,
                "payment_required_by": terms["payment_required_by"] if hold else None,
                "price_guarantee_expires_at": terms["price_guarantee_expires_at"] if hold else None,
                "paid_at": None if hold else iso(now),
            },
            "documents": [],
            "available_actions": [] if goes_to(offer) == "Q23" else ["cancel", "update"],
            "cancelled_at": None,
            "cancellation": None,
            "created_at": iso(now),
            "synced_at": iso(now),
            "guaranteed_until": terms["price_guarantee_expires_at"],
        }
        account.orders[order["id"]] = order
        if not hold:
            self._ticket(order)
        return order

    def _ticket(self, order: Json) -> None:
        if goes_to(order) == "Q30":
            self._later(60, lambda: self._documents(order))
        else:
            self._documents(order)

    def _documents(self, order: Json) -> None:
        whose = [each["id"] for each in order["passengers"]]
        order["documents"] = [
            {"type": "electronic_ticket", "unique_identifier": f"125{next(self._ids):010d}", "passenger_ids": [each]}
            for each in whose
        ]
        order["documents"].append(
            {
                "type": "electronic_miscellaneous_document_associated",
                "unique_identifier": "1252106312810",
                "passenger_ids": whose,
            }
        )

    async def orders(self, request: web.Request) -> tuple[Any, int, Json]:
        return self._page(request, list(reversed(self._of(request).orders.values())))

    def _known(self, request: web.Request, ref: str) -> Json:
        order: Json | None = self._of(request).orders.get(ref)
        if order is None:
            raise unknown()
        raised = goes_to(order) == "Q31" and order["payment_status"]["awaiting_payment"]
        if raised and order["guaranteed_until"] <= iso(self.clock.now()):
            order["total_amount"] = "301.20"
        return order

    async def read(self, request: web.Request) -> tuple[Any, int]:
        return self._known(request, request.match_info["id"]), 200

    async def patch(self, request: web.Request) -> tuple[Any, int]:
        order = self._known(request, request.match_info["id"])
        order["metadata"] = (await self._data(request))["metadata"]
        return order, 200

    async def pay(self, request: web.Request) -> tuple[Any, int]:
        asked = await self._data(request)
        order, account = self._known(request, asked["order_id"]), self._of(request)
        status = order["payment_status"]
        if not status["awaiting_payment"] or status["payment_required_by"] <= iso(self.clock.now()):
            raise Refused(422, "invalid_state_error", "past_payment_required_by_date", "It cannot be paid any more")
        if (asked["payment"]["amount"], asked["payment"]["currency"]) != (
            order["total_amount"],
            order["total_currency"],
        ):
            raise invalid("the payment is not the order's price")
        if goes_to(order) == "Q33":
            raise Cut
        account.payments += 1
        order["payment_status"] = status | {"awaiting_payment": False, "paid_at": iso(self.clock.now())}
        self._ticket(order)
        if goes_to(order) == "Q32":
            raise Cut
        return {"id": self._id("pay"), "amount": asked["payment"]["amount"]}, 201

    async def quote(self, request: web.Request) -> tuple[Any, int]:
        account = self._of(request)
        order = self._known(request, (await self._data(request))["order_id"])
        if order["cancelled_at"] is not None:
            raise Refused(422, "invalid_state_error", "already_cancelled", "The order has been cancelled")
        row, unpaid = goes_to(order), order["payment_status"]["awaiting_payment"]
        refund = "0.00" if unpaid else f"{Decimal(order['total_amount']) - 30:.2f}"
        quote = {
            "id": self._id("ore"),
            "order_id": order["id"],
            "refund_amount": None if row in ("Q21", "Q22") else refund,
            "refund_currency": None if row in ("Q21", "Q22") else order["total_currency"],
            "refund_to": "airline_credits" if row == "Q22" else "awaiting_payment" if unpaid else "balance",
            "airline_credits": [{"credit_amount": "70.00", "credit_currency": "GBP"}] if row == "Q22" else [],
            "expires_at": iso(self.clock.now() + HALF_HOUR),
            "confirmed_at": None,
        }
        account.cancellations[quote["id"]] = quote
        return quote, 201

    async def read_quote(self, request: web.Request) -> tuple[Any, int]:
        quote = self._of(request).cancellations.get(request.match_info["id"])
        if quote is None:
            raise unknown()
        return quote, 200

    async def confirm(self, request: web.Request) -> tuple[Any, int]:
        account = self._of(request)
        quote, _ = await self.read_quote(request)
        order = self._known(request, quote["order_id"])
        newest = [each for each in account.cancellations.values() if each["order_id"] == order["id"]][-1]
        if order["cancelled_at"] is not None:
            raise Refused(422, "invalid_state_error", "already_cancelled", "The order has been cancelled")
        if newest is not quote or quote["expires_at"] <= iso(self.clock.now()):
            raise Refused(
                422, "invalid_state_error", "unsupported_action", "The quote has been replaced or has expired"
            )
        quote["confirmed_at"] = order["cancelled_at"] = iso(self.clock.now())
        if goes_to(order) == "Q34":
            raise Cut
        return quote, 200


def _strange(order: Json, row: str) -> Json:
    if row == "Q20":
        order |= {"total_amount": "149.50", "total_currency": "EUR"}
    if row == "Q35":
        return {"id": order["id"], "booking_reference": order["booking_reference"], "slices": [{"segments": 7}]}
    return order


BREAKING: Mapping[str, Callable[[], Exception]] = {
    "Q02": Cut,
    "Q13": Cut,
    "Q04": failed,
    "Q06": lambda: Html(502),
    "Q17": Half,
    "Q18": Stopping,
}
"""How the answer to a stored order breaks."""
