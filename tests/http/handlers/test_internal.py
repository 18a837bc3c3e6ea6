"""``/internal`` is for operators; to everybody else it is not there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from voyagent.actors.root import Tree
from voyagent.http.client_address import PROXY_HEADERS
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from tests.http.conftest import Client, Serve

TOKEN = "a token of sufficient length"
PATHS = [route.path for route in ROUTES if route.path.startswith("/internal/")]
TREE = {"name": "root", "since": datetime(2026, 11, 23, tzinfo=UTC), "children": []}


@pytest.fixture
async def unguarded(serve: Serve) -> Client:
    client = await serve()
    client.root.answers[Tree] = lambda _message: TREE
    return client


@pytest.fixture
async def guarded(serve: Serve) -> Client:
    client = await serve(metrics_token=TOKEN)
    client.root.answers[Tree] = lambda _message: TREE
    return client


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_token_somebody_on_this_machine_may_look(unguarded: Client, path: str) -> None:
    for host in ("localhost", "LOCALHOST:8010", "127.0.0.1:8010", "[::1]:8010"):
        assert (await unguarded.send("GET", path, headers={"Host": host})).status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("header", [*PROXY_HEADERS, "Host"])
async def test_r46_what_a_proxy_passes_on_is_no_loopback(unguarded: Client, path: str, header: str) -> None:
    answer = await unguarded.send("GET", path, headers={header: "agency.example.com"})

    assert (answer.status, answer.json) == (404, {"detail": "not found"})


@pytest.mark.parametrize("path", PATHS)
async def test_r46_a_proxy_that_adds_nothing_is_known_by_its_protocol(unguarded: Client, path: str) -> None:
    head, _ = await unguarded.raw(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:8010\r\nConnection: close\r\n\r\n".encode())

    assert head.split()[1] == b"404"


@pytest.mark.parametrize("path", PATHS)
async def test_the_right_token_opens_from_anywhere_and_a_wrong_one_nothing(guarded: Client, path: str) -> None:
    async def status(token: str) -> int:
        headers = {"X-Forwarded-For": "8.8.8.8", "X-Voyagent-Metrics-Token": token}
        return (await guarded.send("GET", path, headers=headers)).status

    assert await status(TOKEN) == 200
    assert await status(f"  {TOKEN} ") == 200
    bearer = {"X-Forwarded-For": "8.8.8.8", "Authorization": f"Bearer {TOKEN}"}
    assert (await guarded.send("GET", path, headers=bearer)).status == 200
    for wrong in ("", " ", "wrong", TOKEN + "x", TOKEN.upper(), "\u00e9"):
        assert await status(wrong) == 404


async def test_of_two_metrics_tokens_both_are_taken(serve: Serve) -> None:
    newer = "another token of sufficient length"
    client = await serve(metrics_token=f"{newer}, {TOKEN}")
    for token, status in ((newer, 200), (TOKEN, 200), (f"{newer}, {TOKEN}", 404), (newer[:16], 404)):
        headers = {"Authorization": f"Bearer {token}"}
        assert (await client.send("GET", "/internal/metrics", headers=headers)).status == status, token


async def test_without_a_token_configured_an_empty_one_opens_nothing(client: Client) -> None:
    headers = {"X-Forwarded-For": "8.8.8.8", "X-Voyagent-Metrics-Token": ""}

    assert (await client.send("GET", "/internal/metrics", headers=headers)).status == 404


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers", [{}, {"X-Voyagent-Metrics-Token": "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}]
)
async def test_once_a_token_is_set_it_is_asked_of_everybody(
    guarded: Client, path: str, headers: dict[str, str]
) -> None:
    assert (await guarded.send("GET", path, headers=headers)).status == 404


async def test_the_figures_come_in_the_format_that_is_asked_for(client: Client) -> None:
    plain = await client.send("GET", "/internal/metrics")
    modern = await client.send("GET", "/internal/metrics", headers={"Accept": "application/openmetrics-text"})

    assert plain.headers["Content-Type"].startswith("text/plain")
    assert b"voyagent_api_requests_total" in plain.raw
    assert modern.headers["Content-Type"].startswith("application/openmetrics-text")
    assert modern.raw.endswith(b"# EOF\n")


async def test_the_tree_is_json_with_times_as_everywhere(unguarded: Client) -> None:
    answer = await unguarded.send("GET", "/internal/actors")

    assert answer.json == {"name": "root", "since": "2026-11-23T00:00:00.000000Z", "children": []}


async def test_with_a_database_the_lease_of_the_node_is_shown_beside_the_tree(serve: Serve) -> None:
    client = await serve(owns=False)
    client.root.answers[Tree] = lambda _message: TREE

    answer = await client.send("GET", "/internal/actors")

    lease = answer.json["lease"]
    assert (lease["shards"], lease["epochs"], lease["heartbeat_age_seconds"]) == (0, [], 0.0)
    assert len(lease["node"]) == 36
