"""The JSON schemas of the events that a conversation's stream carries, one per kind (docs/contract/business.md 3.3)."""

from __future__ import annotations

from typing import Any, Final

from ..actors.domain.events import KEYS, Kind

Json = dict[str, Any]

REF: Final = "#/components/schemas/{model}"
EVENT: Final = "AgentEvent"

_TEXT: Final[Json] = {"type": "string"}
_WORDS: Final[Json] = {"type": "string", "minLength": 1}
_OBJECT: Final[Json] = {"type": "object", "additionalProperties": True}
_NULL: Final[Json] = {"type": "null"}
_MAYBE: Final[Json] = {"type": ["string", "null"]}

_CALL: Final = {"tool_name": _WORDS, "tool_call_id": _WORDS}
_DECIDED: Final = {**_CALL, "approval_id": _WORDS}

USED: Final[dict[Kind, Json]] = {
    "text_delta": {"text": _WORDS},
    "tool_use": {**_CALL, "tool_input": _OBJECT},
    "tool_result": {**_CALL, "tool_output": _OBJECT},
    "approval_request": {**_DECIDED, "approval_summary": _WORDS},
    "approval_granted": _DECIDED,
    "approval_denied": {
        **_DECIDED,
        "error_message": {"type": "string", "enum": ["rejected", "expired", "withdrawn"]},
        "text": _MAYBE,
    },
    "error": {"error_message": _WORDS},
    "final": {},
}
"""What each kind carries besides the first four keys; its other keys are null."""

MEANINGS: Final[dict[Kind, str]] = {
    "text_delta": "Words of the answer, as they are written. The deltas of a message, joined, are the message.",
    "tool_use": "The model asks for a tool. Sensitive fields of the input are masked.",
    "tool_result": "A tool has answered. A failure has the key `error` in its output.",
    "approval_request": "A tool call waits for a person's decision: `POST /approvals/{approval_id}/resolve`.",
    "approval_granted": "The call was approved and runs.",
    "approval_denied": "The call was rejected, or its approval expired or was withdrawn. `text` is the reason, if any.",
    "error": "Something failed. `error_message` begins with a stable code.",
    "final": "The pass has ended. A stream that answers a message closes after it.",
}


def name(kind: Kind) -> str:
    """The name of a kind's schema, such as ``TextDeltaEvent``."""
    return "".join(word.capitalize() for word in kind.split("_")) + "Event"


def schemas() -> Json:
    """The schemas by name: ``AgentEvent``, which is one of the others, told apart by ``kind``."""
    every: Json = {
        EVENT: {
            "title": EVENT,
            "description": "The data of an `agent_event`: one JSON object on one line. All twelve keys are present.",
            "oneOf": [{"$ref": REF.format(model=name(kind))} for kind in USED],
            "discriminator": {
                "propertyName": "kind",
                "mapping": {kind: REF.format(model=name(kind)) for kind in USED},
            },
        }
    }
    return every | {name(kind): _schema(kind) for kind in USED}


def _schema(kind: Kind) -> Json:
    known: Json = {
        "kind": {"type": "string", "const": kind},
        "session_id": {"type": "string", "format": "uuid"},
        "turn_id": {**_TEXT, "description": "`t-` and 12 hexadecimal digits; `replay` or `error` outside the log."},
        "timestamp": {"type": "string", "format": "date-time"},
        **USED[kind],
    }
    return {
        "title": name(kind),
        "description": MEANINGS[kind],
        "type": "object",
        "additionalProperties": False,
        "required": list(KEYS),
        "properties": {key: known.get(key, _NULL) for key in KEYS},
    }
