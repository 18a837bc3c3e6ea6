"""The OpenAPI document is valid, complete, and every example in it is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from voyagent.actors.domain.events import KEYS, Event, Kind
from voyagent.http.error_codes import MEANINGS
from voyagent.http.event_schemas import USED
from voyagent.http.examples import sample
from voyagent.http.guards import PUBLIC
from voyagent.http.openapi import document
from voyagent.http.openapi_responses import refusals
from voyagent.http.routes import ROUTES

OURS = document(ROUTES, "test")
OPERATIONS = [(path, method) for path, methods in OURS["paths"].items() for method in methods]


def named(schema: Any) -> set[str]:
    """Every schema it leans on."""
    if isinstance(schema, dict):
        own = {schema["$ref"].rpartition("/")[2]} if "$ref" in schema else set()
        return own.union(*(named(value) for value in schema.values()))
    return set().union(*map(named, schema)) if isinstance(schema, list) else set()


def test_422_is_a_list_without_input_or_a_code() -> None:
    schemas = OURS["components"]["schemas"]

    assert "input" not in schemas["ValidationError"]["properties"]
    kinds = [one["type"] for one in schemas["HTTPValidationError"]["properties"]["detail"]["anyOf"]]
    assert kinds == ["array", "string"]


def test_every_reference_leads_somewhere() -> None:
    assert named(OURS) <= {*OURS["components"]["schemas"], *OURS["components"]["headers"]}


def test_ids_of_operations_are_unique() -> None:
    ids = [told["operationId"] for methods in OURS["paths"].values() for told in methods.values()]

    assert len(ids) == len(set(ids))


def test_b57_protected_operations_name_their_bearer() -> None:
    for route in ROUTES:
        told = OURS["paths"][route.path][route.method.lower()]
        headers = {one["name"] for one in told["parameters"] if one["in"] == "header"}
        assert ("authorization" in headers) == route.guard.needs_bearer
        assert ("bearer" in (told.get("security") or [{}])[0]) == route.guard.needs_bearer
        assert ("401" in told["responses"]) or not route.guard.needs_bearer
        assert ("Idempotency-Key" in headers) == route.idempotent


LISTS = {
    ("/chat/sessions", "sessions"): {"limit": 1000, "offset": 0, "trips": 0},
    ("/approvals", "items"): {"status": "pending", "limit": 50, "offset": 0},
    ("/audit", "items"): {"tz": "utc", "limit": 50, "offset": 0},
    ("/enquiries", "items"): {"status": "all", "tz": "utc", "limit": 50, "offset": 0},
}


@pytest.mark.parametrize(("path", "key"), LISTS)
def test_b57_a_list_says_its_key_and_what_it_holds_by_default(path: str, key: str) -> None:
    told = OURS["paths"][path]["get"]
    reply = told["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    shown = OURS["components"]["schemas"][reply]
    assert set(shown["properties"]) == set(shown["required"]) == {key, "total", "limit", "offset"}
    schemas = {one["name"]: one["schema"] for one in told["parameters"] if one["in"] == "query"}
    stated = {name: schema["default"] for name, schema in schemas.items() if schema.get("default") not in (None, "")}
    assert stated == LISTS[path, key]


def test_every_refusal_is_declared_with_its_codes() -> None:
    told = OURS["paths"]["/approvals/{approval_id}/resolve"]["post"]["responses"]

    assert told["403"]["description"] == "`api_key_not_allowed`, `email_not_verified`, `forbidden_role`"
    assert told["409"]["description"] == "`approval_already_resolved`, `idempotency_key_in_flight`"
    assert told["422"]["description"].startswith("a list of validation errors, ")
    assert "`invalid_idempotency_key`" in told["422"]["description"]
    assert "`storage_unavailable`" in told["503"]["description"]


def test_whatever_counts_malformed_requests_is_declared_to_throttle() -> None:
    for route in ROUTES:
        if route.guard is PUBLIC and route.path.startswith("/auth/"):
            told = OURS["paths"][route.path][route.method.lower()]["responses"]
            assert "`too_many_attempts`" in told["429"]["description"], route.path


def test_a_replay_of_nothing_is_declared() -> None:
    told = OURS["paths"]["/chat/sessions/{session_id}/events"]["get"]["responses"]

    assert "content" not in told["204"]


def test_every_operation_says_in_words_what_it_does() -> None:
    for path, methods in OURS["paths"].items():
        for method, told in methods.items():
            assert told["summary"], (method, path)
            assert not told["summary"].startswith(method.upper()), f"{told['summary']} says nothing"


@pytest.mark.parametrize(
    "model",
    sorted(
        {
            model
            for route in ROUTES
            for model in (route.operation.body, route.operation.reply)
            if isinstance(model, type)
        },
        key=lambda model: model.__name__,
    ),
    ids=lambda model: model.__name__,
)
def test_the_example_of_a_body_is_one_the_service_would_take(model: type[BaseModel]) -> None:
    schemas = OURS["components"]["schemas"]

    model.model_validate_json(json.dumps(sample(schemas[model.__name__], schemas)))


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(OURS).validate()


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Of a schema of the document, with its references."""
    whole = {**schema, "components": OURS["components"]}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


