"""Server-sent events: one viewer's connection, fed from its cursor into a session's log.

A stream has an owner (the handler that called ``serve``), a bound (one write of 256 KiB, a small kernel buffer, and a
limit on how long a viewer may take nothing), a heartbeat, and an end.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fcntl import ioctl
from struct import unpack
from termios import TIOCOUTQ
from time import monotonic
from weakref import WeakSet

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse

from ..actors.accounts.access_watch import AccessWatch
from ..actors.conversation.event_log import SseFrame, Subscription
from ..actors.domain.errors import Refusal
from ..actors.domain.events import HEARTBEAT, retry, transient_frame
from ..actors.foundation import log, metrics

_log = log.get(__name__)

HEARTBEAT_SECONDS = 15.0
SEND_BUFFER = 64 * 1024
"""Bytes the kernel may hold for one viewer; its own default takes up to 4 MiB."""
HIGH_WATER = 16 * 1024
"""Bytes that may wait in the process for one viewer, beyond a write."""
LOOKS = 8
"""How often in the time a viewer may take nothing one looks at whether it has taken something."""
NEVER = 1e6
"""Seconds between the library's own pings, which are comments: our heartbeats are events."""


class EventStream(EventSourceResponse):
    """The library's response, for every method, with the charset named and for no cache or proxy to change."""

    def __init__(self) -> None:
        super().__init__(allow_all_methods=True, ping_interval=NEVER)
        self.headers[hdrs.CONTENT_TYPE] = "text/event-stream; charset=utf-8"
        self.headers[hdrs.CACHE_CONTROL] = "no-store, no-transform"
        del self.headers[hdrs.CONNECTION]  # what becomes of the connection is told by who decides it

    async def begin(self, request: web.Request) -> AbstractStreamWriter:
        """Send the head. Before HTTP/1.1 there are no chunks: the end of the connection ends the stream."""
        if request.version < HttpVersion11:
            self.force_close()
        writer = await self.prepare(request)
        assert writer is not None  # only a second time there is none
        self.stop_streaming()
        return writer


@dataclass(slots=True)
class Streams:
    """All open streams of the process, so that a stop can end them."""

    stall_seconds: float
    stopping: bool = False
    open: WeakSet[Viewer] = field(default_factory=WeakSet)
    _data: bytes = b""
    _chunk: bytes = b""

    def framed(self, data: bytes) -> bytes:
        """``data`` as a chunk (RFC 9112, 7.1). The last one is kept: many viewers of a session get the same."""
        if data is not self._data:
            self._data, self._chunk = data, b"%x\r\n%b\r\n" % (len(data), data)
        return self._chunk

    def stop(self) -> None:
        """Have every stream send what it has and close."""
        self.stopping = True
        for viewer in list(self.open):
            viewer.feed.wakeup.set()


class Viewer:
    """One open stream."""

    def __init__(
        self,
        streams: Streams,
        feed: Subscription,
        watching: AccessWatch,
        response: EventStream,
        writer: AbstractStreamWriter,
        request: web.Request,
    ) -> None:
        self.streams = streams
        self.watching = watching
        self.feed = feed
        self.response = response
        self.writer = writer
        self.chunked = hdrs.TRANSFER_ENCODING in response.headers
        self.request = request
        self.end = "client"
        self.sent_at = monotonic()
        self.due = False
        self.waits = False
        feed.sink = self._take
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        """Ring for a heartbeat once nothing was sent for so long, and for a look at the stream's age in any case.

        One timer that moves on when it is due, not one for every event.
        """
        left = self.sent_at + HEARTBEAT_SECONDS - monotonic()
        if left <= 0:
            left, self.due = HEARTBEAT_SECONDS, True
        self.feed.wakeup.set()
        self._timer = asyncio.get_running_loop().call_later(left, self._beat)

    def _take(self, data: bytes, events: int) -> bool:
        """Write new events on the spot, while the pump waits and there is room: no task is woken for them.

        They are framed once for all who watch, in the way this viewer's head says.
        """
        transport = self.request.transport
        if (
            not self.waits
            or self.streams.stopping
            or self.watching.is_revoked
            or transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size()
        ):
            return False
        transport.write(self.streams.framed(data) if self.chunked else data)
        self.sent_at = monotonic()
        metrics.SSE_EVENTS_WRITTEN_TOTAL.inc(events)
        metrics.SSE_WRITTEN_BYTES_TOTAL.inc(len(data))
        return True

    def unsent(self) -> int:
        """Bytes written that the other end has not acknowledged; 0 for a connection that is gone."""
        transport = self.request.transport
        if transport is None or transport.is_closing():
            return 0
        (in_kernel,) = unpack("i", ioctl(transport.get_extra_info("socket"), TIOCOUTQ, bytes(4)))
        return transport.get_write_buffer_size() + int(in_kernel)

    def close(self) -> None:
        """No beat any more."""
        self.feed.sink = None
        self._timer.cancel()


