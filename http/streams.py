"""Server-sent events: one viewer's connection, which sends the events of its subscription to a session's log.

A stream has an owner (the handler that called ``serve``), a bound (one write of 256 KiB, a small kernel buffer, and a
stall timeout), a heartbeat, and an end.
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

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse

from ..actors.accounts.access_watch import AccessWatch
from ..actors.conversation.event_log import SseFrame, Subscription
from ..actors.domain.errors import Refusal
from ..actors.domain.events import HEARTBEAT, retry, transient_frame
from ..actors.foundation import metrics
from .stalls import stall_timeout

HEARTBEAT_SECONDS = 15.0
SEND_BUFFER = 64 * 1024
"""Bytes the kernel may hold for one viewer; its own default takes up to 4 MiB."""
HIGH_WATER = 16 * 1024
"""Bytes the transport may buffer for one viewer, beyond a write."""
DROPPED = "viewer_dropped"
"""The event that is logged of a viewer that stalls."""
NO_PINGS = 1e6
"""Seconds between aiohttp-sse's own pings, which are comments: our heartbeats are events."""


class EventStream(EventSourceResponse):
    """aiohttp-sse's response, for every method, with a charset and without caching or transformation."""

    def __init__(self) -> None:
        super().__init__(allow_all_methods=True, ping_interval=NO_PINGS)
        self.headers[hdrs.CONTENT_TYPE] = "text/event-stream; charset=utf-8"
        self.headers[hdrs.CACHE_CONTROL] = "no-store, no-transform"
        del self.headers[hdrs.CONNECTION]  # aiohttp sets it as it decides about the connection

    async def begin(self, request: web.Request) -> AbstractStreamWriter:
        """Send the head. HTTP/1.0 has no chunks: the end of the connection ends the stream."""
        if request.version < HttpVersion11:
            self.force_close()
        writer = await self.prepare(request)
        assert writer is not None  # None only when prepared twice
        self.stop_streaming()
        return writer


@dataclass(slots=True)
class Streams:
    """All open streams of the process, so that a stop ends them."""

    stall_seconds: float
    stopping: bool = False
    open: WeakSet[Viewer] = field(default_factory=WeakSet)
    _data: bytes = b""
    _chunk: bytes = b""
    _pushed_events: int = 0
    _pushed_bytes: int = 0

    def count(self, events: int, size: int) -> None:
        """Count what was pushed to one viewer, together with what goes to others in this round of the event loop."""
        if not self._pushed_bytes:
            asyncio.get_running_loop().call_soon(self._count_pushed)
        self._pushed_events += events
        self._pushed_bytes += size

    def _count_pushed(self) -> None:
        metrics.SSE_EVENTS_WRITTEN_TOTAL.inc(self._pushed_events)
        metrics.SSE_WRITTEN_BYTES_TOTAL.inc(self._pushed_bytes)
        self._pushed_events = self._pushed_bytes = 0

    def framed(self, data: bytes) -> bytes:
        """``data`` as a chunk (RFC 9112, 7.1). The last one is cached: all viewers of a session get the same."""
        if data is not self._data:
            self._data, self._chunk = data, b"%x\r\n%b\r\n" % (len(data), data)
        return self._chunk

    def stop(self) -> None:
        """Let every stream send its pending events and close."""
        self.stopping = True
        for viewer in list(self.open):
            viewer.subscription.wakeup.set()


class Viewer:
    """One open stream."""

    def __init__(
        self,
        streams: Streams,
        subscription: Subscription,
        access: AccessWatch,
        response: EventStream,
        writer: AbstractStreamWriter,
        request: web.Request,
    ) -> None:
        self.streams = streams
        self.access = access
        self.subscription = subscription
        self.response = response
        self.writer = writer
        self.chunked = hdrs.TRANSFER_ENCODING in response.headers
        self.request = request
        self.end = "client"
        self.sent_at = monotonic()
        self.heartbeat_due = False
        self.waits = False
        subscription.sink = self._push
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        """Wake the pump to send a heartbeat, or to check the maximum stream age.

        One timer, which is set again when it fires, instead of one for each event.
        """
        left = self.sent_at + HEARTBEAT_SECONDS - monotonic()
        if left <= 0:
            left, self.heartbeat_due = HEARTBEAT_SECONDS, True
        self.subscription.wakeup.set()
        self._timer = asyncio.get_running_loop().call_later(left, self._beat)

    def _push(self, data: bytes, events: int) -> bool:
        """Write new events at once if the pump waits and nothing is buffered, without waking a task.

        They are encoded as a chunk once for all viewers; a response without chunks gets them as they are.
        """
        transport = self.request.transport
        if (
            not self.waits
            or self.streams.stopping
            or self.access.is_revoked
            or transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size()
        ):
            return False
        transport.write(self.streams.framed(data) if self.chunked else data)
        self.sent_at = monotonic()
        self.streams.count(events, len(data))
        return True

    def close(self) -> None:
        """Stop pushes and heartbeats."""
        self.subscription.sink = None
        self._timer.cancel()


