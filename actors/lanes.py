"""Fair queuing for database connections: agencies round robin, bounded shares, steps of turns first."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple

from .domain.errors import Unavailable
from .foundation import metrics

WAITING: Final = 1_000
"""Operations that may wait for a connection, of one agency half as many; more are refused as ``overloaded``."""
WAIT_TIMEOUT: Final = 10.0
"""Seconds an operation waits for a connection; its caller has timed out by then."""


_Kind = Literal["step", "other"]


class Held(NamedTuple):
    """A slot that is held, and for whom."""

    kind: _Kind
    agency: str | None


class _Bounds(NamedTuple):
    """Connections that operations of one kind may hold: in total, and per agency."""

    together: int
    of_one: int


class Lanes:
    """The connection slots of one pool.

    Steps (writes of a turn that a client watches) may use all ``size`` slots; other operations leave a fifth of them
    to steps. An agency holds at most half of the slots of either kind, so its slow reads delay neither other agencies
    nor its own steps.
    """

    def __init__(self, size: int) -> None:
        share = min(size, max(2, (size + 1) // 2))
        self._bounds: dict[_Kind, _Bounds] = {
            "step": _Bounds(size, share),
            "other": _Bounds(max(1, size - size // 5), share),
        }
        self._size = size
        self._held: Counter[tuple[_Kind, str | None]] = Counter()
        self._together: Counter[_Kind] = Counter()
        self._queues: dict[_Kind, OrderedDict[str | None, deque[asyncio.Future[None]]]] = {
            "step": OrderedDict(),
            "other": OrderedDict(),
        }
        self._waiting: Counter[str | None] = Counter()

    @asynccontextmanager
    async def slot(self, agency: str | None, *, step: bool = False) -> AsyncIterator[None]:
        """Hold one slot for ``agency``. Refusals as of ``enter``."""
        held = await self.enter(agency, step=step)
        try:
            yield
        finally:
            self.leave(held)

    async def enter(self, agency: str | None, *, step: bool = False) -> Held:
        """Take one slot, to be left in any case. Refusal: ``overloaded``, at once or after ``WAIT_TIMEOUT`` seconds."""
        held = Held("step" if step else "other", agency)
        if self._may(*held) and agency not in self._queues[held.kind]:
            self._take(*held)
        else:
            await self._wait(*held)
        return held

    def leave(self, held: Held) -> None:
        """Give a slot back."""
        self._release(*held)

    async def _wait(self, kind: _Kind, agency: str | None) -> None:
        most_of_one = WAITING if agency is None else WAITING // 2
        if self._waiting.total() >= WAITING or self._waiting[agency] >= most_of_one:
            raise Unavailable("overloaded")
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queues[kind].setdefault(agency, deque())
        queue.append(granted)
        self._waiting[agency] += 1
        metrics.STORAGE_OPERATIONS_WAITING.inc()
        try:
            async with asyncio.timeout(WAIT_TIMEOUT):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():  # granted while the caller was cancelled
                self._release(kind, agency)
            else:
                if granted in queue:  # else a release has dropped it already
                    queue.remove(granted)
                self._forget_empty(kind, agency)
            if isinstance(error, TimeoutError):
                raise Unavailable("overloaded") from None
            raise
        finally:
            self._waiting[agency] -= 1
            if not self._waiting[agency]:
                del self._waiting[agency]
            metrics.STORAGE_OPERATIONS_WAITING.dec()

    def _may(self, kind: _Kind, agency: str | None) -> bool:
        bounds = self._bounds[kind]
        return (
            self._together.total() < self._size
            and self._together[kind] < bounds.together
            and (agency is None or self._held[kind, agency] < bounds.of_one)
        )

    def _take(self, kind: _Kind, agency: str | None) -> None:
        self._held[kind, agency] += 1
        self._together[kind] += 1

    def _release(self, kind: _Kind, agency: str | None) -> None:
        self._together[kind] -= 1
        self._held[kind, agency] -= 1
        if not self._held[kind, agency]:
            del self._held[kind, agency]
        while self._grant("step") or self._grant("other"):
            pass

    def _grant(self, kind: _Kind) -> bool:
        """Grant a slot to the first eligible agency and move it to the end of the rotation."""
        queues = self._queues[kind]
        for agency, queue in queues.items():
            while queue and queue[0].done():
                queue.popleft()
            if queue and self._may(kind, agency):
                queue.popleft().set_result(None)
                self._take(kind, agency)
                queues.move_to_end(agency)
                self._forget_empty(kind, agency)
                return True
        return False

    def _forget_empty(self, kind: _Kind, agency: str | None) -> None:
        if not self._queues[kind].get(agency, True):
            del self._queues[kind][agency]
