"""The reference page shows the whole interface, runs nothing foreign, and escapes whatever it renders."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from voyagent.http.guards import PUBLIC
from voyagent.http.openapi import document
from voyagent.http.operation import OBJECT, operation
from voyagent.http.reference.documents import ASSETS
from voyagent.http.reference.page import html
from voyagent.http.reference.subjects import OTHERS, SUBJECTS, subject_of
from voyagent.http.request_context import Answer, RequestContext
from voyagent.http.route import Route
from voyagent.http.routes import ROUTES
from voyagent.http.schemas.shared import Body

if TYPE_CHECKING:
    from tests.http.conftest import Client

OURS = document(ROUTES, "test")
ATTRIBUTES = {
    *("id", "href", "class", "lang", "charset", "name", "content", "rel", "src", "defer", "for", "type", "tabindex"),
    *("autocomplete", "spellcheck", "inputmode", "role", "scope", "hidden"),
    *("aria-label", "aria-labelledby", "data-fill", "data-fills", "data-group", "data-prose", "data-words"),
}
"""None of them runs anything or loads from elsewhere."""


class Text(HTMLParser):
    """The words of a page, its tags, ids and links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words = ""
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        assert told.keys() <= ATTRIBUTES, (tag, told)
        self.tags.add(tag)
        self.ids += [told["id"] or ""] if "id" in told else []
        if tag == "a":
            self.links.add(told["href"] or "")
        elif link := told.get("href") or told.get("src"):
            self.loaded.add(link)


@pytest.fixture(scope="module")
def page() -> Text:
    return Text(html(ROUTES, OURS, "1"))


def test_the_page_shows_every_operation_with_its_command_and_its_answers(page: Text) -> None:
    words = " ".join(page.words.split())
    for route in ROUTES:
        assert f"{route.method} {route.path}" in words
    for name in OURS["components"]["schemas"]:
        assert f"schema-{name}" in page.ids
    assert "session_not_found" in page.words
    assert "default `pending`" not in page.words
    assert "curl -s 'http://127.0.0.1:8010/auth/me' -H 'Authorization: Bearer TOKEN'" in page.words
    assert "event: agent_event" in page.words


def test_b57_the_page_says_list_keys_default_filters_and_that_a_download_needs_its_bearer(page: Text) -> None:
    words = " ".join(page.words.split())
    approvals = words.partition("GET /approvals # ")[2].partition("GET /approvals/{approval_id} # ")[0]
    assert "default pending" in approvals
    assert "Fields of SessionListResponse NameTypeNotes sessionslist of SessionListItem" in words
    assert "curl -s 'http://127.0.0.1:8010/audit/export.csv' -H 'Authorization: Bearer TOKEN'" in words
    assert "A download of the audit trail needs the header as well" in words


def test_t35_the_page_says_how_discounts_are_entered_and_what_the_books_refuse(page: Text) -> None:
    books = " ".join(page.words.rpartition("Invoices, bills, payments and journals are made")[2].split())
    assert "a discount or a commission passed on, is the discount of its line" in books
    assert "9,154.00 - 873.34 = 8,280.66" in books
    for code in ("invalid_date", "overpayment", "invalid_amount", "has_payments", "currency_mismatch"):
        assert code in books


def test_every_link_of_the_page_leads_somewhere_and_no_id_is_there_twice(page: Text) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert page.links - {f"#{each}" for each in page.ids} == {"openapi.json"}
    assert page.loaded == {"docs/page.css?1", "docs/page.js?1"}


def test_every_operation_belongs_to_a_subject() -> None:
    assert [route.path for route in ROUTES if subject_of(route) is OTHERS] == []
    assert [subject.title for subject in SUBJECTS if not any(subject_of(route) is subject for route in ROUTES)] == []


async def test_both_renderings_are_public(client: Client) -> None:
    described = await client.send("GET", "/openapi.json")
    read = await client.send("GET", "/docs")

    assert described.json["openapi"] == "3.1.0"
    assert described.json["info"]["title"] == "Voyagent API"
    assert described.json["paths"] == OURS["paths"]
    assert read.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in read.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["style-src"] == policy["script-src"] == "'self'"


async def test_the_page_loads_its_own_assets_and_nothing_else(client: Client) -> None:
    page = Text((await client.send("GET", "/docs")).raw.decode())

    assert {link.partition("?")[0].removeprefix("docs/") for link in page.loaded} == set(ASSETS)
    for link in page.loaded:
        asset = await client.send("GET", f"/{link}")
        assert asset.status == 200
        assert asset.headers["Content-Type"] == ASSETS[link.partition("?")[0].removeprefix("docs/")]
        assert "immutable" in asset.headers["Cache-Control"]


async def test_the_assets_are_not_in_the_document(client: Client) -> None:
    assert not any(path.startswith("/docs") for path in (await client.send("GET", "/openapi.json")).json["paths"])


class Hostile(Body):
    field: str = "<img src=x onerror=alert(1)>"


@operation(
    body=Hostile, reply=OBJECT, refusals={409: ("invite_expired",)}, example={"<b>": "</pre><script>alert(2)</script>"}
)
async def hostile(_call: RequestContext) -> Answer:
    """<script>alert(1)</script> and ``<b>code</b>`` & more."""
    return Answer()


def test_the_page_escapes_whatever_it_renders() -> None:
    routes = [Route("POST", "/<script>x</script>", hostile, PUBLIC)]

    text = Text(html(routes, document(routes, "<u>1</u>"), "1"))

    assert text.tags.isdisjoint({"img", "b", "i", "u"})
    assert text.loaded == {"docs/page.css?1", "docs/page.js?1"}
    assert "<script>alert(1)</script> and <b>code</b> & more." in text.words
    assert "</pre><script>alert(2)</script>" in text.words
    assert OTHERS.title in text.words