FinalWritten = Callable[[str, int], None]
"""Called with the turn and the id of each ``final`` that was written to the transport."""


async def serve(
    streams: Streams,
    request: web.Request,
    subscription: Subscription,
    access: AccessWatch,
    *,
    session_id: str,
    final_written: FinalWritten | None = None,
    lifetime: float | None = None,
) -> web.StreamResponse:
    """Send events until the subscription ends, the client leaves, the service stops, or the access is revoked."""
    response = EventStream()
    viewer: Viewer | None = None
    try:
        _limit_buffers(request)
        writer = await response.begin(request)
        if request.method == hdrs.METH_HEAD:
            return response
        viewer = Viewer(streams, subscription, access, response, writer, request)
        streams.open.add(viewer)
        metrics.SSE_VIEWERS.inc()
        access.on_revoked = subscription.wakeup.set
        try:
            await _pump(streams, viewer, session_id, final_written, lifetime)
        finally:
            access.on_revoked = None
            metrics.SSE_VIEWERS.dec()
            metrics.SSE_STREAMS_TOTAL.labels(end=viewer.end).inc()
        async with stall_timeout(request, streams.stall_seconds, DROPPED):
            await response.write_eof()
        return response
    finally:
        subscription.close()
        if viewer is not None:
            viewer.close()
            streams.open.discard(viewer)


def _limit_buffers(request: web.Request) -> None:
    """Buffer little for a viewer that does not read."""
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
    session_id: str,
    final_written: FinalWritten | None,
    lifetime: float | None,
) -> None:
    subscription = viewer.subscription
    ends_at = None if lifetime is None else monotonic() + lifetime
    reported: SseFrame | None = None
    await _send(streams, viewer, retry(2000))
    while True:
        try:
            chunk = await subscription.next_chunk()
        except Refusal as refusal:
            viewer.end = "error"
            await _send(streams, viewer, transient_frame("error", session_id, _now(), "error", refusal.code))
            return
        if viewer.access.is_revoked:
            viewer.end = "error"
            await _send(streams, viewer, transient_frame("error", session_id, _now(), "error", "unauthorized"))
            return
        if chunk:
            await _send(streams, viewer, chunk)
            _count(subscription, chunk)
            final = subscription.last_final
            if final_written is not None and final is not None and final is not reported:
                reported = final
                final_written(final.turn_id, final.seq)
        if subscription.ended:
            viewer.end = "final" if subscription.last_final else "client"
            return
        if streams.stopping:
            viewer.end = "shutdown"
            await _send(streams, viewer, retry(random.randint(500, 5000)))  # noqa: S311 -- spreads reconnects, is no secret
            return
        if ends_at is not None and monotonic() > ends_at:
            return
        if not chunk or subscription.after >= subscription.log.last:
            await _wait(streams, viewer)


def _count(subscription: Subscription, chunk: bytes) -> None:
    metrics.SSE_EVENTS_WRITTEN_TOTAL.inc(subscription.events)
    metrics.SSE_WRITTEN_BYTES_TOTAL.inc(len(chunk))
    subscription.events = 0


async def _wait(streams: Streams, viewer: Viewer) -> None:
    """Wait until something is new, or send the heartbeat that is due."""
    if not viewer.heartbeat_due:
        viewer.waits = True
        await viewer.subscription.wakeup.wait()
        viewer.waits = False
    if viewer.heartbeat_due:
        await _send(streams, viewer, HEARTBEAT)


async def _send(streams: Streams, viewer: Viewer, data: bytes) -> None:
    """Write, and abort the connection of a viewer that stalls: a close would wait for it."""
    viewer.heartbeat_due = False
    viewer.sent_at = monotonic()
    transport = viewer.request.transport
    if transport is not None and not transport.get_write_buffer_size() and len(data) < HIGH_WATER:
        await viewer.response.write(data)  # does not wait, and a timeout would cost more than the write
        return
    async with stall_timeout(viewer.request, streams.stall_seconds, DROPPED):
        await viewer.response.write(data)
        await viewer.writer.drain()


def _now() -> datetime:
    return datetime.now(UTC)
