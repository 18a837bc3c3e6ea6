"""Requests that no route serves, and how much of a connection is read at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.effort import counted
from voyagent.http.app import READ_SIZE, Connection, make_app
from voyagent.http.router import MAX_DEPTH
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from tests.http.conftest import Client

BODY = b'{"refresh_token":"a"}'


@pytest.mark.parametrize(("request_line", "status"), [("GET /nope", 404), ("POST /health", 405), ("GET /nope/", 404)])
async def test_r54_an_expectation_on_what_is_not_served_is_refused_like_any_other_request(
    client: Client, request_line: str, status: int
) -> None:
    plain, expecting = [
        await client.raw(f"{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n".encode())
        for more in ("", "Expect: wonders\r\n")
    ]

    assert int(expecting[0].split()[1]) == status
    assert expecting[1] == plain[1]
    assert b"\r\nContent-Type: application/json" in expecting[0]
    assert b"wonders" not in expecting[0] + expecting[1]


@pytest.mark.parametrize("path", ["/auth/sign-out", "/nope"])
async def test_only_who_speaks_http_1_1_is_asked_for_the_body(client: Client, path: str) -> None:
    for version, first in (("1.1", b"HTTP/1.1 100 "), ("1.0", b"HTTP/1.0 4")):
        head, _ = await client.raw(
            f"POST {path} HTTP/{version}\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(BODY)}\r\n\r\n".encode()
            + BODY
        )
        assert head.startswith(first), (version, head)


@pytest.mark.parametrize("path", ["/auth/sign-out", "/nope"])
async def test_chunks_in_http_1_0_have_no_effect_and_nothing_behind_them_is_read(client: Client, path: str) -> None:
    head, body = await client.raw(
        f"POST {path} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )

    assert head.startswith(b"HTTP/1.0 400")
    assert json.loads(body) == {"detail": "bad_request"}
    assert client.accounts.asked == []


def test_no_route_is_as_deep_as_what_is_not_looked_up() -> None:
    assert max(route.path.count("/") for route in ROUTES) < MAX_DEPTH / 2


@pytest.mark.parametrize("path", ["/" * 8000, "/a" * 4000, "/health" + "/" * 8000, "/auth/me" * 900 + "/"])
async def test_a_path_of_many_parts_costs_no_more_than_a_short_one(client: Client, path: str) -> None:
    router = make_app(client.services).router
    spent = []
    for each in ("/nothing/is/here", path):
        request = make_mocked_request("GET", each)
        with counted() as effort:
            found = await router.resolve(request)
        spent.append(effort.lines)
        assert found.http_exception is not None
        assert found.http_exception.status == 404

    assert 0 < spent[1] <= spent[0]


async def test_slashes_too_many_still_lead_to_the_route_without_them(client: Client) -> None:
    head, _ = await client.raw(b"GET /health" + b"/" * 500 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert b"\r\nLocation: /health\r\n" in head


async def test_no_connection_is_read_for_long_before_others_have_their_turn(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    receive = Connection.data_received

    def data_received(connection: Connection, data: bytes) -> None:
        read.append(len(data))
        receive(connection, data)

    monkeypatch.setattr(Connection, "data_received", data_received)
    chunks = b"1\r\n \r\n" * (400_000 // 6)
    head, body = await client.raw(
        b"POST /auth/sign-out HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    )

    assert head.startswith(b"HTTP/1.1 413")
    assert json.loads(body) == {"detail": "body_too_large"}
    assert max(read) <= READ_SIZE <= 16 * 1024
