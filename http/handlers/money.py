"""The published schema of a monetary amount."""

from __future__ import annotations

import json
from typing import Any, Final

from ..operation import OBJECT, operation
from ..request_context import Answer, RequestContext

MONEY: Final[dict[str, Any]] = {
    "title": "Money",
    "description": "An amount in one currency. Integers and numeric strings are read; JSON floats are refused.",
    "type": "object",
    "additionalProperties": False,
    "required": ["amount", "currency"],
    "properties": {
        "amount": {
            "title": "Amount",
            "description": "A decimal, which may be negative. Written as a string.",
            "anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"}],
        },
        "currency": {
            "title": "Currency",
            "description": "ISO 4217 code.",
            "type": "string",
            "minLength": 3,
            "maxLength": 3,
            "pattern": "^[A-Z]{3}$",
        },
    },
}

_SCHEMA = json.dumps(MONEY, separators=(",", ":")).encode()


@operation(reply=OBJECT, example=MONEY)
async def money_schema(_call: RequestContext) -> Answer:
    """Return the JSON Schema of a monetary amount."""
    return Answer(_SCHEMA)
