"""The pages e-mails link to: plain, closed to everything foreign, and harmless to open."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from voyagent.actors.domain.email_texts import PAGES
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from tests.http.conftest import Client

PATHS = sorted(set(PAGES.values()))
TOKEN = "q" * 43


class Read(HTMLParser):
    """A page's form: where it sends, and what it asks."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.form: dict[str, str | None] = {}
        self.asks: set[str | None] = set()
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = dict(attrs)
        assert not any(name.startswith("on") or name in {"style", "src", "href", "action"} for name in told)
        if tag == "form":
            self.form = told
        if tag == "input":
            self.asks.add(told["name"])


@pytest.mark.parametrize("path", PATHS)
async def test_loading_a_page_asks_nobody_anything_and_repeats_nothing(client: Client, path: str) -> None:
    answer = await client.send("GET", f"{path}?token={TOKEN}")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert client.accounts.asked == client.accounts.told == []
    assert TOKEN not in answer.raw.decode()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert (await client.send("HEAD", path)).status == 200
    assert (await client.send("POST", path)).status == 405


@pytest.mark.parametrize("path", PATHS)
async def test_a_pages_policy_allows_its_own_style_and_script_and_nothing_else(client: Client, path: str) -> None:
    answer = await client.send("GET", path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))

    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.raw.decode(), re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{hashed}'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["connect-src"] == "'self'"


@pytest.mark.parametrize(
    ("path", "operation", "asks"),
    [
        ("/app/verify-email", "/auth/verify-email", set()),
        ("/app/reset-password", "/auth/reset-password", {"new_password"}),
        ("/app/accept-invite", "/auth/accept-invite", {"full_name", "password"}),
    ],
)
async def test_a_page_asks_what_its_operation_takes_beside_the_token(
    client: Client, path: str, operation: str, asks: set[str]
) -> None:
    page = Read((await client.send("GET", path)).raw.decode())
    (route,) = [route for route in ROUTES if route.path == operation]

    assert page.form["data-send"] == f"..{operation}"
    assert page.asks == asks
    assert route.operation.body is not None
    assert set(route.operation.body.model_fields) == asks | {"token"}
    assert "noscript" in page.tags


async def test_the_pages_stand_where_emails_lead_and_not_in_the_document(client: Client) -> None:
    described = (await client.send("GET", "/openapi.json")).json["paths"]

    assert not any(path.startswith("/app/") for path in described)
    assert PATHS == ["/app/accept-invite", "/app/reset-password", "/app/verify-email"]
