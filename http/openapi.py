"""The OpenAPI 3.1 document, generated from the route table and the schemas alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import getdoc
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from . import event_schemas, openapi_responses
from .examples import request_sample, sample
from .guards import Guard
from .operation import JSON
from .parameters import DESCRIPTIONS, EXAMPLES
from .route import Route
from .schemas.shared import MARK

TITLE = "Voyagent API"
REF = "#/components/schemas/{model}"
BEARER = "bearer"
METRICS = "metrics-token"
TICKET = "stream-ticket"

BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}

Json = dict[str, Any]

SECURITY_SCHEMES: Json = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "An access token, or an API key (prefix `vy_`)."},
    METRICS: {
        "type": "apiKey",
        "in": "header",
        "name": "X-Voyagent-Metrics-Token",
        "description": "The operators' token. If none is set, a request from the same machine needs none.",
    },
    TICKET: {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "A ticket of `POST /chat/sessions/{session_id}/ticket`, for an `EventSource`.",
    },
}

TAGS: Final = {
    "auth": "Accounts: sign-in, tokens, second factor, passwords, API keys, members and invites.",
    "tenant-settings": "The agency's settings.",
    "chat": "Conversations, their messages and their event streams.",
    "approvals": "What waits for a person's decision.",
    "audit": "The audit trail.",
    "enquiries": "Customers' enquiries.",
    "tax-rates": "The rates of the agency's taxes.",
    "reports": "Receivables and payables, trial balance, itineraries, usage.",
}
"""Each tag with what its operations are about."""


class Schemas(GenerateJsonSchema):
    """JSON schemas without ``"default": null``: some fields that may be omitted cannot be null."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        made = super().default_schema(schema)
        return {name: value for name, value in made.items() if (name, value) != ("default", None)}


def document(routes: Iterable[Route], version: str) -> Json:
    """The document: paths in the order of the route table, schemas sorted by name."""
    shown = [route for route in routes if not route.hidden]
    schemas = _schemas(shown)
    paths: Json = {}
    for route in shown:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route, schemas)
    tags = dict.fromkeys(route.tag for route in shown if route.tag is not None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": version,
            "description": "The backend of an agency operating system for travel agencies.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag, **({"description": TAGS[tag]} if tag in TAGS else {})} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": openapi_responses.HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def operation(route: Route, schemas: Json) -> Json:
    """One operation of the document."""
    declared = route.operation
    text = getdoc(declared.handler) or ""
    described: Json = {
        "operationId": route.operation_id,
        "summary": text.partition("\n")[0].partition(". ")[0].rstrip("."),
        "description": text,
        "parameters": parameters(route, schemas),
        "responses": openapi_responses.responses(route, schemas),
    }
    if route.tag is not None:
        described["tags"] = [route.tag]
    if declared.body is not None:
        described["requestBody"] = _request_body(route, schemas)
    if route.guard.needs_bearer:
        described["security"] = [{BEARER: []}, *([{TICKET: []}] if route.guard.takes_ticket else [])]
    elif route.guard.needs_token:
        described["security"] = [{METRICS: []}, {BEARER: []}, {}]
    else:
        described["security"] = []
    if declared.addition:
        described[MARK] = True
    return described


def parameters(route: Route, schemas: Json) -> list[Json]:
    """The parameters in the path, the query and the headers."""
    text = {"type": "string"}
    listed: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": text, **_about(route, name, text, schemas)}
        for name in route.parameters
    ]
    if route.operation.query is not None:
        schema = route.operation.query.model_json_schema(ref_template=REF, schema_generator=Schemas)
        required = schema.get("required", ())
        listed += [
            {"name": name, "in": "query", "required": name in required, **_query(route, name, shape, schemas)}
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
        {
            "name": name,
            "in": "header",
            "required": False,
            "schema": text,
            "description": description,
            "example": EXAMPLES[name],
        }
        for name, description in headers.items()
    ]
    return listed


def _query(route: Route, name: str, shape: Json, schemas: Json) -> Json:
    schema = _bounded(shape)
    mark = {MARK: True} if schema.pop(MARK, False) else {}
    return {"schema": schema, **mark, **_about(route, name, schema, schemas)}


def _about(route: Route, name: str, schema: Json, schemas: Json) -> Json:
    """A parameter's description and example."""
    own = f"{route.operation.name}.{name}"
    description = DESCRIPTIONS.get(own, DESCRIPTIONS.get(name))
    known = EXAMPLES.get(own, EXAMPLES.get(name))
    example = sample(schema, schemas, name) if known is None else known
    return {**({"description": description} if description else {}), "example": example}


def _bounded(schema: Json) -> Json:
    """Rename pydantic's names of bounds behind a validator to those of JSON Schema."""
    return {BOUNDS.get(name, name): value for name, value in schema.items()}


def _request_body(route: Route, schemas: Json) -> Json:
    declared = route.operation
    assert declared.body is not None
    name = declared.body.__name__
    schema: Json = {"$ref": REF.format(model=name)}
    example = request_sample(schemas[name], schemas) if declared.sends is None else dict(declared.sends)
    if declared.body_required:
        return {"required": True, "content": {JSON: {"schema": schema, "example": example}}}
    return {"content": {JSON: {"schema": {"anyOf": [schema, {"type": "null"}]}, "example": example}}}


def _schemas(routes: Sequence[Route]) -> Json:
    models: list[type[BaseModel]] = [*openapi_responses.MODELS]
    for route in routes:
        models += [model for model in (route.operation.body, route.operation.reply) if isinstance(model, type)]
    _, made = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template=REF, schema_generator=Schemas
    )
    every = {**made.get("$defs", {}), **openapi_responses.VALIDATION, **event_schemas.schemas()}
    return dict(sorted(every.items()))


def guard_words(guard: Guard) -> str:
    """Who may call the operation, as the /docs page shows it."""
    if guard.needs_token:
        return "Metrics token, or a request from the same machine"
    if not guard.needs_bearer:
        return "None"
    return "Bearer token, or a ticket" if guard.takes_ticket else "Bearer token"
