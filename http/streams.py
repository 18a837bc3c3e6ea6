"""Server-sent events: one viewer's connection, fed from its cursor into a session's log.

A stream has an owner (the handler that called ``serve``), a bound (one write of 256 KiB, a small kernel buffer, and a
limit on how long a viewer may take nothing), a heartbeat, and an end.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from weakref import WeakSet

from aiohttp import web

from ..actors import log, metrics
from ..actors.accounts.watch import Watching
from ..actors.domain.errors import Refusal
from ..actors.domain.events import HEARTBEAT, aside, retry
from ..actors.eventlog import Feed

_log = log.get(__name__)

HEARTBEAT_SECONDS = 15.0
SEND_BUFFER = 64 * 1024
"""Bytes the kernel may hold for one viewer; its own default takes up to 4 MiB."""
HIGH_WATER = 16 * 1024
"""Bytes that may wait in the process for one viewer, beyond a write."""
SLOW_SECONDS, SLOWEST_SECONDS = 0.1, 1.0
"""Between two looks at whether a slow viewer has taken something, at first and at last."""

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
}


@dataclass(slots=True)
class Streams:
    """All open streams of the process, so that a stop can end them."""

    stall_seconds: float
    stopping: bool = False
    open: WeakSet[Viewer] = field(default_factory=WeakSet)
    _data: bytes = b""
    _chunk: bytes = b""

    def framed(self, data: bytes) -> bytes:
        """``data`` as a chunk. The last one is kept: many viewers of a session get the same."""
        if data is not self._data:
            self._data, self._chunk = data, b"%x\r\n%b\r\n" % (len(data), data)
        return self._chunk

    def stop(self) -> None:
        """Have every stream send what it has and close."""
        self.stopping = True
        for viewer in list(self.open):
            viewer.feed.bell.set()


class Viewer:
    """One open stream."""

    def __init__(
        self, streams: Streams, feed: Feed, watching: Watching, response: web.StreamResponse, request: web.Request
    ) -> None:
        self.streams = streams
        self.watching = watching
        self.feed = feed
        self.response = response
        self.request = request
        self.end = "client"
        self.sent_at = monotonic()
        self.due = False
        self.waits = False
        feed.taker = self._take
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        """Ring for a heartbeat once nothing was sent for so long, and for a look at the stream's age in any case.

        One timer that moves on when it is due, not one for every event.
        """
        left = self.sent_at + HEARTBEAT_SECONDS - monotonic()
        if left <= 0:
            left, self.due = HEARTBEAT_SECONDS, True
        self.feed.bell.set()
        self._timer = asyncio.get_running_loop().call_later(left, self._beat)

    def _take(self, data: bytes, events: int) -> bool:
        """Write new events on the spot, while the pump waits and the connection has room: no task is woken for them.

        They are a chunk of HTTP/1.1 (RFC 9112 7.1), framed once for all who watch.
        """
        transport = self.request.transport
        if (
            not self.waits
            or self.streams.stopping
            or self.watching.is_lost
            or transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size()
        ):
            return False
        transport.write(self.streams.framed(data))
        self.sent_at = monotonic()
        metrics.SSE_EVENTS_WRITTEN_TOTAL.inc(events)
        metrics.SSE_WRITTEN_BYTES_TOTAL.inc(len(data))
        return True

    def close(self) -> None:
        """No beat any more."""
        self.feed.taker = None
        self._timer.cancel()


Handed = Callable[[str], None]
"""Called with the turn whose ``final`` was handed to the transport."""


async def serve(
    streams: Streams,
    request: web.Request,
    feed: Feed,
    watching: Watching,
    *,
    session_id: str,
    handed: Handed | None = None,
    lifetime: float | None = None,
) -> web.StreamResponse:
    """Send the feed until its end, the caller's, the service's or its owner's access's."""
    response = web.StreamResponse(headers=HEADERS)
    viewer = Viewer(streams, feed, watching, response, request)
    try:
        _narrow(request)
        response.enable_chunked_encoding()
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        streams.open.add(viewer)
        metrics.SSE_VIEWERS.inc()
        lost = asyncio.get_running_loop().create_task(_ring_when_lost(watching, feed))
        try:
            await _pump(streams, viewer, watching, session_id, handed, lifetime)
        finally:
            lost.cancel()
            metrics.SSE_VIEWERS.dec()
            metrics.SSE_STREAMS_TOTAL.labels(end=viewer.end).inc()
        await response.write_eof()
        return response
    finally:
        viewer.close()
        feed.close()
        streams.open.discard(viewer)


def _narrow(request: web.Request) -> None:
    """Hold little for a viewer that does not read."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    transport.set_write_buffer_limits(high=HIGH_WATER)


