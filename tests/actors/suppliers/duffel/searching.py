"""Searches and offers of the stand-in for Duffel."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from aiohttp import web

from tests.actors.suppliers.duffel.broken_answers import HANG, Endless, Half, Stopping
from tests.actors.suppliers.duffel.inventory import (
    HALF_HOUR,
    Json,
    Refused,
    failed,
    goes_to,
    gone,
    invalid,
    iso,
    route_of,
    segment,
    strange,
    unknown,
    young,
)
from tests.actors.suppliers.duffel.world import Account, World


class Searches(World):
    """Handlers of offer requests and offers."""

    async def search(self, request: web.Request) -> tuple[Any, int]:
        account, asked = self._of(request), await self._data(request)
        route = route_of(asked)
        await self._search_fails(account, asked["slices"][0]["destination"], route)
        for passenger in asked["passengers"]:
            if ("type" in passenger) == ("age" in passenger) or passenger.get("type", "adult") != "adult":
                raise invalid("a passenger has a type or an age")
        made = [] if route == "PVD-RAI" else self.found(asked, route)
        request_id = self._id("orq")
        for offer in made if account.wants_documents else ():
            offer["passenger_identity_documents_required"] = True
        for offer in made:
            if isinstance(offer, dict) and "id" in offer:
                account.offers[offer["id"]] = offer
        account.requests[request_id] = made
        return {"id": request_id, "live_mode": False}, 201

    async def _search_fails(self, account: Account, destination: str, route: str) -> None:
        times = account.seen[route] = account.seen.get(route, 0) + 1
        if route == "STN-LHR":
            await self.clock.sleep(HANG)
        if destination == "Q25" and times == 1:
            raise Refused(
                429,
                "rate_limit_error",
                "rate_limit_exceeded",
                "Too many requests",
                **{"ratelimit-reset": self._date(7)},
            )
        if destination == "Q26":
            raise failed()
        if destination == "Q37" or (destination == "Q27" and times == 1):
            raise Refused(503, "api_error", "unavailable", "Not now")
        if destination == "Q28":
            raise Endless
        if destination == "Q29":
            raise Half
        if destination == "Q36":
            raise Stopping

    def found(self, asked: Json, route: str) -> list[Any]:
        travellers = [
            {"id": self._id("pas"), **({"type": "adult", "age": None} if "type" in each else young(each["age"]))}
            for each in asked["passengers"]
        ]
        destination = asked["slices"][0]["destination"]
        offers = [self._offer(asked, travellers, place, route) for place in range(3)]
        if destination == "Q24":
            offers += strange(offers[0])
        if destination in ("Q15", "Q38"):
            for offer in offers:
                offer["passenger_identity_documents_required"] = True
                offer["supported_passenger_identity_document_types"] = [
                    "passport" if destination == "Q15" else "tax_id"
                ]
        return offers

    def _offer(self, asked: Json, travellers: list[Json], place: int, route: str) -> Json:
        destination = asked["slices"][0]["destination"]
        now = self.clock.now()
        amount = Decimal("100.00") * len(travellers) + 25 * place
        amount, money = (Decimal("287.58"), "AUD") if destination == "Q31" and place == 0 else (amount, "GBP")
        terms: Json = {
            "requires_instant_payment": place == 2 and route != "JFK-EWR",
            "payment_required_by": iso(now + timedelta(hours=72)),
            "price_guarantee_expires_at": iso(now + timedelta(hours=48)),
        }
        if destination == "Q16":
            terms["payment_required_by"] = None
        if terms["requires_instant_payment"]:
            terms |= {"payment_required_by": None, "price_guarantee_expires_at": None}
        return {
            "id": self._id("off"),
            "live_mode": False,
            "partial": False,
            "created_at": iso(now),
            "expires_at": iso(now + HALF_HOUR),
            "total_amount": f"{amount:.2f}",
            "total_currency": money,
            "base_amount": f"{amount:.2f}",
            "base_currency": money,
            "tax_amount": None,
            "tax_currency": None,
            "owner": {"iata_code": "ZZ", "name": "Duffel Airways"},
            "payment_requirements": terms,
            "passenger_identity_documents_required": False,
            "supported_passenger_identity_document_types": ["passport"],
            "conditions": {"change_before_departure": {"allowed": True, "penalty_currency": "EUR"}},
            "passengers": travellers,
            "slices": [self._slice(each, travellers, asked, place, route) for each in asked["slices"]],
            "comparison_key": "abc",
            "ngs_shelf": 1,
        }

    def _slice(self, asked: Json, travellers: list[Json], whole: Json, place: int, route: str) -> Json:
        day, start, end = date.fromisoformat(asked["departure_date"]), asked["origin"], asked["destination"]
        stops = 1 if route in ("DXB-AMS", "LHR-DXB") and whole.get("max_connections", 1) else 0
        cabin = whole.get("cabin_class", "economy")
        if not stops:
            return {"segments": [segment(start, end, day, 10 + place, 120, travellers, cabin)]}
        first = segment(start, "FRA", day, 8, 120, travellers, cabin)
        return {"segments": [first, segment("FRA", end, day, 18, 120, travellers, cabin)]}

    async def offers(self, request: web.Request) -> tuple[Any, int, Json]:
        made = self._of(request).requests.get(request.query.get("offer_request_id", ""))
        if made is None:
            raise unknown()
        return self._page(request, made)

    async def offer(self, request: web.Request) -> tuple[Any, int]:
        account = self._of(request)
        offer = account.offers.get(request.match_info["id"])
        if offer is None:
            raise unknown()
        if offer["expires_at"] <= iso(self.clock.now()):
            raise gone()
        if goes_to(offer) == "Q14" and not account.reads.get(offer["id"]):
            account.reads[offer["id"]] = 1
            offer["total_amount"] = f"{Decimal(offer['total_amount']) + 19:.2f}"
        return offer, 200
