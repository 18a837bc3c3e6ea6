"""Operations that run together: while one runs, its like that come are gathered for the next run.

Appending to an agency's audit trail locks its end until COMMIT, so writes that do wait for each other in any case:
together they are one round trip, one COMMIT and one task. A page that all of an agency look at is read once for all who
ask before the reading begins; never one that has begun, which may not see what somebody has just been told is stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Final

from ..storage.engine.operations import Batch, Batched
from .domain.errors import Unavailable
from .foundation import log, metrics
from .runtime.reply import refuse, resolve

MOST_WAITING: Final = 500
"""Operations alike that may wait, or as many as run together; more are refused as ``overloaded``."""

Run = Callable[[Batch], Awaitable[list[Any]]]
Ended = Callable[[Exception | None], object]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An operation, who waits for its reply, and who is told how it ended."""

    operation: Batched[Any]
    reply: asyncio.Future[Any]
    ended: Ended
    scope: log.Scope


class Batches:
    """The operations that wait, with their like."""

    def __init__(self, start: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """``start`` runs a coroutine in a task of its own."""
        self._start = start
        self._queues: dict[Hashable, deque[_Waiting]] = {}

    def put(self, operation: Batched[Any], run: Run, reply: asyncio.Future[Any], ended: Ended) -> None:
        """Have ``operation`` run with its like, as one ``Batch``. Refusal: ``overloaded``.

        One whose asker has left before it began is not run. Each is refused as it would be alone. ``ended`` is called
        with the error of what has run, or ``None``, whether or not somebody still waits for it.
        """
        like = operation.like
        queue = self._queues.get(like)
        if queue is None:
            queue = self._queues[like] = deque()
            self._start(self._drain(like, queue, run))
        elif len(queue) >= max(MOST_WAITING, operation.MOST_TOGETHER):
            raise Unavailable("overloaded")
        queue.append(_Waiting(operation, reply, ended, log.SCOPE.get()))
        metrics.STORAGE_OPERATIONS_WAITING.inc()

    async def _drain(self, like: Hashable, queue: deque[_Waiting], run: Run) -> None:
        try:
            while queue:
                count = min(len(queue), queue[0].operation.MOST_TOGETHER)
                taken = [queue.popleft() for _ in range(count)]
                metrics.STORAGE_OPERATIONS_WAITING.dec(len(taken))
                await self._run(taken, run)
        finally:
            metrics.STORAGE_OPERATIONS_WAITING.dec(len(queue))
            del self._queues[like]

    async def _run(self, taken: list[_Waiting], run: Run) -> None:
        """Run those that are still awaited together; if that fails for a reason of one of them, each alone."""
        waiting = [each for each in taken if not each.reply.done()]
        if not waiting:
            return
        scope, first = waiting[0].scope, waiting[0].operation
        log.SCOPE.set(scope if len(waiting) == 1 else log.Scope(tenant=scope.tenant))
        metrics.STORAGE_BATCH_OPERATIONS.observe(len(waiting))
        together = [each.operation for each in waiting]
        try:
            replies = await run(Batch(tenant_id=first.tenant_id, lease=first.lease, operations=together))
        except Exception as error:  # noqa: BLE001  # it is each asker's reply
            failure = error
        else:
            for each, reply in zip(waiting, replies, strict=True):
                each.ended(None)
                resolve(each.reply, reply)
            return
        if len(waiting) == 1 or isinstance(failure, Unavailable):
            for each in waiting:
                each.ended(failure)
                refuse(each.reply, failure)
            return
        for each in waiting:
            await self._run([each], run)
