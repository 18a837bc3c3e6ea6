"""Every route on every kind of connection, as raw bytes: HTTP/1.0 and 1.1, kept alive and closed, ``HEAD``.

A client of HTTP/1.0 knows no chunks (RFC 9112, 7.1): a body of unknown length ends with its connection. nginx speaks so
to what is behind it unless told otherwise.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.rehearsal import Text, Turn
from tests.service.sessions import Sessions
from tests.waiting import PATIENCE, until
from voyagent.http.operation import EVENT_STREAM
from voyagent.http.route import Route
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from tests.service.conftest import Person, Running

NOBODY = "019712ab-0000-7000-8000-000000000000"
FORMS = {
    "1.0": ("HTTP/1.0", ""),
    "1.0 keep-alive": ("HTTP/1.0", "Connection: keep-alive\r\n"),
    "1.0 close": ("HTTP/1.0", "Connection: close\r\n"),
    "1.1": ("HTTP/1.1", ""),
    "1.1 keep-alive": ("HTTP/1.1", "Connection: keep-alive\r\n"),
    "1.1 close": ("HTTP/1.1", "Connection: close\r\n"),
}
STREAMS = {
    "message": ("POST", "messages", '{"message": "hello"}', ""),
    "replayed message": ("POST", "messages", "{}", "Last-Event-ID: 0\r\n"),
    "replay": ("GET", "events?follow=0&last_event_id=0", "", ""),
    "live": ("GET", "events?last_event_id=0", "", ""),
}
CLOSED_BY_US = ("1.0", "1.0 keep-alive", "1.0 close", "1.1 close")


def dechunked(body: bytes) -> bytes:
    """The content of a whole chunked body (RFC 9112, 7.1); an error for anything else."""
    content = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        assert re.fullmatch(rb"[0-9a-f]+", size), body[:40]
        length = int(size, 16)
        content += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        body = rest[length + 2 :]
        if not length:
            assert not body
            return content


@dataclass(slots=True)
class Got:
    """An answer's status line, headers and what followed them."""

    first: str
    headers: dict[str, str]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.first.split()[1])

    @property
    def content(self) -> bytes:
        """The body without its frame, which has to be whole."""
        if self.headers.get("transfer-encoding") == "chunked":
            return dechunked(self.body)
        length = self.headers.get("content-length")
        assert length is None or len(self.body) == int(length), (length, self.body)
        return self.body


def parsed(received: bytes) -> Got:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    return Got(first, {name.lower(): value for name, value in pairs}, body)


@dataclass(slots=True)
class Line:
    """One request on a connection of its own, and what came back so far."""

    method: str
    reader: asyncio.StreamReader
    received: bytes = b""

    async def until(self, words: bytes) -> Got:
        """Read on to these words, where the service keeps the connection open."""
        return await self._read(lambda: words in self.received)

    async def end(self) -> Got:
        """Read to the end of the answer."""
        return await self._read(lambda: whole(self.method, self.received))

    async def _read(self, done: Callable[[], bool]) -> Got:
        async with asyncio.timeout(PATIENCE):
            while not done() and (piece := await self.reader.read(65536)):
                self.received += piece
        return parsed(self.received)


