"""The document of the API against the published shapes, of which a copy stands in ``data``."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from voyagent.http.docs import page
from voyagent.http.examples import sample
from voyagent.http.guards import PUBLIC
from voyagent.http.openapi import document
from voyagent.http.operation import EVENT_STREAM, operation
from voyagent.http.request_context import Answer, RequestContext
from voyagent.http.route import Route
from voyagent.http.routes import ROUTES
from voyagent.http.schemas.shared import Body

if TYPE_CHECKING:
    from tests.http.conftest import Client

PUBLISHED = json.loads((Path(__file__).parent / "data" / "openapi-shapes.json").read_text())
OURS = document(ROUTES, "test")
SHARED = [
    (path, method)
    for path, methods in PUBLISHED["paths"].items()
    for method in methods
    if method in OURS["paths"].get(path, {})
]
"""The published operations that are built."""

ADDED_PARAMETERS = {
    ("/chat/sessions", "get"): {"limit", "offset"},
    ("/enquiries", "get"): {"tz"},
    ("/reports/receivables", "get"): {"as_of"},
    ("/reports/payables", "get"): {"as_of"},
    ("/audit", "get"): {"tz"},
    ("/audit/export.csv", "get"): {"tz", "bom"},
}
"""Additive query parameters (business 2.2, 6.3, 6.4, 7.3, 8.1)."""

ADDED_REQUEST_FIELDS = {
    "SendMessageRequest": {"on_busy"},
    "TenantSettingsPatchRequest": {"invoice_series", "bill_series", "credit_note_series", "financial_year_start_month"},
}
"""Additive optional fields of requests (business 2.6, identity 11)."""

NEVER_NULL = {
    "SessionListItem": {"created_at"},
    "PendingApproval": {"summary", "tool_name"},
}
"""Reply fields published as nullable that always have a value here."""

BOUNDED = {
    "SendMessageRequest": {"approvals"},
    "ResolveApprovalRequest": {"reason"},
    "RefreshRequest": {"refresh_token"},
}
"""Request fields that have a limit the published shape does not name (business 2.6, 5.4; identity 9)."""

NO_NULL = {
    "TenantSettingsPatchRequest": {
        "rate_limit_per_minute",
        "rate_limit_per_hour",
        "locale",
        "timezone",
        "default_currency",
    }
}
"""Request fields published as nullable that cannot be cleared (identity 11)."""

OWN_CHOICE = {"TenantSettingsPatchRequest": {"model", "locale", "daily_token_budget"}}
"""Request fields whose list of values or upper bound is ours (identity 11)."""

EXTENDED = {"TotpStatusResponse"}
"""Replies published as closed that carry more where it applies (identity 9.13)."""

WITH_MORE = {
    ("/enquiries", "post"): ("EnquiryCreatedResponse", {"possible_duplicates"}),
    ("/enquiries/{enquiry_id}", "get"): ("EnquiryFollowedResponse", {"bookings"}),
}
"""Replies that are the published one and further fields, which are marked as additions (business 7.2, 7.4)."""

OTHER_MEDIA = {
    ("/chat/sessions/{session_id}/messages", "post"): EVENT_STREAM,
    ("/internal/metrics", "get"): "text/plain",
    ("/audit/export.csv", "get"): "text/csv",
}
"""What is declared as what it is, where ``application/json`` was published."""

OPEN_422 = {"HTTPValidationError", "ValidationError"}
"""422 never has ``input``, and may be a code (business 1.1)."""


def plain(schema: Any) -> Any:
    """A schema without its words."""
    if isinstance(schema, dict):
        return {
            name: {field: plain(shape) for field, shape in value.items()} if name == "properties" else plain(value)
            for name, value in schema.items()
            if name not in {"title", "description"}
        }
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    return schema


def named(schema: Any) -> set[str]:
    """Every schema it leans on."""
    if isinstance(schema, dict):
        own = {schema["$ref"].rpartition("/")[2]} if "$ref" in schema else set()
        return own.union(*(named(value) for value in schema.values()))
    return set().union(*map(named, schema)) if isinstance(schema, list) else set()


def reachable(names: set[str], schemas: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    while names:
        found |= names
        names = set().union(*(named(schemas[name]) for name in names)) - found
    return found


def published_schemas(part: str) -> list[str]:
    """Names of the schemas the built operations take (``requestBody``) or give (``responses``)."""
    used = [named(PUBLISHED["paths"][path][method].get(part, {})) for path, method in SHARED]
    return sorted(reachable(set().union(*used), PUBLISHED["components"]["schemas"]) - OPEN_422)


def schema_of(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    ours = OURS["components"]["schemas"]
    assert name in ours
    return plain(PUBLISHED["components"]["schemas"][name]), plain(ours[name])


def test_every_operation_is_published_or_marked_as_an_addition() -> None:
    for path, methods in OURS["paths"].items():
        for method, told in methods.items():
            published = method in PUBLISHED["paths"].get(path, {})
            assert told.get("x-voyagent-addition", False) is not published, (method, path)
    assert SHARED


@pytest.mark.parametrize(("path", "method"), SHARED)
def test_a_published_operation_keeps_its_id_tag_and_parameters(path: str, method: str) -> None:
    published, ours = PUBLISHED["paths"][path][method], OURS["paths"][path][method]
    added = ADDED_PARAMETERS.get((path, method), set())

    assert ours["operationId"] == published["operationId"]
    assert ours.get("tags") == published.get("tags")
    parameters = [plain(one) for one in ours["parameters"] if one["in"] != "header" and one["name"] not in added]
    assert sorted(parameters, key=str) == sorted(plain(published["parameters"]), key=str)
    assert not any(one["required"] for one in ours["parameters"] if one["in"] == "header" or one["name"] in added)


@pytest.mark.parametrize(("path", "method"), SHARED)
def test_a_published_operation_keeps_its_body_and_its_answers(path: str, method: str) -> None:
    published, ours = PUBLISHED["paths"][path][method], OURS["paths"][path][method]

    assert ours.get("requestBody") == published.get("requestBody")
    assert set(published["responses"]) <= set(ours["responses"])
    for status, told in published["responses"].items():
        expected = told.get("content")
        if (other := OTHER_MEDIA.get((path, method))) and status == "200":
            assert list(ours["responses"][status]["content"]) == [other]
        elif (more := WITH_MORE.get((path, method))) and status.startswith("2"):
            assert_extends(expected, ours["responses"][status]["content"], *more)
        else:
            assert ours["responses"][status].get("content") == expected
    assert ("422" in ours["responses"]) == ("422" in published["responses"])


def assert_extends(published: Any, ours: Any, name: str, added: set[str]) -> None:
    """The reply is that of ``name``: all that is published, and ``added``, each marked."""
    [was], [now], schemas = named(published), named(ours), OURS["components"]["schemas"]
    assert now == name
    before, after = schemas[was], schemas[name]
    assert {field for field, shape in after["properties"].items() if shape.get("x-voyagent-addition")} == added
    kept = {field: shape for field, shape in after["properties"].items() if field not in added}
    assert kept == before["properties"]
    assert set(after["required"]) == {*before["required"], *added}


@pytest.mark.parametrize("name", published_schemas("requestBody"))
def test_a_request_takes_what_was_published(name: str) -> None:
    published, ours = schema_of(name)
    for field in ADDED_REQUEST_FIELDS.get(name, ()):
        assert field not in ours.get("required", ())
        del ours["properties"][field]
    for field in BOUNDED.get(name, ()):
        kind, bare = (shape["properties"][field] for shape in (ours, published))
        kind, bare = kind.get("anyOf", [kind])[0], bare.get("anyOf", [bare])[0]
        for bound in {"maxLength", "maxProperties"} - set(bare):
            kind.pop(bound, None)
    for field in NO_NULL.get(name, ()):
        published["properties"][field] = published["properties"][field]["anyOf"][0]
    for field in OWN_CHOICE.get(name, ()):
        for shape in (ours, published):
            kind = shape["properties"][field]
            for bound in ("enum", "maximum"):
                kind.get("anyOf", [kind])[0].pop(bound, None)

    assert ours == published


@pytest.mark.parametrize("name", published_schemas("responses"))
def test_a_reply_holds_what_was_published_and_every_field_is_there(name: str) -> None:
    published, ours = schema_of(name)
    for field, shape in published["properties"].items():
        expected = shape
        if field in NEVER_NULL.get(name, ()):
            expected = next(one for one in shape["anyOf"] if one["type"] != "null")
        given = {key: value for key, value in ours["properties"][field].items() if key != "default"}
        if name == "SessionListItem" and field == "created_at":
            expected = {**expected, "format": "date-time"}
        assert given == {key: value for key, value in expected.items() if key != "default"}, field
    assert set(published.get("required", ())) <= set(ours.get("required", ()))
    if name not in EXTENDED:
        assert ours.get("additionalProperties") == published.get("additionalProperties")


def test_422_is_a_list_without_input_or_a_code() -> None:
    schemas = OURS["components"]["schemas"]

    assert "input" not in schemas["ValidationError"]["properties"]
    kinds = [one["type"] for one in schemas["HTTPValidationError"]["properties"]["detail"]["anyOf"]]
    assert kinds == ["array", "string"]


def test_every_reference_leads_somewhere() -> None:
    assert named(OURS["paths"]) <= set(OURS["components"]["schemas"])
    assert named(OURS["components"]) <= set(OURS["components"]["schemas"])


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


async def test_both_renderings_are_public(client: Client) -> None:
    described = await client.send("GET", "/openapi.json")
    read = await client.send("GET", "/docs")

    assert described.json["openapi"] == "3.1.0"
    assert described.json["info"]["title"] == "Voyagent API"
    assert described.json["paths"] == OURS["paths"]
    assert read.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in read.headers["Content-Security-Policy"]
    assert "unsafe" not in read.headers["Content-Security-Policy"]


class Text(HTMLParser):
    """The words of a page, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words = ""
        self.tags: set[str] = set()
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name in {"id", "href", "class", "lang", "charset", "name", "content"} for name, _ in attrs)
        self.tags.add(tag)


def test_the_page_shows_every_operation_with_its_answers() -> None:
    text = Text(page(ROUTES, OURS))

    for route in ROUTES:
        assert f"{route.method} {route.path}" in text.words
    assert "session_not_found" in text.words
    assert "default pending" in text.words
    assert "GET /approvals/019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b HTTP/1.1" in text.words
    assert "event: agent_event" in text.words
    assert "script" not in text.tags


class Hostile(Body):
    field: str = "<img src=x onerror=alert(1)>"


@operation(body=Hostile, refusals={409: ("<i>taken</i>",)})
async def hostile(_call: RequestContext) -> Answer:
    """<script>alert(1)</script> and ``<b>code</b>`` & more."""
    return Answer()


def test_the_page_escapes_whatever_it_renders() -> None:
    routes = [Route("POST", "/<script>x</script>", hostile, PUBLIC)]

    text = Text(page(routes, document(routes, "<u>1</u>")))

    assert text.tags.isdisjoint({"script", "img", "b>", "i", "u"})
    assert "<script>alert(1)</script> and <b>code</b> & more." in text.words
    assert "<i>taken</i>" in text.words


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
