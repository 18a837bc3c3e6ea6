"""A session's newest events, encoded once and shared by all viewers.

Only the session's actor writes to it. A viewer holds a ``Subscription``, a cursor into it: a slow viewer needs no
buffer and gets all missed events in one chunk. Events that have left the ring are read from the table.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple
from weakref import WeakSet

from ..domain.events import frame

RING_FRAMES = 200
RING_BYTES = 1024 * 1024
WRITE_BYTES = 256 * 1024
"""Largest chunk of one write."""


class SseFrame(NamedTuple):
    """One encoded event, with the fields that subscriptions filter by."""

    seq: int
    turn_id: str
    kind: str
    encoded: bytes


class Batch(NamedTuple):
    """Events published together, encoded as one chunk for subscriptions that are up to date."""

    first: int
    last: int
    turn_id: str
    """Empty if the events belong to several turns."""
    final: bool
    encoded: bytes

    @classmethod
    def of(cls, frames: Sequence[SseFrame]) -> Batch:
        """From at least one frame."""
        if len(frames) == 1:  # the common case
            [one] = frames
            return cls(one.seq, one.seq, one.turn_id, one.kind == "final", one.encoded)
        turns = {each.turn_id for each in frames}
        return cls(
            frames[0].seq,
            frames[-1].seq,
            turns.pop() if len(turns) == 1 else "",
            any(each.kind == "final" for each in frames),
            b"".join(each.encoded for each in frames),
        )


Take = Callable[[bytes, int], bool]
"""Accepts a chunk of so many events, or returns false; ``Subscription.next_chunk`` fetches them then."""
Older = Callable[[int, int], Awaitable[Sequence[SseFrame]]]
"""Reads events after the first id up to the second from the table, at most some hundreds at once."""
Gap = Callable[[int], bytes]
"""Makes the frame reporting that events up to this id are no longer kept."""


class EventLog:
    """The ring of frames of one session, and its subscriptions."""

    def __init__(
        self,
        last: int,
        pruned_through: int,
        older: Older,
        *,
        cap: int = RING_FRAMES,
        gap: Gap = lambda _: b"",
        unwatched: Callable[[], None] = lambda: None,
    ) -> None:
        """``unwatched`` is called when the last viewer unsubscribes; the owner then calls ``drop_unwatched``."""
        self.last = last
        self.pruned_through = pruned_through
        self._busy = False
        self.over = False
        self.closing_frame: bytes = b""
        self.subscriptions: set[Subscription] = set()
        """Those that have been read from."""
        self.unread: WeakSet[Subscription] = WeakSet()
        """Those handed out and not read from yet. One whose asker has gone is freed with its last reference."""
        self.gap = gap
        self._older = older
        self._unwatched = unwatched
        self._cap = cap
        self._ring: deque[SseFrame] = deque()
        self._size = 0

    @property
    def busy(self) -> bool:
        """Whether the session has work. The ring is kept only then, or while it has viewers."""
        return self._busy

    @busy.setter
    def busy(self, busy: bool) -> None:
        self._busy = busy
        self.drop_unwatched()

    @property
    def watched(self) -> bool:
        """Whether anybody reads, or is about to read."""
        return bool(self.subscriptions or self.unread)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a subscription."""
        self.unread.discard(subscription)
        self.subscriptions.discard(subscription)
        if not self.subscriptions:
            self._unwatched()

    def drop_unwatched(self) -> None:
        """Free the ring of an idle session without viewers: the table has all events."""
        if not self._busy and not self.subscriptions:
            self._ring = deque()
            self._size = 0

    @property
    def first(self) -> int:
        """The oldest id in the ring; one beyond the newest if it is empty."""
        return self._ring[0].seq if self._ring else self.last + 1

    def publish(self, fresh: Sequence[SseFrame]) -> None:
        """Add stored events, at least one; push them to each subscription, or wake it."""
        for each in fresh:
            self._ring.append(each)
            self._size += len(each.encoded)
            self.last = each.seq
        self._trim()
        batch = Batch.of(fresh)
        for subscription in self.subscriptions:
            if not subscription.try_push(batch):
                subscription.wakeup.set()

    def _trim(self) -> None:
        while len(self._ring) > self._cap or (self._size > RING_BYTES and len(self._ring) > 1):
            self._size -= len(self._ring.popleft().encoded)

    def pruned(self, through: int) -> None:
        """Text deltas up to this id were removed from the table: what is kept is read from there."""
        self.pruned_through = max(self.pruned_through, through)
        while self._ring and self._ring[0].seq <= min(through, self.last - 1):
            self._size -= len(self._ring.popleft().encoded)

    def wake_all(self) -> None:
        """Wake every subscription: its end condition may be met."""
        for subscription in self.subscriptions:
            subscription.wakeup.set()

    def end(self, closing_frame: bytes = b"") -> None:
        """Close the log: viewers get ``closing_frame`` and their streams end."""
        self.over = True
        self.closing_frame = closing_frame
        self.wake_all()

    async def read_after(self, after: int) -> Sequence[SseFrame]:
        """Frames after ``after`` in order, from the ring or, older than it, from the table."""
        while after + 1 < self.first:
            through = self.first - 1
            older = await self._older(after, through)
            self._notice_gaps(after, older, through)
            if older:
                return older
            after = through  # all of it is pruned
        return self.newest(after)

    def newest(self, after: int) -> Sequence[SseFrame]:
        """Frames after ``after``, all of which are in the ring."""
        count = self.last - after
        if count == 1:  # the common case
            return (self._ring[-1],)
        newest = list(islice(reversed(self._ring), max(count, 0)))
        newest.reverse()
        return newest

    def _notice_gaps(self, after: int, read: Sequence[SseFrame], through: int) -> None:
        """Treat gaps in the ids as pruned events, which this process may not know of yet."""
        expected = after + 1
        for each in read:
            if each.seq != expected:
                self.pruned(each.seq - 1)
            expected = each.seq + 1
        if not read:
            self.pruned(through)