def examples(path: str, method: str) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Each example of an operation: where it stands, its schema, and itself."""
    told = OURS["paths"][path][method]
    for each in told["parameters"]:
        yield each["name"], each["schema"], each["example"]
    bodies = {"body": told.get("requestBody", {}), **told["responses"]}
    for place, body in bodies.items():
        for content in body.get("content", {}).values():
            if "example" in content:
                yield place, content["schema"], content["example"]
            for name, example in content.get("examples", {}).items():
                yield f"{place} {name}", content["schema"], example["value"]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_example_of_an_operation_is_valid_against_its_schema(path: str, method: str) -> None:
    for place, schema, example in examples(path, method):
        assert [error.message for error in validator(schema).iter_errors(example)] == [], place


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_body_parameter_and_answer_of_an_operation_has_an_example(path: str, method: str) -> None:
    told = OURS["paths"][path][method]
    assert [each["name"] for each in told["parameters"] if not {"description", "example"} <= each.keys()] == []
    bodies = {"body": told.get("requestBody", {}), **told["responses"]}
    media = [(place, kind) for place, body in bodies.items() for kind in body.get("content", {}).values()]
    assert [place for place, kind in media if "example" not in kind and not kind.get("examples")] == []


@pytest.mark.parametrize("path", [path for path, method in OPERATIONS if method == "post"])
def test_the_example_of_a_request_is_one_the_service_takes(path: str) -> None:
    (route,) = [route for route in ROUTES if (route.method, route.path) == ("POST", path)]
    if route.operation.body is not None:
        content = OURS["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        route.operation.body.model_validate_json(json.dumps(content["example"]))


def test_every_error_code_has_its_meaning_and_no_other_has() -> None:
    declared = {code for route in ROUTES for codes in refusals(route).values() for code in codes}
    assert declared == MEANINGS.keys()
    assert all(text.endswith(".") for text in MEANINGS.values())


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_an_error_lists_its_codes_for_programs_each_with_an_example(path: str, method: str) -> None:
    for status, answer in OURS["paths"][path][method]["responses"].items():
        if not status.startswith("2"):
            shown = answer["content"]["application/json"]["examples"]
            assert set(answer["x-voyagent-codes"]) == shown.keys() - {"validation"}
            assert ("validation" in shown) == (status == "422")
            assert ("Retry-After" in answer["headers"]) == (status in {"429", "503"})


def test_both_streams_describe_their_events() -> None:
    paths = ("/chat/sessions/{session_id}/messages", "post"), ("/chat/sessions/{session_id}/events", "get")
    for path, method in paths:
        content = OURS["paths"][path][method]["responses"]["200"]["content"]["text/event-stream"]
        assert set(content["x-voyagent-events"]) == {"agent_event", "heartbeat"}
        assert content["x-voyagent-events"]["agent_event"]["data"] == {"$ref": "#/components/schemas/AgentEvent"}
        lines = [line for line in content["example"].splitlines() if line.startswith("data: ")]
        assert lines
        for line in lines:
            validator(OURS["components"]["schemas"]["AgentEvent"]).validate(json.loads(line.removeprefix("data: ")))


def test_the_schemas_of_events_have_every_kind_and_the_keys_of_an_event() -> None:
    assert set(USED) == set(get_args(Kind))
    assert tuple(json.loads(Event(kind="final", turn_id="t").data("s", datetime.now(UTC)))) == KEYS


def test_a_stream_can_be_opened_with_a_ticket_alone() -> None:
    takers = [path for path, method in OPERATIONS if {"stream-ticket": []} in OURS["paths"][path][method]["security"]]
    assert takers == ["/chat/sessions/{session_id}/events"]


def test_a_public_operation_says_that_it_needs_no_credential() -> None:
    for route in ROUTES:
        told = OURS["paths"][route.path][route.method.lower()]
        assert (told["security"] == []) == (not route.guard.needs_bearer and not route.guard.needs_token)
