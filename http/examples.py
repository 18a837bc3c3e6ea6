"""Example values of JSON schemas, so that every operation of the page has an example."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..actors.domain.events import HEARTBEAT, Event, frame, retry

UUID = "019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b"
FORMATS = {"date-time": "2026-11-23T10:15:02.114209Z", "date": "2026-11-23", "email": "asha@example.com", "uuid": UUID}
NAMED: dict[str, Any] = {
    "email": "asha@example.com",
    "inviter_email": "asha@example.com",
    "password": "mango-trellis-47",
    "current_password": "mango-trellis-47",
    "new_password": "velvet-harbour-93",
    "full_name": "Asha Rao",
    "agency_name": "Meridian Travel",
    "tenant_name": "Meridian Travel",
    "customer_name": "Asha Rao",
    "customer_email": "asha@example.com",
    "customer_phone": "+91 98200 12345",
    "origin": "Mumbai",
    "destination": "Dubai",
    "budget_amount": 45000,
    "budget_currency": "INR",
    "notes": "Two adults, window seats, back before Sunday",
    "currency": "INR",
    "default_currency": "INR",
    "amount": "18400.00",
    "timezone": "Asia/Kolkata",
    "invoice_series": "{fy}/{n:04}",
    "bill_series": "BILL-{n:06}",
    "credit_note_series": "CN-{n:06}",
    "locale": "en",
    "role": "agent",
    "status": "pending",
    "tool_name": "book_flight",
    "title": "Delhi to Mumbai, 1 December",
    "message": "Two seats from Delhi to Mumbai on 1 December",
}
"""Plausible values of fields with these names."""

_AT: Final = datetime(2026, 11, 23, 10, 15, 2, 114209, tzinfo=UTC)
_TURN: Final = "t-5f0c9e1ab27d"
_EVENTS: Final = {
    41: Event(kind="text_delta", turn_id=_TURN, text="Two flights fit. "),
    43: Event(
        kind="approval_request",
        turn_id=_TURN,
        tool_name="book_flight",
        tool_call_id="toolu_7Qk2",
        approval_id=f"ap-{_TURN}-book_flight",
        approval_summary="Book VY 214 DEL-BOM 1 Dec, 2 passengers, INR 18400.00, house",
    ),
    44: Event(kind="final", turn_id=_TURN),
}
FRAMES: Final = b"".join(
    [
        retry(2000),
        frame(_EVENTS[41].data(UUID, _AT), 41),
        HEARTBEAT,
        *(frame(_EVENTS[seq].data(UUID, _AT), seq) for seq in (43, 44)),
    ]
).decode()
"""An event stream as it is sent; event 42, a ``tool_use``, is left out."""

MAX_DEPTH = 12

Schema = Mapping[str, Any]


def request_sample(schema: Schema, schemas: Schema) -> Any:
    """A request body with the fields that have to be there."""
    required = schema.get("required", ())
    return {name: sample(shape, schemas, name) for name, shape in schema["properties"].items() if name in required}


def sample(schema: Schema, schemas: Schema, name: str = "", depth: int = 0) -> Any:
    """A value that the schema allows, by its name, format, choices and bounds."""
    if "$ref" in schema:
        return sample(schemas[schema["$ref"].rpartition("/")[2]], schemas, name, depth + 1)
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], schemas, name, depth)
    for given in (*schema.get("examples", ()), *schema.get("enum", ()), schema.get("const"), schema.get("default")):
        if given is not None:
            return given
    return None if depth > MAX_DEPTH else _by_type(schema, schemas, name, depth)


def _by_type(schema: Schema, schemas: Schema, name: str, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {field: sample(shape, schemas, field, depth + 1) for field, shape in fields.items()}
        case "array":
            return [sample(schema["items"], schemas, name, depth + 1)] if "items" in schema else []
        case "integer":
            return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
        case "number":
            return NAMED.get(name, 1.5)
        case "boolean":
            return True
        case "string":
            return _text(schema, name)
    return {}


def _text(schema: Schema, name: str) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    if name in NAMED:
        return str(NAMED[name])
    if name == "id" or name.endswith("_id"):
        return UUID
    if name.endswith("_at"):
        return FORMATS["date-time"]
    return (name or "text").ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 200)]
