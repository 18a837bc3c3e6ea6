"""Paths, sizes and odd requests, over a real socket."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from voyagent.http.decode import LIMIT
from voyagent.http.guards import PUBLIC
from voyagent.http.operation import operation
from voyagent.http.request_context import Answer, RequestContext
from voyagent.http.route import Route
from voyagent.http.routes import ROUTES
from voyagent.http.schemas.shared import LooseBody

if TYPE_CHECKING:
    from tests.http.conftest import Client, Serve

JSON = {"Content-Type": "application/json"}
ORIGIN = "http://localhost:3000"


class Said(LooseBody):
    text: str = ""


@operation(body=Said)
async def length(call: RequestContext) -> Answer:
    body: Said = call.body
    return Answer(json.dumps({"length": len(body.text)}).encode())


async def ignores(call: RequestContext) -> Answer:
    assert call.body is None
    return Answer(b"{}")


async def named(call: RequestContext) -> Answer:
    return Answer(json.dumps({"id": call.id("id", missing="thing_not_found"), "as sent": call.path["id"]}).encode())


async def nothing(_call: RequestContext) -> Answer:
    return Answer()


TABLE = [
    Route("POST", "/length", length, PUBLIC),
    Route("POST", "/ignores", ignores, PUBLIC),
    Route("GET", "/things/{id}", named, PUBLIC),
    Route("DELETE", "/things/{id}", nothing, PUBLIC, 204),
]


@pytest.fixture
async def things(serve: Serve) -> Client:
    return await serve(TABLE)


@pytest.mark.parametrize("path", ["/", "/nope", "//health", "/health%2F", "/Health", "/things", "/things/a/b", "/%00"])
async def test_an_unknown_path_is_404(things: Client, path: str) -> None:
    answer = await things.send("GET", path)

    assert (answer.status, answer.json) == (404, {"detail": "Not Found"})


async def test_a_wrong_method_is_405_and_says_which_are_allowed(things: Client) -> None:
    for method in ("POST", "PUT", "OPTIONS", "PROPFIND"):
        answer = await things.send(method, "/things/x")

        assert (answer.status, answer.json) == (405, {"detail": "Method Not Allowed"})
        assert sorted(answer.headers["Allow"].split(",")) == ["DELETE", "GET", "HEAD"]


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/health/", "/health"),
        ("/health///", "/health"),
        ("/health/?a=%2F&b=c%20d", "/health?a=%2F&b=c%20d"),
        ("/auth/sign-up/", "/auth/sign-up"),
        ("/approvals/%2F%2Fevil.example/", "/approvals/%2F%2Fevil.example"),
    ],
)
async def test_a_slash_too_many_leads_to_the_route_without_it(client: Client, path: str, location: str) -> None:
    head, body = await client.raw(f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())

    lines = head.decode().split("\r\n")
    assert lines[0].startswith("HTTP/1.1 307")
    assert f"Location: {location}" in lines
    assert body == b""


@pytest.mark.parametrize(
    "target", ["//evil.example/", "/nope/", "/", "///", "/\\evil.example/", "//evil.example/health/"]
)
async def test_a_slash_too_many_leads_nowhere_if_there_is_nothing_without_it(client: Client, target: str) -> None:
    head, body = await client.raw(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert head.startswith(b"HTTP/1.1 404")
    assert b"\r\nlocation:" not in head.lower()
    assert json.loads(body) == {"detail": "Not Found"}


async def test_a_target_with_a_host_in_it_is_led_by_its_path_alone(client: Client) -> None:
    head, _ = await client.raw(b"GET http://evil.example/health/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert b"\r\nLocation: /health\r\n" in head


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=lambda route: route.path)
async def test_head_is_allowed_wherever_get_is(client: Client, route: Route) -> None:
    head = await client.send("HEAD", route.path)

    assert head.status == (await client.send("GET", route.path)).status
    assert head.raw == b""


async def test_an_id_is_read_in_any_case_and_a_malformed_one_is_the_resources_own_404(things: Client) -> None:
    known = await things.send("GET", "/things/019712AB-3C4D-7E5F-8A9B-0C1D2E3F4A5B")
    assert known.json["id"] == "019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b"
    for bad in ("x", "%00", "%ED%A0%80", "a%2Fb", "{}", "019712ab3c4d7e5f8a9b0c1d2e3f4a5b", "%20", "%FF", "*"):
        answer = await things.send("GET", f"/things/{bad}")
        assert (answer.status, answer.json) == (404, {"detail": "thing_not_found"}), bad


async def test_a_204_has_neither_body_nor_type(things: Client) -> None:
    answer = await things.send("DELETE", "/things/x")

    assert (answer.status, answer.raw) == (204, b"")
    assert "Content-Type" not in answer.headers


async def test_an_operation_without_a_body_ignores_what_is_sent(things: Client) -> None:
    for sent in (b"", b"{", b"\xff\x00", b'{"a": 1}'):
        assert (await things.send("POST", "/ignores", data=sent, headers=JSON)).status == 200


def padded(size: int) -> bytes:
    """A JSON document of exactly ``size`` bytes."""
    frame = b'{"text": ""}'
    return frame.replace(b'""', b'"' + b"a" * (size - len(frame)) + b'"')


async def in_pieces(sent: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(sent), 65536):
        yield sent[start : start + 65536]


async def test_r49_a_body_of_the_largest_size_is_taken_and_a_byte_more_is_not(things: Client) -> None:
    for path in ("/length", "/ignores"):
        assert (await things.send("POST", path, data=padded(LIMIT), headers=JSON)).status == 200
        for sent in (io.BytesIO(padded(LIMIT + 1)), in_pieces(padded(LIMIT + 1))):
            answer = await things.send("POST", path, data=sent, headers=JSON)
            assert (answer.status, answer.json) == (413, {"detail": "body_too_large"})
            assert answer.headers["Connection"] == "close"


CODINGS = ["gzip", "deflate", "br", "zstd", "compress", "unheard-of", "identity, gzip", "GZIP"]


@pytest.mark.parametrize("path", ["/length", "/ignores"])
@pytest.mark.parametrize("coding", CODINGS)
async def test_r49_a_body_in_another_coding_is_refused_unread_and_logged_as_one_line(
    things: Client, capsys: pytest.CaptureFixture[str], path: str, coding: str
) -> None:
    head, body = await things.raw(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n"
        "Content-Length: 12\r\n\r\nno gzip here".encode()
    )

    assert head.split()[1] == b"415"
    assert json.loads(body) == {"detail": "unsupported_content_encoding"}
    assert b"\r\nConnection: close" in head
    assert "error" not in capsys.readouterr().out


@pytest.mark.parametrize("coding", ["identity", "", " , identity"])
async def test_a_body_in_its_own_form_may_say_so(things: Client, coding: str) -> None:
    headers = {**JSON, "Content-Encoding": coding}
    assert (await things.send("POST", "/length", data=padded(20), headers=headers)).json == {"length": 8}


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"BREW /coffee HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "bad_request"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nbroken header\r\n\r\n", 400, "bad_request"),
        (
            b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
            431,
            "request_header_fields_too_large",
        ),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "request_uri_too_long"),
        (
            b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X-Many: a\r\n" * 200 + b"\r\n",
            431,
            "request_header_fields_too_large",
        ),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Short\r\n : a\r\n\r\n", 400, "bad_request"),
        (b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Nul: a\x00b\r\n\r\n", 400, "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "bad_request"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else value,
)
async def test_r54_what_is_no_http_is_refused_in_json_and_quotes_nothing(
    things: Client, sent: bytes, status: int, code: str
) -> None:
    head, body = await things.raw(sent)

    assert int(head.split()[1]) == status
    assert json.loads(body) == {"detail": code}
    assert b"\r\nX-Request-ID: " in head
    assert b"\r\nX-Content-Type-Options: nosniff" in head
    assert b"\r\nContent-Type: application/json" in head


async def test_a_body_whose_framing_is_broken_crashes_nothing(things: Client) -> None:
    head, body = await things.raw(
        b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"
    )

    assert head.split()[1] in {b"400", b"422"}
    assert set(json.loads(body)) == {"detail"}


async def test_a_body_that_dribbles_is_not_waited_for(things: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voyagent.http.decode.ARRIVAL_TIMEOUT", 0.05)
    reader, writer = await asyncio.open_connection(things.host, things.port)
    writer.write(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{")
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readuntil(b"}") == b'{"detail":"request_timeout"}'
    assert head.split()[1] == b"408"
    assert b"\r\nConnection: close" in head
    writer.close()


async def test_the_body_is_asked_for_only_if_it_would_be_read(things: Client) -> None:
    for size, first in ((12, b"HTTP/1.1 100"), (LIMIT + 1, b"HTTP/1.1 413")):
        reader, writer = await asyncio.open_connection(things.host, things.port)
        writer.write(
            b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % size
        )
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(first)
        writer.close()


async def test_an_expectation_nobody_knows_is_no_reason_to_refuse(things: Client) -> None:
    answer = await things.send("POST", "/length", data=b'{"text": "abc"}', headers={**JSON, "Expect": "wonders"})

    assert answer.json == {"length": 3}


async def test_long_headers_of_our_host_that_mean_nothing_here_are_passed_over(client: Client) -> None:
    headers = {"Cookie": "a=" + "b" * 15_000}
    assert (await client.send("GET", "/health", headers=headers)).status == 200


async def test_cookies_are_neither_read_nor_set(client: Client) -> None:
    answer = await client.send("GET", "/health", headers={"Cookie": "session=stolen"})

    assert "Set-Cookie" not in answer.headers


async def test_a_stop_tells_the_streams_before_it_waits_for_them(client: Client) -> None:
    assert not client.services.streams.stopping

    await client.runner.cleanup()

    assert client.services.streams.stopping