Handed = Callable[[str, int], None]
"""Called with the turn and the id of each ``final`` that was handed to the transport."""


async def serve(
    streams: Streams,
    request: web.Request,
    feed: Subscription,
    watching: AccessWatch,
    *,
    session_id: str,
    handed: Handed | None = None,
    lifetime: float | None = None,
) -> web.StreamResponse:
    """Send the feed until its end, the caller's, the service's or its owner's access's."""
    response = EventStream()
    viewer: Viewer | None = None
    try:
        _narrow(request)
        writer = await response.begin(request)
        if request.method == hdrs.METH_HEAD:
            return response
        viewer = Viewer(streams, feed, watching, response, writer, request)
        streams.open.add(viewer)
        metrics.SSE_VIEWERS.inc()
        watching.on_revoked = feed.wakeup.set
        try:
            await _pump(streams, viewer, watching, session_id, handed, lifetime)
        finally:
            watching.on_revoked = None
            metrics.SSE_VIEWERS.dec()
            metrics.SSE_STREAMS_TOTAL.labels(end=viewer.end).inc()
        async with _patience(streams, viewer):
            await response.write_eof()
        return response
    finally:
        feed.close()
        if viewer is not None:
            viewer.close()
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


async def _pump(
    streams: Streams,
    viewer: Viewer,
    watching: AccessWatch,
    session_id: str,
    handed: Handed | None,
    lifetime: float | None,
) -> None:
    feed = viewer.feed
    ends_at = None if lifetime is None else monotonic() + lifetime
    told: SseFrame | None = None
    await _send(streams, viewer, retry(2000))
    while True:
        try:
            chunk = await feed.next_chunk()
        except Refusal as away:
            viewer.end = "error"
            await _send(streams, viewer, transient_frame("error", session_id, _now(), "error", away.code))
            return
        if watching.is_revoked:
            viewer.end = "error"
            await _send(streams, viewer, transient_frame("error", session_id, _now(), "error", "unauthorized"))
            return
        if chunk:
            await _send(streams, viewer, chunk)
            _count(feed, chunk)
            if handed is not None and feed.last_final is not None and feed.last_final is not told:
                told = feed.last_final
                handed(told.turn_id, told.seq)
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


def _count(feed: Subscription, chunk: bytes) -> None:
    metrics.SSE_EVENTS_WRITTEN_TOTAL.inc(feed.events)
    metrics.SSE_WRITTEN_BYTES_TOTAL.inc(len(chunk))
    feed.events = 0


async def _wait(streams: Streams, viewer: Viewer) -> None:
    """Wait for something new, or beat."""
    if not viewer.due:
        viewer.waits = True
        await viewer.feed.wakeup.wait()
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
    async with _patience(streams, viewer):
        await viewer.response.write(data)
        await viewer.writer.drain()


@asynccontextmanager
async def _patience(streams: Streams, viewer: Viewer) -> AsyncIterator[None]:
    """Wait for a viewer as long as it takes something now and then: a slow one is no dead one."""
    loop, seconds = asyncio.get_running_loop(), streams.stall_seconds
    try:
        async with asyncio.timeout(seconds) as limit:
            watching = loop.create_task(_prolong(viewer, limit, seconds))
            try:
                yield
            finally:
                watching.cancel()
    except TimeoutError:
        _log.info("viewer_dropped", seconds=seconds)
        if viewer.request.transport is not None:
            viewer.request.transport.abort()
        raise ConnectionResetError("the viewer takes nothing") from None


async def _prolong(viewer: Viewer, limit: asyncio.Timeout, seconds: float) -> None:
    """Move the limit on whenever something was taken. Only what is not sent yet tells: the kernel says it to nobody."""
    loop, left = asyncio.get_running_loop(), viewer.unsent()
    while True:
        await asyncio.sleep(seconds / LOOKS)
        now = viewer.unsent()
        if now < left and not limit.expired():
            limit.reschedule(loop.time() + seconds)
        left = now


def _now() -> datetime:
    return datetime.now(UTC)
