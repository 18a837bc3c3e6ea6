"""Clients that cost next to nothing, so that what is measured is the server."""

from __future__ import annotations

import asyncio
import json
import re
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

from pace import STAMP

PATIENCE = 30.0
LAST_CHUNK = b"0\r\n\r\n"
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """Something that listens, and who asks it."""

    url: str
    token: str = ""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 80)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        """One request's bytes."""
        payload = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: bench", *(f"{name}: {said}" for name, said in headers.items())]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
        return "\r\n".join([*lines, "", ""]).encode() + payload

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of one answer; anything but a success ends the bench."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(self.request(method, path, body, Connection="close"))
                head, _, said = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"{method} {path}: {head[:40]!r} {said[:300]!r}")
        return json.loads(said) if said else None


class Asker(asyncio.Protocol):
    """Asks the same again as soon as it is answered, or ``pause`` seconds later; notes how long each answer took."""

    def __init__(self, request: bytes, pause: float) -> None:
        self.request = request
        self.pause = pause
        self.times: list[float] = []
        self.failed = 0
        self.over = False
        self.buffer = b""
        self.began = 0.0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        if not self.over:
            self.began = time.perf_counter()
            self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self.buffer, 0, head)
        if length is None or len(self.buffer) < head + 4 + int(length[1]):
            return
        self.times.append(time.perf_counter() - self.began)
        self.failed += not self.buffer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201"))
        self.buffer = b""
        if self.pause:
            asyncio.get_running_loop().call_later(self.pause, self.send)
        else:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the hook's own
        self.failed += not self.over


async def hammer(target: Target, *requests: bytes, seconds: float, pause: float = 0.0) -> tuple[float, list[float]]:
    """Answers a second, and the seconds each took. Each request is asked again and again on a connection of its own."""
    loop = asyncio.get_running_loop()
    askers: list[Asker] = []
    began = time.perf_counter()
    for request in requests:
        _, asker = await loop.create_connection(lambda each=request: Asker(each, pause), *target.address)
        askers.append(asker)
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    for asker in askers:
        asker.over = True
        asker.transport.abort()
    if failed := sum(asker.failed for asker in askers):
        raise RuntimeError(f"{failed} requests were not answered with 200 or 201")
    times = [each for asker in askers for each in asker.times]
    return len(times) / took, times


class Listener(asyncio.Protocol):
    """Reads one stream. With ``keep`` every piece and its moment stay, else only how much came and the end of it."""

    def __init__(self, request: bytes, *, keep: bool) -> None:
        self.request = request
        self.keep = keep
        self.pieces: list[tuple[int, bytes]] = []
        self.size = 0
        self.heard = 0
        self.tail = b""
        self.wanted: bytes | None = None
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.reached: asyncio.Future[None] = loop.create_future()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic_ns()
        if self.keep:
            self.pieces.append((self.heard, data))
        self.size += len(data)
        self.tail = data if len(data) > 1000 else self.tail[-1000:] + data
        if not self.opened.done():
            if data.startswith(b"HTTP/1.1 200"):
                self.opened.set_result(None)
            else:
                self.opened.set_exception(RuntimeError(f"no stream: {data[:300]!r}"))
        if self.wanted is not None:
            self.look()
        if self.tail.endswith(LAST_CHUNK):
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the hook's own
        if not self.opened.done():
            self.opened.set_exception(RuntimeError("no stream: the connection was lost"))
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def look(self) -> None:
        if self.wanted is not None and self.wanted in self.tail and not self.reached.done():
            self.reached.set_result(None)

    async def until(self, words: bytes) -> None:
        """Return when ``words`` are among the last thousand bytes."""
        self.wanted = words
        self.reached = asyncio.get_running_loop().create_future()
        self.look()
        await self.reached

    def deltas(self) -> list[tuple[int, int]]:
        """For each delta when the model sent it and when it came here, in nanoseconds of the machine's clock."""
        ends = list(accumulate(len(data) for _, data in self.pieces))
        whole = b"".join(data for _, data in self.pieces).decode("utf-8", "replace")
        return [(int(stamp[2]), self.pieces[bisect_left(ends, stamp.end())][0]) for stamp in STAMP.finditer(whole)]


@dataclass(slots=True)
class Crowd:
    """Streams read at once."""

    listeners: list[Listener] = field(default_factory=list)

    async def add(self, target: Target, requests: Iterable[bytes], *, keep: bool = False) -> None:
        """Open a stream for each request and wait until all are answered."""
        loop = asyncio.get_running_loop()
        fresh = []
        for request in requests:
            _, listener = await loop.create_connection(lambda said=request: Listener(said, keep=keep), *target.address)
            fresh.append(listener)
        self.listeners += fresh
        await _all(each.opened for each in fresh)

    async def ended(self) -> None:
        waits = [each.ended for each in self.listeners]
        await asyncio.wait(waits, timeout=PATIENCE)
        late = [each for each in self.listeners if not each.ended.done()]
        if late:
            silent = min(time.monotonic_ns() - each.heard for each in late) / 1e9
            raise RuntimeError(
                f"{len(late)} of {len(waits)} streams have no end; silent for {silent:.1f} s: {late[0].tail[-300:]!r}"
            )

    async def reached(self, words: bytes) -> None:
        await _all(each.until(words) for each in self.listeners)

    def close(self) -> None:
        for each in self.listeners:
            each.transport.abort()
        self.listeners.clear()


async def _all(waits: Iterable[Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waits)


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    """A crowd that goes home at the end."""
    gathered = Crowd()
    try:
        yield gathered
    finally:
        gathered.close()


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def rounded(value: float) -> float:
    """Three digits are all a bench can mean."""
    return float(f"{value:.3g}") if abs(value) < 1000 else float(round(value))
