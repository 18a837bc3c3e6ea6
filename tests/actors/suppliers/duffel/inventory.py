"""What the stand-in for Duffel sells, and the rules by which it refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import airportsdata

ROUTES: Mapping[str, str] = {
    "Q01": "the order is answered after 90 s",
    "Q02": "the order is stored, then the line is cut",
    "Q03": "the line is cut before the order is stored",
    "Q04": "the order is stored and answered 500",
    "Q05": "502 order_not_created",
    "Q06": "the order is stored and answered 502 in HTML",
    "Q07": "202, the order appears after 40 s",
    "Q08": "202, the order never appears",
    "Q09": "422 offer_no_longer_available",
    "Q10": "422 duplicate_booking: the order is ours",
    "Q11": "422 duplicate_booking: the order is somebody's",
    "Q12": "422 insufficient_balance",
    "Q13": "the order is stored behind 200 newer ones, then the line is cut",
    "Q14": "the price rises when the offer is read again",
    "Q15": "documents are required",
    "Q16": "the deadline of a hold is not stated",
    "Q17": "the order is stored and answered with half a JSON",
    "Q18": "the order is stored and answered with a body that stops",
    "Q19": "429 for the order",
    "Q20": "the order is in another currency than the offer",
    "Q21": "the cancellation's refund is not stated",
    "Q22": "the cancellation is refunded in airline credits",
    "Q23": "cannot be cancelled",
    "Q24": "most offers are broken or strange",
    "Q25": "429 for the first search",
    "Q26": "500 for searches",
    "Q27": "503 for the first search",
    "Q28": "searches are answered with more than anybody reads",
    "Q29": "searches are answered with half a JSON",
    "Q30": "tickets follow a minute after the order",
    "Q31": "a hold that costs more once its price guarantee has ended",
    "Q32": "the payment is made, then the line is cut",
    "Q33": "the line is cut before the payment is made",
    "Q34": "the cancellation is confirmed, then the line is cut",
    "Q35": "the order is stored, and its answer has neither price nor times",
    "Q36": "searches are answered with a body that stops",
    "Q37": "503 for every search",
    "Q38": "a document other than a passport is required",
}

NAME = re.compile(r"[ \-'A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017f]{1,20}")
EXCLUDED = set("ÆæĲĳŒœÞð")

Json = dict[str, Any]
HALF_HOUR = timedelta(minutes=30)


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, kind: str, code: str, message: str, **headers: str) -> None:
        super().__init__(code)
        self.status, self.kind, self.code, self.message, self.headers = status, kind, code, message, headers


def strange(good: Json) -> list[Any]:
    """Offers that cannot be read, and three that are strange and fine."""
    way = good["slices"][0]["segments"][0]

    def flying(**parts: Any) -> Json:
        return good | {"slices": [{"segments": [way | parts]}]}

    fine = [
        flying(origin=way["origin"] | {"iata_code": "COK", "time_zone": None}),
        good | {"passengers": [each | {"type": "infant_without_seat_v9"} for each in good["passengers"]], "novel": {}},
        flying(passengers=[{"passenger_id": "pas_1", "cabin_class": "suite"}], aircraft=None, operating_carrier=None),
    ]
    broken = [
        None,
        "an offer",
        {"id": "off_x"},
        good | {"partial": True},
        good | {"total_currency": None},
        good | {"total_amount": 100.5},
        good | {"total_amount": "NaN"},
        good | {"id": "off_1/../../air/orders"},
        good | {"expires_at": "2020-01-01T00:00:00Z"},
        good | {"slices": []},
        flying(marketing_carrier={"iata_code": None}),
        flying(origin=way["origin"] | {"iata_code": "QQQ", "time_zone": None}),
        flying(origin=way["origin"] | {"time_zone": "Mars/Olympus", "iata_code": "QQQ"}),
        flying(departing_at="2020-01-01T00:00:00", arriving_at="2020-01-01T02:00:00"),
        flying(arriving_at=way["departing_at"][:11] + "00:00:00"),
    ]
    return broken + fine


def route_of(asked: Json) -> str:
    first = asked["slices"][0]
    return f"{first['origin']}-{first['destination']}"


def goes_to(sold: Json) -> str:
    """The destination of the way out, by which failures are chosen."""
    return str(sold["slices"][0]["segments"][-1]["destination"]["iata_code"])


def young(age: int) -> Json:
    return {"type": "infant_without_seat" if age < 2 else None, "age": age}


_PLACES = airportsdata.load("IATA")


def _place(code: str) -> Json:
    known = _PLACES.get(code)
    return {"iata_code": code, "time_zone": known["tz"] if known else "Europe/London", "type": "airport"}


def segment(start: str, end: str, day: date, hour: int, minutes: int, travellers: list[Json], cabin: str) -> Json:
    origin, destination = _place(start), _place(end)
    leaves = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(origin["time_zone"]))
    arrives = (leaves.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(ZoneInfo(destination["time_zone"]))
    return {
        "id": "seg_1",
        "origin": origin,
        "destination": destination,
        "departing_at": leaves.replace(tzinfo=None).isoformat(),
        "arriving_at": arrives.replace(tzinfo=None).isoformat(),
        "duration": f"PT{minutes // 60}H{minutes % 60}M" if minutes % 60 else f"PT{minutes // 60}H",
        "marketing_carrier": {"iata_code": "ZZ", "name": "Duffel Airways"},
        "marketing_carrier_flight_number": f"{4000 + hour}",
        "operating_carrier": {"iata_code": "ZZ", "name": "Duffel Airways"},
        "aircraft": None,
        "distance": None,
        "stops": [],
        "passengers": [
            {"passenger_id": each["id"], "cabin_class": cabin, "fare_basis_code": "OXZ0", "baggages": []}
            for each in travellers
        ],
    }


def _check_passenger(sent: Json) -> None:
    for name in ("title", "given_name", "family_name", "gender", "born_on", "email", "phone_number"):
        if not sent.get(name):
            raise invalid(f"{name} is required")
    if sent["gender"] not in ("m", "f") or sent["title"] not in ("mr", "mrs", "ms", "miss", "dr"):
        raise invalid("gender or title is wrong")
    for name in ("given_name", "family_name"):
        if not NAME.fullmatch(sent[name]) or EXCLUDED & set(sent[name]):
            raise invalid(f"{name} has wrong characters")


def invalid(message: str) -> Refused:
    return Refused(422, "validation_error", "validation_required", message)


def failed() -> Refused:
    return Refused(500, "api_error", "internal_server_error", "Something went wrong")


def unknown() -> Refused:
    return Refused(404, "invalid_request_error", "not_found", "There is no such thing")


def gone() -> Refused:
    return Refused(422, "invalid_state_error", "offer_no_longer_available", "The offer is no longer available")


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_order(asked: Json, offer: Json) -> None:
    _check_payment(asked, offer)
    _check_metadata(asked.get("metadata", {}))
    sent = {each["id"]: each for each in asked["passengers"]}
    if sorted(sent) != sorted(each["id"] for each in offer["passengers"]):
        raise invalid("the passengers are not the offer's")
    for each in asked["passengers"]:
        _check_passenger(each)
    if offer["passenger_identity_documents_required"]:
        _check_documents(asked["passengers"], offer)
    infants = {each["id"] for each in offer["passengers"] if each.get("age") is not None and each["age"] < 2}
    carried = [each["infant_passenger_id"] for each in asked["passengers"] if "infant_passenger_id" in each]
    if sorted(carried) != sorted(infants):
        raise invalid("each infant has an adult of its own")
    names = [(each["given_name"], each["family_name"]) for each in asked["passengers"]]
    if len(set(names)) < len(names):
        raise Refused(422, "validation_error", "duplicate_passenger_name", "Two passengers have one name")


def _check_documents(passengers: list[Json], offer: Json) -> None:
    taken = offer["supported_passenger_identity_document_types"]
    lands = offer["slices"][-1]["segments"][-1]["arriving_at"][:10]
    for each in passengers:
        documents = each.get("identity_documents", [])
        if len(documents) != 1 or documents[0]["type"] not in taken:
            raise invalid("documents are required")
        if (
            not re.fullmatch("[A-Z]{2}", documents[0]["issuing_country_code"] or "")
            or documents[0]["expires_on"] < lands
        ):
            raise invalid("the document has no issuer, or ends before the journey")


def _check_metadata(metadata: dict[str, str]) -> None:
    for key, value in metadata.items():
        if len(metadata) > 50 or not re.fullmatch("[A-Za-z0-9_-]{1,40}", key) or len(value) > 500:
            raise invalid("metadata is too long")


def _check_payment(asked: Json, offer: Json) -> None:
    if asked["type"] not in ("instant", "hold"):
        raise Refused(422, "validation_error", "invalid_order_create_type", "The type is wrong")
    if asked["type"] == "hold":
        if offer["payment_requirements"]["requires_instant_payment"] or "payments" in asked:
            raise invalid("this offer is paid at once")
    else:
        paid = [(each["amount"], each["currency"]) for each in asked["payments"]]
        if paid != [(offer["total_amount"], offer["total_currency"])]:
            raise invalid("the payment is not the offer's price")
