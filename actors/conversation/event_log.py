"""A session's newest events, encoded once and shared by everybody who watches.

The session's actor alone writes here. A viewer holds a ``Subscription``, a cursor into it: a slow one costs nothing
and wakes up to one write holding all it has missed. What has left the ring is read from the table.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from ..domain.events import frame

RING_FRAMES = 200
RING_BYTES = 1024 * 1024
WRITE_BYTES = 256 * 1024
"""What one write carries at most."""


class SseFrame(NamedTuple):
    """One encoded event, with as much of it as a cursor needs to know."""

    seq: int
    turn_id: str
    kind: str
    encoded: bytes


class Batch(NamedTuple):
    """Events published together, as one piece of bytes for whoever has all before them."""

    first: int
    last: int
    turn_id: str
    """Of all of them; empty if they are of several."""
    final: bool
    encoded: bytes

    @classmethod
    def of(cls, frames: Sequence[SseFrame]) -> Batch:
        """At least one frame."""
        if len(frames) == 1:  # as nearly always
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
"""Takes so many events on the spot, or says no; they are fetched by ``Feed.next_chunk`` then."""
Older = Callable[[int, int], Awaitable[Sequence[SseFrame]]]
"""Reads events behind the first id up to the second from the table, at most some hundreds at once."""
Gap = Callable[[int], bytes]
"""Says that events up to this id are no longer kept."""


class EventLog:
    """The ring of frames of one session, and the bells of those who read it."""

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
        """``unwatched`` is called when the last viewer has left: the owner then has ``drop_unwatched`` done."""
        self.last = last
        self.pruned_through = pruned_through
        self._busy = False
        self.over = False
        self.closing_frame: bytes = b""
        self.feeds: set[Subscription] = set()
        self.gap = gap
        self._older = older
        self._unwatched = unwatched
        self._cap = cap
        self._ring: deque[SseFrame] = deque()
        self._size = 0

    @property
    def busy(self) -> bool:
        """Whether the session has something to do: only then, or while somebody watches, is the ring worth its room."""
        return self._busy

    @busy.setter
    def busy(self, busy: bool) -> None:
        self._busy = busy
        self.drop_unwatched()

    def left(self, feed: Subscription) -> None:
        """A viewer has left."""
        self.feeds.discard(feed)
        if not self.feeds:
            self._unwatched()

    def drop_unwatched(self) -> None:
        """Nobody watches and nothing runs: the table has it all, and a session that is awake costs little."""
        if not self._busy and not self.feeds:
            self._ring = deque()
            self._size = 0

    @property
    def first(self) -> int:
        """The oldest id in the ring; one beyond the newest if it is empty."""
        return self._ring[0].seq if self._ring else self.last + 1

    def publish(self, fresh: Sequence[SseFrame]) -> None:
        """Add stored events, at least one; a viewer gets them on the spot, or his bell rings."""
        for each in fresh:
            self._ring.append(each)
            self._size += len(each.encoded)
            self.last = each.seq
        self._trim()
        batch = Batch.of(fresh)
        for feed in self.feeds:
            if not feed.try_push(batch):
                feed.wakeup.set()

    def _trim(self) -> None:
        while len(self._ring) > self._cap or (self._size > RING_BYTES and len(self._ring) > 1):
            self._size -= len(self._ring.popleft().encoded)

    def pruned(self, through: int) -> None:
        """Text up to this id has been removed from the table: what of it is kept is read from there."""
        self.pruned_through = max(self.pruned_through, through)
        while self._ring and self._ring[0].seq <= min(through, self.last - 1):
            self._size -= len(self._ring.popleft().encoded)

    def ring(self) -> None:
        """Wake every viewer: something it waits for may have come."""
        for feed in self.feeds:
            feed.wakeup.set()

    def end(self, closing_frame: bytes = b"") -> None:
        """No event will come any more; viewers get ``closing_frame`` and their streams close."""
        self.over = True
        self.closing_frame = closing_frame
        self.ring()

    async def read_after(self, after: int) -> Sequence[SseFrame]:
        """Frames behind ``after`` in order, from the ring or, older than it, from the table."""
        while after + 1 < self.first:
            through = self.first - 1
            older = await self._older(after, through)
            self._notice_gaps(after, older, through)
            if older:
                return older
            after = through  # all of it is pruned
        return self.newest(after)

    def newest(self, after: int) -> Sequence[SseFrame]:
        """Frames behind ``after``, none of which has left the ring."""
        count = self.last - after
        if count == 1:  # as nearly always
            return (self._ring[-1],)
        newest = list(islice(reversed(self._ring), max(count, 0)))
        newest.reverse()
        return newest

    def _notice_gaps(self, after: int, read: Sequence[SseFrame], through: int) -> None:
        """Ids have no gaps but those of pruned events; this process may not have been told of them yet."""
        expected = after + 1
        for each in read:
            if each.seq != expected:
                self.pruned(each.seq - 1)
            expected = each.seq + 1
        if not read:
            self.pruned(through)


@dataclass(slots=True, eq=False)
class PassEnd:
    """Where a pass ended in the log: the id of its ``final`` once that is known. The session's actor alone sets it."""

    event: int | None = None


@dataclass(frozen=True, slots=True)
class EndCondition:
    """Where a stream ends.

    One of: at once (``replay``), never (``live``), with the last of some passes (``ends``), or (``settled``) with the
    ``final`` after which the session has nothing to do.
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
    """One viewer's place in the log. Closing it is all a viewer owes."""

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
        self._watching = False

    def close(self) -> None:
        """Stop watching."""
        self.log.left(self)

    def fork(self) -> Subscription:
        """Another viewer of the same, before anything of it was taken."""
        return Subscription(
            self.log, after=self.after, until=self.until, only=self.only, prelude=self.prelude, epilogue=self.epilogue
        )

    @property
    def ended(self) -> bool:
        """All that was to be sent has been taken."""
        return self._ended

    def try_push(self, batch: Batch) -> bool:
        """Whether the viewer took new events on the spot. Whatever needs a look is left to ``next_chunk``."""
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
        """The bytes of everything new, at most 256 KiB; empty when there is nothing yet. Sets ``ended``.

        Only from the first time on it counts as watching: nobody has to close a feed its asker never got.
        """
        if not self._watching:
            self._watching = True
            self.log.feeds.add(self)
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

    def _gather(self, frames: Sequence[SseFrame], chunks: list[bytes], room: int) -> int:
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
            if size >= room:
                break
        self._ended = last is not None and self.after >= last
        return size

    def _settle(self, chunks: list[bytes]) -> None:
        """Nothing more is there; the stream may be at its end."""
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
