"""The responses of an operation in the OpenAPI document: the success, and every error status with its codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel

from . import event_schemas
from .error_codes import MEANINGS
from .examples import FRAMES, UUID, sample
from .operation import EVENT_STREAM, JSON, THROTTLED
from .route import Route
from .schemas.shared import Crashed, PasswordTooWeak, Refused

Json = dict[str, Any]

REF: Final = "#/components/schemas/{model}"
CODES: Final = "x-voyagent-codes"
"""On a response: the error codes its ``detail`` may be."""
EVENTS: Final = "x-voyagent-events"
"""On an event stream: its types of events, with the schema of their data. OpenAPI 3.1 has no place of its own."""
MODELS: Final[tuple[type[BaseModel], ...]] = (Refused, PasswordTooWeak, Crashed)

HEADERS: Final[Json] = {
    "RequestId": {
        "description": "The request's id: the client's own if it sent a well-formed one. In log and audit trail, too.",
        "schema": {"type": "string"},
        "example": UUID,
    },
    "RetryAfter": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "Authenticate": {"description": "Always `Bearer`.", "schema": {"type": "string"}, "example": "Bearer"},
    "Location": {"description": "The path of what was created.", "schema": {"type": "string"}},
    "Replayed": {
        "description": "`true` if the request was executed earlier, under the same `Idempotency-Key`.",
        "schema": {"type": "string", "const": "true"},
        "example": "true",
    },
    "Disposition": {
        "description": "The name of the file.",
        "schema": {"type": "string"},
        "example": 'attachment; filename="voyagent-audit-019712ab-2026-11-23.csv"',
    },
    "OtherCurrencies": {
        "description": "The further currencies of the days, which are not in the file; empty if there are none.",
        "schema": {"type": "string"},
        "example": "AED, USD",
    },
}

VALIDATION: Final[Json] = {
    "HTTPValidationError": {
        "type": "object",
        "title": "HTTPValidationError",
        "description": "The validation errors of the request as a list, or the code of the rule it violates.",
        "properties": {
            "detail": {
                "title": "Detail",
                "anyOf": [
                    {"type": "array", "items": {"$ref": REF.format(model="ValidationError")}},
                    {"type": "string"},
                ],
            }
        },
    },
    "ValidationError": {
        "type": "object",
        "title": "ValidationError",
        "description": "A validation error. The rejected value is never included.",
        "required": ["loc", "msg", "type"],
        "properties": {
            "loc": {
                "type": "array",
                "title": "Location",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            },
            "msg": {"type": "string", "title": "Message"},
            "type": {"type": "string", "title": "Error Type"},
            "ctx": {"type": "object", "title": "Context"},
        },
    },
}

DEPENDENCY_UNAVAILABLE: Final = ("storage_unavailable", "overloaded", "deadline_exceeded")

BODY: Final[Mapping[int, tuple[str, ...]]] = {
    408: ("request_timeout",),
    413: ("body_too_large",),
    415: ("unsupported_content_encoding",),
}
"""Errors of reading a request body."""

DEFECT: Final[Mapping[int, tuple[str, ...]]] = {500: ("internal_error",)}

MALFORMED: Final[Json] = {"detail": [{"type": "missing", "loc": ["body"], "msg": "Field required"}]}
"""An example of a list of validation errors."""


def responses(route: Route, schemas: Json) -> Json:
    """The success and every error status."""
    by_status: Json = {str(route.status): _success(route, schemas)}
    if route.operation.empty:
        by_status["204"] = {"description": route.operation.empty, "headers": _headers("RequestId")}
    for status, codes in sorted(refusals(route).items()):
        by_status[str(status)] = _error(status, codes)
    return by_status


def refusals(route: Route) -> dict[int, tuple[str, ...]]:
    """Every error status with its codes: of the guard, of decoding, of the handler, and of a defect."""
    found: dict[int, tuple[str, ...]] = {}
    needs_dependencies = route.guard.needs_bearer or route.tag is not None
    sources: list[Mapping[int, Sequence[str]]] = [route.guard.refusals, route.operation.refusals]
    if route.operation.body is not None:
        sources.append(BODY)
    if route.guard.needs_bearer or route.operation.body or route.operation.query or route.parameters:
        sources.append({422: ()})
    if route.counts_malformed:
        sources.append(THROTTLED)
    if route.idempotent:
        sources.append({409: ("idempotency_key_in_flight",)})
        sources.append({422: ("invalid_idempotency_key", "idempotency_key_reused")})
    if needs_dependencies:
        sources.append({503: DEPENDENCY_UNAVAILABLE})
    for source in (*sources, DEFECT):
        for status, codes in source.items():
            found[status] = tuple(dict.fromkeys((*found.get(status, ()), *codes)))
    return found


def _success(route: Route, schemas: Json) -> Json:
    headers = ["RequestId", *route.operation.reply_headers, *(["Replayed"] if route.idempotent else [])]
    success: Json = {"description": HTTPStatus(route.status).phrase, "headers": _headers(*headers)}
    media, reply, example = route.operation.media, route.operation.reply, route.operation.example
    if media == EVENT_STREAM:
        success["content"] = {EVENT_STREAM: _stream()}
        return success
    if reply is None:
        return success
    schema = dict(reply) if isinstance(reply, Mapping) else {"$ref": REF.format(model=reply.__name__)}
    success["content"] = {media: {"schema": schema, "example": sample(schema, schemas) if example is None else example}}
    return success


def _stream() -> Json:
    return {
        "schema": {"type": "string"},
        "example": FRAMES,
        EVENTS: {
            "agent_event": {
                "description": "An event of the conversation. Its `id` is the cursor for `Last-Event-ID`; one without "
                "is for this viewer alone.",
                "data": {"$ref": REF.format(model=event_schemas.EVENT)},
            },
            "heartbeat": {"description": "Sent after 15 seconds of silence, without id.", "data": {"const": ""}},
        },
    }


def _error(status: int, codes: Sequence[str]) -> Json:
    lists = status == HTTPStatus.UNPROCESSABLE_ENTITY
    described = ", ".join([*(["a list of validation errors"] if lists else []), *(f"`{code}`" for code in codes)])
    examples: Json = {"validation": {"summary": "What is wrong with the request.", "value": MALFORMED}} if lists else {}
    examples |= {code: {"summary": MEANINGS[code], "value": _body(status, code)} for code in codes}
    also = {
        HTTPStatus.UNAUTHORIZED: ("Authenticate",),
        HTTPStatus.TOO_MANY_REQUESTS: ("RetryAfter",),
        HTTPStatus.SERVICE_UNAVAILABLE: ("RetryAfter",),
    }
    return {
        "description": described,
        "headers": _headers("RequestId", *also.get(HTTPStatus(status), ())),
        "content": {JSON: {"schema": _schema(status, codes), "examples": examples}},
        CODES: list(codes),
    }


def _schema(status: int, codes: Sequence[str]) -> Json:
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return {"$ref": REF.format(model="HTTPValidationError")}
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return {"$ref": REF.format(model=Crashed.__name__)}
    if PASSWORD_TOO_WEAK not in codes:
        return {"$ref": REF.format(model=Refused.__name__)}
    weak = {"$ref": REF.format(model=PasswordTooWeak.__name__)}
    return weak if len(codes) == 1 else {"anyOf": [weak, {"$ref": REF.format(model=Refused.__name__)}]}


PASSWORD_TOO_WEAK: Final = "password_too_weak"  # noqa: S105 -- a code


def _body(status: int, code: str) -> Json:
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return {"detail": code, "request_id": UUID}
    return {"detail": {"error": code, "code": "password_common"} if code == PASSWORD_TOO_WEAK else code}


def _headers(*names: str) -> Json:
    sent = {
        "RequestId": "X-Request-ID",
        "RetryAfter": "Retry-After",
        "Authenticate": "WWW-Authenticate",
        "Location": "Location",
        "Replayed": "Idempotency-Replayed",
        "Disposition": "Content-Disposition",
        "OtherCurrencies": "X-Voyagent-Other-Currencies",
    }
    return {sent[name]: {"$ref": f"#/components/headers/{name}"} for name in names}