@asynccontextmanager
async def opened(
    person: Person, method: str, path: str, form: str, *, body: str = "", more: str = ""
) -> AsyncIterator[Line]:
    version, connection = FORMS[form]
    place = urlsplit(person.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    who = f"Host: x\r\nAuthorization: Bearer {person.token}\r\n"
    asked = f"{method} {path} {version}\r\n{who}{connection}{length}{more}\r\n"
    try:
        writer.write((asked + body).encode())
        yield Line(method, reader)
    finally:
        writer.close()


async def exchange(person: Person, method: str, path: str, form: str, *, body: str = "", more: str = "") -> Got:
    """One request on a connection of its own, read to its end."""
    async with opened(person, method, path, form, body=body, more=more) as line:
        return await line.end()


def whole(method: str, received: bytes) -> bool:
    """Whether an answer that names its end has reached it, so that nobody need wait for a close."""
    head, split, _ = received.partition(b"\r\n\r\n")
    if not split:
        return False
    got = parsed(received)
    if got.headers.get("connection", "close" if head.startswith(b"HTTP/1.0") else "") == "close":
        return False
    if method == "HEAD" or got.status == 204:
        return True
    if got.headers.get("transfer-encoding") == "chunked":
        return received.endswith(b"0\r\n\r\n")
    return len(got.body) == int(got.headers["content-length"])


def path_of(route: Route, **ids: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: ids.get(found[1], NOBODY), route.path)


def test_the_streams_below_are_all_there_are() -> None:
    paths = {(route.method, route.path) for route in ROUTES if route.operation.media == EVENT_STREAM}
    base = "/chat/sessions/{session_id}/"
    assert paths == {(method, base + path.partition("?")[0]) for method, path, _, _ in STREAMS.values()}


@pytest.mark.parametrize(("stream", "form"), list(itertools.product(STREAMS, FORMS)))
async def test_a_stream_is_whole_on_every_kind_of_connection(
    stream: str, form: str, asha: Person, running: Running
) -> None:
    method, path, body, more = STREAMS[stream]
    session = await asha.session()
    running.rehearsal.play(Turn(Text.split("Fine ", "thank ", "you.")), Turn(Text.split("One, ", "two.")))
    await asha.say(session, "how are you?")
    if stream == "live":  # has no end of its own; words that come while it waits take another way than those replayed
        async with opened(asha, method, f"/chat/sessions/{session}/{path}", form) as line:
            await line.until(b'"kind":"final"')
            await asha.say(session, "go on")
            got = await line.until(b"two.")
    else:
        got = await exchange(asha, method, f"/chat/sessions/{session}/{path}", form, body=body, more=more)

    assert got.first == f"{FORMS[form][0]} 200 OK"
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert got.headers["cache-control"] == "no-store, no-transform"
    assert got.headers["x-accel-buffering"] == "no"
    assert got.headers.get("connection") == ("close" if form == "1.1 close" else None)
    assert ("transfer-encoding" in got.headers) == form.startswith("1.1")
    assert "content-length" not in got.headers
    if stream == "live":
        lines = got.body.split(b"\n")
        assert any(b"two." in line for line in lines)
        assert form.startswith("1.1") or all(re.match(rb"$|retry: |id: |event: |data: ", line) for line in lines)
        return
    blocks = got.content.decode().strip("\n").split("\n\n")
    assert blocks[0] == "retry: 2000"
    events = [json.loads(block.split("data: ", 1)[1]) for block in blocks[1:]]
    said = "".join(event["text"] for event in events if event["kind"] == "text_delta")
    assert said == ("One, two." if stream == "message" else "Fine thank you.")
    assert [event["kind"] for event in events].count("final") == 1


@pytest.mark.parametrize("form", FORMS)
async def test_head_of_a_stream_has_its_head_alone_and_starts_nothing(
    form: str, asha: Person, sessions: Sessions
) -> None:
    session = await asha.session()
    await asha.say(session, "how are you?")
    log = sessions.log(session)
    await until(lambda: not log.watched)
    path = f"/chat/sessions/{session}/events"
    got = await exchange(asha, "HEAD", path, form)
    assert (got.status, got.body) == (200, b"")
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "transfer-encoding" not in got.headers
    assert not log.subscriptions
    await until(lambda: not log.watched)


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0"])
async def test_a_message_in_a_version_that_cannot_be_answered_has_no_effect(version: str, asha: Person) -> None:
    session = await asha.session()
    FORMS[version] = (version, "")
    try:
        got = await exchange(asha, "POST", f"/chat/sessions/{session}/messages", version, body='{"message": "hello"}')
    finally:
        del FORMS[version]
    assert got.status in {400, 505}
    assert json.loads(got.body)["detail"] in {"bad_request", "http_version_not_supported"}
    page = await asha.get(f"/chat/sessions/{session}/messages")
    assert page["items"] == []


CSV = "text/csv"
PLAIN = [route for route in ROUTES if route.operation.media not in {EVENT_STREAM, CSV}]
DOWNLOADS = [route for route in ROUTES if route.operation.media == CSV]


@pytest.mark.parametrize("route", PLAIN, ids=lambda route: f"{route.method} {route.path}")
async def test_any_other_route_says_the_same_on_every_kind_of_connection(route: Route, asha: Person) -> None:
    seen = {}
    for form in FORMS:
        got = await exchange(asha, route.method, path_of(route), form)
        assert "transfer-encoding" not in got.headers
        assert "content-length" in got.headers or got.status == 204
        assert (got.headers.get("connection") == "close") == (form == "1.1 close")
        assert got.content or got.status == 204
        seen[form] = got.status
    assert len(set(seen.values())) == 1, seen
    assert seen["1.1"] < 500


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("route", DOWNLOADS, ids=lambda route: f"{route.method} {route.path}")
async def test_a_download_is_whole_on_every_kind_of_connection(route: Route, form: str, asha: Person) -> None:
    got = await exchange(asha, route.method, path_of(route), form)
    assert got.status == 200
    assert got.headers["content-type"].startswith("text/csv")
    assert ("transfer-encoding" in got.headers) == form.startswith("1.1")
    header, *rows = got.content.decode().splitlines()
    assert "kind" in header.split(",")
    assert any(",auth.sign_up," in row for row in rows), rows
