"""The OpenAPI 3.1 document, made of the route table and the wire models alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from inspect import getdoc
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .guards import Guard
from .route import EVENT_STREAM, JSON, Route
from .schemas.shared import Refused

TITLE = "Voyagent API"
REF = "#/components/schemas/{model}"
BEARER = "bearer"
METRICS = "metrics-token"

BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}

Json = dict[str, Any]

SECURITY_SCHEMES: Json = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "An access token, or an API key that begins `vy_`."},
    METRICS: {"type": "apiKey", "in": "header", "name": "X-Voyagent-Metrics-Token"},
}

VALIDATION: Json = {
    "HTTPValidationError": {
        "type": "object",
        "title": "HTTPValidationError",
        "description": "What is wrong with the request: a list of its mistakes, or the code of the rule it breaks.",
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
        "description": "One mistake. What was sent is never repeated.",
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

AWAY = ("storage_unavailable", "overloaded", "deadline_exceeded")


def document(routes: Iterable[Route], version: str) -> Json:
    """Paths in the order of the table, schemas by name."""
    shown = [route for route in routes if not route.hidden]
    paths: Json = {}
    for route in shown:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": version,
            "description": "The backend of an agency operating system for travel agencies.",
        },
        "paths": paths,
        "components": {"schemas": _schemas(shown), "securitySchemes": SECURITY_SCHEMES},
    }


def operation(route: Route) -> Json:
    """One operation of the document."""
    words = getdoc(route.handler) or ""
    told: Json = {
        "operationId": route.operation_id,
        "summary": words.partition("\n")[0].rstrip("."),
        "description": words,
        "parameters": parameters(route),
        "responses": responses(route),
    }
    if route.tag is not None:
        told["tags"] = [route.tag]
    if route.body is not None:
        told["requestBody"] = _request_body(route.body, required=route.body_required)
    if route.guard.needs_bearer:
        told["security"] = [{BEARER: []}]
    if route.guard.needs_token:
        told["security"] = [{METRICS: []}, {BEARER: []}, {}]
    if route.addition:
        told["x-voyagent-addition"] = True
    return told


def parameters(route: Route) -> list[Json]:
    """What the path, the query and the headers carry."""
    text = {"type": "string"}
    listed: list[Json] = [{"name": name, "in": "path", "required": True, "schema": text} for name in route.parameters]
    if route.query is not None:
        schema = route.query.model_json_schema(by_alias=True, ref_template=REF)
        required = schema.get("required", ())
        listed += [
            {"name": name, "in": "query", "required": name in required, "schema": _bounded(shape)}
            for name, shape in schema["properties"].items()
        ]
    headers = dict(route.headers)
    if route.guard.needs_bearer:
        headers["authorization"] = "`Bearer` and an access token or API key."
    if route.idempotent:
        headers["Idempotency-Key"] = "1 to 255 printable ASCII characters; the same key and body get the same answer."
    listed += [
        {"name": name, "in": "header", "required": False, "schema": text, "description": says}
        for name, says in headers.items()
    ]
    return listed


def _bounded(schema: Json) -> Json:
    """Bounds behind a validator are named by pydantic in its own words; here in those of JSON Schema."""
    return {BOUNDS.get(name, name): value for name, value in schema.items()}


def responses(route: Route) -> Json:
    """The success and every refusal, each with its codes."""
    told: Json = {str(route.status): _success(route)}
    for status, codes in sorted(refusals(route).items()):
        shape = ["a list of mistakes"] if status == HTTPStatus.UNPROCESSABLE_ENTITY else []
        schema = REF.format(
            model="HTTPValidationError" if status == HTTPStatus.UNPROCESSABLE_ENTITY else Refused.__name__
        )
        told[str(status)] = {
            "description": ", ".join([*shape, *(f"`{code}`" for code in codes)]),
            "content": {JSON: {"schema": {"$ref": schema}}},
        }
    return told


def refusals(route: Route) -> dict[int, tuple[str, ...]]:
    """Every status but the success, with its codes: the guard's, the decoding's, the handler's own."""
    found: dict[int, tuple[str, ...]] = {}
    answers_for_itself = not (route.guard.needs_bearer or route.tag)
    sources: list[Mapping[int, Sequence[str]]] = [route.guard.refusals, route.refusals]
    if route.body is not None:
        sources.append({413: ("body_too_large",), 415: ("unsupported_content_encoding",)})
    if route.guard.needs_bearer or route.body or route.query or route.parameters:
        sources.append({422: ()})
    if route.idempotent:
        sources.append({409: ("idempotency_key_in_flight",)})
        sources.append({422: ("invalid_idempotency_key", "idempotency_key_reused")})
    if not answers_for_itself:
        sources.append({503: AWAY})
    for source in sources:
        for status, codes in source.items():
            found[status] = (*found.get(status, ()), *codes)
    return found


def _success(route: Route) -> Json:
    told: Json = {"description": HTTPStatus(route.status).phrase}
    if route.media == EVENT_STREAM:
        told["content"] = {EVENT_STREAM: {"schema": {"type": "string"}}}
    elif isinstance(route.reply, Mapping):
        told["content"] = {route.media: {"schema": dict(route.reply)}}
    elif route.reply is not None:
        told["content"] = {route.media: {"schema": {"$ref": REF.format(model=route.reply.__name__)}}}
    return told


def _request_body(model: type[BaseModel], *, required: bool) -> Json:
    schema: Json = {"$ref": REF.format(model=model.__name__)}
    if required:
        return {"required": True, "content": {JSON: {"schema": schema}}}
    return {"content": {JSON: {"schema": {"anyOf": [schema, {"type": "null"}]}}}}


def _schemas(routes: Sequence[Route]) -> Json:
    models: list[type[BaseModel]] = [Refused]
    for route in routes:
        models += [model for model in (route.body, route.reply) if isinstance(model, type)]
    _, made = models_json_schema([(model, "validation") for model in dict.fromkeys(models)], ref_template=REF)
    return dict(sorted({**made.get("$defs", {}), **VALIDATION}.items()))


def guard_words(guard: Guard) -> str:
    """Who may call it, for readers of the page."""
    if guard.needs_token:
        return "operators: the metrics token, or this machine"
    return "a bearer" if guard.needs_bearer else "everybody"