async def _ring_when_lost(watching: Watching, feed: Feed) -> None:
    await watching.lost()
    feed.bell.set()


async def _pump(
    streams: Streams,
    viewer: Viewer,
    watching: Watching,
    session_id: str,
    handed: Handed | None,
    lifetime: float | None,
) -> None:
    feed = viewer.feed
    ends_at = None if lifetime is None else monotonic() + lifetime
    await _send(streams, viewer, retry(2000))
    while True:
        try:
            chunk = await feed.take()
        except Refusal as away:
            viewer.end = "error"
            await _send(streams, viewer, aside("error", session_id, _now(), "error", away.code))
            return
        if watching.is_lost:
            viewer.end = "error"
            await _send(streams, viewer, aside("error", session_id, _now(), "error", "unauthorized"))
            return
        if chunk:
            await _send(streams, viewer, chunk)
            _count(feed, chunk)
            if handed is not None and feed.last_final is not None:
                handed(feed.last_final)
        if feed.ended:
            viewer.end = "final" if feed.last_final else "client"
            return
        if streams.stopping:
            viewer.end = "shutdown"
            await _send(streams, viewer, retry(random.randint(500, 5000)))  # noqa: S311 -- spreads clients, hides nothing
            return
        if ends_at is not None and monotonic() > ends_at:
            return
        if not chunk or feed.after >= feed.log.last:
            await _wait(streams, viewer)


def _count(feed: Feed, chunk: bytes) -> None:
    metrics.SSE_EVENTS_WRITTEN_TOTAL.inc(feed.events)
    metrics.SSE_WRITTEN_BYTES_TOTAL.inc(len(chunk))
    feed.events = 0


async def _wait(streams: Streams, viewer: Viewer) -> None:
    """Wait for something new, or beat."""
    if not viewer.due:
        viewer.waits = True
        await viewer.feed.bell.wait()
        viewer.waits = False
    if viewer.due:
        await _send(streams, viewer, HEARTBEAT)


async def _send(streams: Streams, viewer: Viewer, data: bytes) -> None:
    """Write, and drop a viewer that takes nothing for too long: a close would wait for it."""
    viewer.due = False
    viewer.sent_at = monotonic()
    transport = viewer.request.transport
    if transport is not None and not transport.get_write_buffer_size() and len(data) < HIGH_WATER:
        await viewer.response.write(data)  # has room, so it will not wait: a limit on its time would cost more than it
        return
    try:
        async with asyncio.timeout(streams.stall_seconds):
            await viewer.response.write(data)
            pause = SLOW_SECONDS
            while transport is not None and transport.get_write_buffer_size() > HIGH_WATER:
                await asyncio.sleep(pause)  # nothing public tells when it has room
                pause = min(2 * pause, SLOWEST_SECONDS)
    except TimeoutError:
        _log.info("viewer_dropped", seconds=streams.stall_seconds)
        if viewer.request.transport is not None:
            viewer.request.transport.abort()
        raise ConnectionResetError("the viewer takes nothing") from None


def _now() -> datetime:
    return datetime.now(UTC)
