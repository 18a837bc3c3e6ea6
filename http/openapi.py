"""The OpenAPI 3.1 document, generated from the route table and the schemas alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from inspect import getdoc
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from .guards import Guard
from .operation import EVENT_STREAM, JSON, THROTTLED
from .route import Route
from .schemas.shared import Refused

TITLE = "Voyagent API"
REF = "#/components/schemas/{model}"
BEARER = "bearer"
METRICS = "metrics-token"

BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}

Json = dict[str, Any]

SECURITY_SCHEMES: Json = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "An access token, or an API key (prefix `vy_`)."},
    METRICS: {"type": "apiKey", "in": "header", "name": "X-Voyagent-Metrics-Token"},
}

VALIDATION: Json = {
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

DEPENDENCY_UNAVAILABLE = ("storage_unavailable", "overloaded", "deadline_exceeded")

BODY: Mapping[int, tuple[str, ...]] = {
    408: ("request_timeout",),
    413: ("body_too_large",),
    415: ("unsupported_content_encoding",),
}
"""Errors of reading a request body."""


class Schemas(GenerateJsonSchema):
    """JSON schemas without ``"default": null``: some fields that may be omitted cannot be null."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        made = super().default_schema(schema)
        return {name: value for name, value in made.items() if (name, value) != ("default", None)}


def document(routes: Iterable[Route], version: str) -> Json:
    """The document: paths in the order of the route table, schemas sorted by name."""
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
    declared = route.operation
    text = getdoc(declared.handler) or ""
    described: Json = {
        "operationId": route.operation_id,
        "summary": text.partition("\n")[0].rstrip("."),
        "description": text,
        "parameters": parameters(route),
        "responses": responses(route),
    }
    if route.tag is not None:
        described["tags"] = [route.tag]
    if declared.body is not None:
        described["requestBody"] = _request_body(declared.body, required=declared.body_required)
    if route.guard.needs_bearer:
        described["security"] = [{BEARER: []}]
    if route.guard.needs_token:
        described["security"] = [{METRICS: []}, {BEARER: []}, {}]
    if declared.addition:
        described["x-voyagent-addition"] = True
    return described


def parameters(route: Route) -> list[Json]:
    """The parameters in the path, the query and the headers."""
    text = {"type": "string"}
    listed: list[Json] = [{"name": name, "in": "path", "required": True, "schema": text} for name in route.parameters]
    if route.operation.query is not None:
        schema = route.operation.query.model_json_schema(ref_template=REF, schema_generator=Schemas)
        required = schema.get("required", ())
        listed += [
            {"name": name, "in": "query", "required": name in required, "schema": _bounded(shape)}
            for name, shape in schema["properties"].items()
        ]
    headers = dict(route.operation.headers)
    if route.guard.needs_bearer:
        headers["authorization"] = "`Bearer` followed by an access token or API key."
    if route.idempotent:
        headers["Idempotency-Key"] = (
            "1 to 255 printable ASCII characters. The same key and body return the first response again."
        )
    listed += [
        {"name": name, "in": "header", "required": False, "schema": text, "description": description}
        for name, description in headers.items()
    ]
    return listed


def _bounded(schema: Json) -> Json:
    """Rename pydantic's names of bounds behind a validator to those of JSON Schema."""
    return {BOUNDS.get(name, name): value for name, value in schema.items()}


def responses(route: Route) -> Json:
    """The success and every error status with its codes."""
    by_status: Json = {str(route.status): _success(route)}
    if route.operation.empty:
        by_status["204"] = {"description": route.operation.empty}
    for status, codes in sorted(refusals(route).items()):
        shape = ["a list of validation errors"] if status == HTTPStatus.UNPROCESSABLE_ENTITY else []
        schema = REF.format(
            model="HTTPValidationError" if status == HTTPStatus.UNPROCESSABLE_ENTITY else Refused.__name__
        )
        by_status[str(status)] = {
            "description": ", ".join([*shape, *(f"`{code}`" for code in codes)]),
            "content": {JSON: {"schema": {"$ref": schema}}},
        }
    return by_status


def refusals(route: Route) -> dict[int, tuple[str, ...]]:
    """Every error status with its codes: of the guard, of decoding, of the handler."""
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
    for source in sources:
        for status, codes in source.items():
            found[status] = tuple(dict.fromkeys((*found.get(status, ()), *codes)))
    return found


def _success(route: Route) -> Json:
    success: Json = {"description": HTTPStatus(route.status).phrase}
    media, reply = route.operation.media, route.operation.reply
    if media == EVENT_STREAM:
        success["content"] = {EVENT_STREAM: {"schema": {"type": "string"}}}
    elif isinstance(reply, Mapping):
        success["content"] = {media: {"schema": dict(reply)}}
    elif reply is not None:
        success["content"] = {media: {"schema": {"$ref": REF.format(model=reply.__name__)}}}
    return success


def _request_body(model: type[BaseModel], *, required: bool) -> Json:
    schema: Json = {"$ref": REF.format(model=model.__name__)}
    if required:
        return {"required": True, "content": {JSON: {"schema": schema}}}
    return {"content": {JSON: {"schema": {"anyOf": [schema, {"type": "null"}]}}}}


def _schemas(routes: Sequence[Route]) -> Json:
    models: list[type[BaseModel]] = [Refused]
    for route in routes:
        models += [model for model in (route.operation.body, route.operation.reply) if isinstance(model, type)]
    _, made = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template=REF, schema_generator=Schemas
    )
    return dict(sorted({**made.get("$defs", {}), **VALIDATION}.items()))


def guard_words(guard: Guard) -> str:
    """Who may call the operation, as the /docs page shows it."""
    if guard.needs_token:
        return "Metrics token, or a request from the same machine"
    return "Bearer token" if guard.needs_bearer else "None"