@dataclass(slots=True, eq=False)
class PassEnd:
    """Where a pass ended in the log: the id of its ``final``, once known. Set by the session's actor only."""

    event: int | None = None


@dataclass(frozen=True, slots=True)
class EndCondition:
    """Where a stream ends.

    One of: at once (``replay``), never (``live``), with the last of some passes (``ends``), or (``settled``) with the
    ``final`` after which the session is idle.
    """

    replay: bool = False
    live: bool = False
    settled: bool = False
    ends: tuple[PassEnd, ...] = ()

    @property
    def event(self) -> int | None:
        """The event that is the stream's last, once all its passes have ended."""
        events = [end.event for end in self.ends if end.event is not None]
        return max(events) if events and len(events) == len(self.ends) else None


class Subscription:
    """One viewer's cursor into the log. The viewer must close it."""

    def __init__(
        self,
        log: EventLog,
        *,
        after: int,
        until: EndCondition,
        only: str | None = None,
        prelude: bytes = b"",
        epilogue: bytes = b"",
    ) -> None:
        self.log = log
        self.after = after
        self.until = until
        self.only = only
        self.prelude = prelude
        self.epilogue = epilogue
        self.wakeup = asyncio.Event()
        self.sink: Take | None = None
        self.last_final: SseFrame | None = None
        self.events = 0
        self._announced = log.pruned_through
        self._ended = False
        log.unread.add(self)

    def close(self) -> None:
        """Unsubscribe."""
        self.log.unsubscribe(self)

    def fork(self) -> Subscription:
        """A second subscription to the same events, before any were read."""
        return Subscription(
            self.log, after=self.after, until=self.until, only=self.only, prelude=self.prelude, epilogue=self.epilogue
        )

    @property
    def ended(self) -> bool:
        """Whether all chunks have been read."""
        return self._ended

    def try_push(self, batch: Batch) -> bool:
        """Push new events to the sink; false leaves them to ``next_chunk``, as whatever has to be filtered."""
        if (
            self.sink is None
            or self.after + 1 != batch.first
            or batch.final
            or (self.only is not None and self.only != batch.turn_id)
            or not self.sink(batch.encoded, batch.last - self.after)
        ):
            return False
        self.after = batch.last
        return True

    async def next_chunk(self) -> bytes:
        """The bytes of all new events, at most 256 KiB; empty when there are none yet. Sets ``ended``.

        The first call subscribes: a subscription whose asker has gone need not be closed.
        """
        if self in self.log.unread:
            self.log.unread.discard(self)
            self.log.subscriptions.add(self)
        chunks: list[bytes] = []
        if self.prelude:
            chunks.append(self.prelude)
            self.prelude = b""
        size = 0
        while not self._ended and size < WRITE_BYTES:
            self.wakeup.clear()
            log = self.log
            frames = log.newest(self.after) if self.after + 1 >= log.first else await log.read_after(self.after)
            if self.after < self.log.pruned_through and self._announced < self.log.pruned_through:
                self._announced = self.log.pruned_through
                chunks.append(self.log.gap(self._announced))
            if not frames:
                break
            size += self._gather(frames, chunks, WRITE_BYTES - size)
            if self.after >= self.log.last:
                break
        if not self._ended and self.after >= self.log.last:
            self._settle(chunks)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _gather(self, frames: Sequence[SseFrame], chunks: list[bytes], limit: int) -> int:
        size, last = 0, self.until.event
        for each in frames:
            if last is not None and each.seq > last:
                break
            self.after = each.seq
            if self.only is None or each.turn_id == self.only:
                chunks.append(each.encoded)
                self.events += 1
                size += len(each.encoded)
                if each.kind == "final":
                    self.last_final = each
            if size >= limit:
                break
        self._ended = last is not None and self.after >= last
        return size

    def _settle(self, chunks: list[bytes]) -> None:
        """No more events are stored: append the last frame if the end condition is met."""
        last = self.until.event
        done = (
            self.until.replay or (self.until.settled and not self.log.busy) or (last is not None and self.after >= last)
        )
        if done or self.log.over:
            chunks.append(self.epilogue if done else self.log.closing_frame)
            self._ended = True


def frames_of(rows: Iterable[tuple[int, str, str, str]]) -> list[SseFrame]:
    """Encode stored events: (seq, turn, kind, data line)."""
    return [SseFrame(seq, turn, kind, frame(data, seq)) for seq, turn, kind, data in rows]
