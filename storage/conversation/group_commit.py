"""Group commit of session events: while one INSERT runs, the next batch accumulates.

One writer on a dedicated connection serves all sessions. It only inserts, and does not wait for locks: a session whose
row is locked is deferred and retried while the others go on. What it acknowledges is stored as given. After a rejected
append a session may only continue at the end of its stored log, so no log has a gap. An INSERT is fenced by the leases
of all its appends: if a shard has another owner by then it stores nothing, and the others are written again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import asyncpg

from ...actors.domain.errors import Unavailable
from ...actors.domain.placement import Lease
from ...actors.foundation import log, metrics
from ...actors.foundation.backoff import Backoff
from ...actors.runtime.periodic import ON_CALL, Record, is_being_cancelled
from ..engine.connection import Connection
from ..engine.errors import LostShard, OperationFailed, StorageUnavailable
from ..engine.pool import SYSTEM_ROLE, application_of, connect
from .fenced_events import INSERT, LOST, lease_columns
from .steps import EventRow, columns

PACE: Final = 0.004
"""Seconds from one INSERT to the next at least: what comes meanwhile shares it. An idle writer writes at once.

A commit costs the service 0.14 ms, a third of a word's whole way, and the database more. With 50 streams of 20 words a
second a third of the commits is left; a word takes a tenth less of a processor, and 2 to 3 ms longer.
"""
APPEND_TIMEOUT: Final = 10.0
"""Seconds an append waits for an unavailable database."""
MOST_WAITING: Final = 64_000_000
"""Characters that may wait, each row counted as at least ``ROW``; more are refused as ``overloaded``."""
ROW: Final = 1_000
MOST_AT_ONCE: Final = 2_000_000
"""Characters of one INSERT, counted likewise, unless a single append brings more."""
BACKOFF: Final = Backoff(first=0.02, longest=0.25, jitter=0.5)
LOCK_TIMEOUT: Final = 0.1
"""Seconds an INSERT waits for a lock; all sessions wait with it."""
LOCKED_BACKOFF: Final = Backoff(first=0.1, longest=1.0)
"""Between attempts for locked sessions."""
GRACE: Final = 15.0
"""Seconds without a successful write, with appends waiting, after which the writer counts as overdue."""

TAKEN: Final = """
SELECT DISTINCT given.session_id
  FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS given (session_id, seq, frame)
  JOIN session_events AS e USING (session_id, seq) WHERE e.frame <> given.frame
"""
UNLOCKED: Final = "SELECT id FROM sessions WHERE id = ANY($1::uuid[]) FOR KEY SHARE SKIP LOCKED"
"""The lock that the events' foreign key needs, without waiting for it."""
EXISTING: Final = "SELECT id FROM sessions WHERE id = ANY($1::uuid[])"
NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM session_events WHERE session_id = $1"

_log = log.get(__name__)
_unavailable_throttle = log.LogThrottle(first=3, pause=30.0)
_fenced_throttle = log.LogThrottle(first=3, pause=30.0)
_deferred_throttle = log.LogThrottle(first=3, pause=30.0)


class AppendRejected(OperationFailed):
    """500 ``internal_error``: this append cannot be stored, or would leave a gap. The session has to reload."""


class EventWriter:
    """The process's only event writer. ``run`` has to be run as a task; when it ends, waiting appends are refused."""

    def __init__(
        self,
        url: str,
        *,
        append_timeout: float = APPEND_TIMEOUT,
        pace: float = PACE,
        record: Record | None = None,
        node: str | None = None,
    ) -> None:
        """The writer of a ``node`` stores nothing without a lease."""
        self._url = url
        self._node = node
        self._record = record
        self._append_timeout = append_timeout
        self._pace = pace
        self._queue: deque[_Append] = deque()
        self._batch: list[_Append] = []
        self._locked: dict[str, list[_Append]] = {}
        """By session: appends that wait for a row lock, and later ones queued behind them."""
        self._locked_until = 0.0
        self._lock_retries = 0
        self._locked_timer: asyncio.TimerHandle | None = None
        self._waiting = 0
        self._more = asyncio.Event()
        self._ended = False
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._broken: set[str] = set()
        """Sessions with a rejected append and no accepted one since."""

    def put(self, rows: Sequence[EventRow], stored: asyncio.Future[None], lease: Lease | None = None) -> None:
        """Store ``rows`` of one session, at least one, all or none; ``stored`` is done when they are durable.

        Refusals: ``overloaded``; in ``stored``: ``AppendRejected``, ``LostShard``, and ``storage_unavailable`` after
        ``append_timeout`` seconds: then it is unknown whether they are stored.
        """
        loop = asyncio.get_running_loop()
        if lease is None and self._node is not None:
            raise RuntimeError("an append of a node has no lease")
        append = _Append(rows, stored, loop.time() + self._append_timeout, lease)
        if self._ended:
            raise StorageUnavailable
        if self._waiting + append.size > MOST_WAITING:
            self._broken.add(append.session)
            raise Unavailable("overloaded")
        if self._record is not None and not self._waiting:
            self._record.require(0.0)
        self._queue.append(append)
        self._waiting += append.size
        self._more.set()
        if self._timer is None:
            self._timer = loop.call_at(append.due, self._expire)

    def _expire(self) -> None:
        """Refuse appends past their deadline. One timer serves all of them."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for append in self._all():
            if append.due <= now:
                self._refuse(append, StorageUnavailable)
        while self._queue and self._queue[0].stored.done():
            self._waiting -= self._queue.popleft().size
        due = min((append.due for append in self._all() if not append.stored.done()), default=None)
        self._timer = None if due is None else loop.call_at(due, self._expire)

    def _all(self) -> Iterator[_Append]:
        return chain(self._batch, *self._locked.values(), self._queue)

    async def run(self) -> None:
        """Write until cancelled. Connection failures do not end it."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._more.wait()
                began = loop.time()
                self._gather()
                await self._store()
                if (rest := began + self._pace - loop.time()) > 0:
                    await asyncio.sleep(rest)
        finally:
            self._ended = True
            for timer in (self._timer, self._locked_timer):
                if timer is not None:
                    timer.cancel()
            self._drop_connection()
            for append in self._all():
                self._refuse(append, StorageUnavailable)

    def _gather(self) -> None:
        """Take the oldest appends that fit into one INSERT. Those of a locked session queue behind it."""
        size = 0
        while self._queue:
            append = self._queue[0]
            locked = self._locked.get(append.session)
            if locked is not None:
                locked.append(self._queue.popleft())
                continue
            size += append.size
            if self._batch and size > MOST_AT_ONCE:
                return
            self._batch.append(self._queue.popleft())
        self._more.clear()

    async def _store(self) -> None:
        """Retry until each append of the batch is stored or refused. Writing the same rows again is harmless."""
        failures = 0
        while self._batch or self._is_locked_due():
            try:
                db = await self._connected()
                await self._take_unlocked(db)
                await self._write(db, self._batch)
            except BaseException as error:  # a lost connection may raise anything; its commit is unknown
                if is_being_cancelled():
                    raise
                self._drop_connection()
                metrics.STORAGE_RETRIES_TOTAL.labels("connection").inc()
                if _unavailable_throttle.allows():
                    _log.warning("events_write_failed", reason=f"{type(error).__name__}: {error}")
                failures += 1
                await asyncio.sleep(BACKOFF.pause(failures))
            else:
                if self._record is not None:
                    self._record.succeeded(0.0)
            self._drop_settled()
        if self._record is not None and not self._waiting:
            self._record.succeeded(ON_CALL)

    def _drop_settled(self) -> None:
        """Keep in the batch what is neither stored, refused nor waiting for a lock."""
        locked = {id(append) for append in chain(*self._locked.values())}
        for append in self._batch:
            if append.stored.done() and id(append) not in locked:
                self._waiting -= append.size
        self._batch = [append for append in self._batch if not append.stored.done() and id(append) not in locked]

    def _is_locked_due(self) -> bool:
        return bool(self._locked) and asyncio.get_running_loop().time() >= self._locked_until

    async def _take_unlocked(self, db: Connection) -> None:
        """Move appends of sessions that are no longer locked to the front of the batch."""
        if not self._is_locked_due():
            return
        held = await self._held(db, list(self._locked))
        for session in list(self._locked):
            waiting = self._locked.pop(session)
            if session not in held:
                self._batch[:0] = waiting
            elif left := self._still_awaited(waiting):
                self._locked[session] = left
        if self._locked:
            self._schedule_locked_retry()
        else:
            self._lock_retries = 0

    def _still_awaited(self, appends: list[_Append]) -> list[_Append]:
        """The appends still awaited; the others release their share of the queue's size."""
        for append in appends:
            if append.stored.done():
                self._waiting -= append.size
                self._broken.add(append.session)
        return [append for append in appends if not append.stored.done()]

    def _defer(self, batch: Sequence[_Append], sessions: Iterable[str]) -> list[_Append]:
        """Defer the appends of ``sessions``; returns the rest of ``batch``."""
        apart = set(sessions)
        for append in batch:
            if append.session in apart:
                self._locked.setdefault(append.session, []).append(append)
        metrics.STORAGE_RETRIES_TOTAL.labels("lock").inc(len(apart))
        if _deferred_throttle.allows():
            _log.warning("events_write_deferred", sessions=sorted(apart)[:10])
        self._schedule_locked_retry()
        return [append for append in batch if append.session not in apart]

    def _schedule_locked_retry(self) -> None:
        loop = asyncio.get_running_loop()
        self._lock_retries += 1
        self._locked_until = loop.time() + LOCKED_BACKOFF.pause(self._lock_retries)
        if self._locked_timer is not None:
            self._locked_timer.cancel()
        self._locked_timer = loop.call_at(self._locked_until, self._retry_locked)

    def _retry_locked(self) -> None:
        self._locked_until = 0.0
        self._more.set()

    async def _held(self, db: Connection, sessions: Sequence[str]) -> set[str]:
        """Those of ``sessions`` whose row lock keeps events out, as far as that can be determined."""
        try:
            free = {row["id"] for row in await db.fetch(UNLOCKED, sessions)}
        except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError):  # table lock, or cancelled by hand
            return set()
        if len(free) == len(sessions):
            return set()
        return {row["id"] for row in await db.fetch(EXISTING, sessions)} - free

    def _behind_the_locked(self, batch: Sequence[_Append]) -> Sequence[_Append]:
        """``batch`` without appends of deferred sessions, which queue behind the earlier ones to keep their order."""
        if not self._locked:
            return batch
        for append in batch:
            if append.session in self._locked:
                self._locked[append.session].append(append)
        return [append for append in batch if append.session not in self._locked]

    async def _write(self, db: Connection, batch: Sequence[_Append]) -> None:
        batch = self._behind_the_locked(batch)
        self._broken.update(append.session for append in batch if append.stored.done())  # the caller has given up
        batch = [
            append
            for append in batch
            if not append.stored.done() and (append.session not in self._broken or await self._follows(db, append))
        ]
        if not batch:
            return
        rows = list(chain.from_iterable(append.rows for append in batch))
        leases = lease_columns({append.lease for append in batch})
        try:
            outcome = await db.execute(INSERT, *columns(rows), *leases, timeout=self._append_timeout)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if len(batch) == 1:
                self._reject(batch[0], error)
            else:
                half = len(batch) // 2
                await self._write(db, batch[:half])
                await self._write(db, batch[half:])
            return
        except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError):
            await self._defer_locked(db, batch)
            return
        metrics.STORAGE_GROUP_COMMIT_EVENTS.observe(len(rows))
        if outcome != f"INSERT 0 {len(rows)}":
            if outcome == "INSERT 0 0" and (lost := {Lease(*lease) for lease in await db.fetch(LOST, *leases)}):
                await self._write(db, self._fence_off(batch, lost))
                return
            await self._compare(db, batch, rows)
        for append in batch:
            append.accept()

    async def _defer_locked(self, db: Connection, batch: list[_Append]) -> None:
        """Defer the sessions whose rows are locked, and write the others."""
        sessions = list(dict.fromkeys(append.session for append in batch))
        if len(sessions) == 1:
            self._defer(batch, sessions)
            return
        if held := await self._held(db, sessions):
            await self._write(db, self._defer(batch, held))
            return
        first = set(sessions[: len(sessions) // 2])
        await self._write(db, [append for append in batch if append.session in first])
        await self._write(db, [append for append in batch if append.session not in first])

    async def _follows(self, db: Connection, append: _Append) -> bool:
        """Whether ``append`` continues its session's stored log without a gap, after a rejected append."""
        if append.rows[0].seq != await db.fetchval(NEWEST, append.session) + 1:
            self._refuse(append, AppendRejected)
            return False
        self._broken.discard(append.session)
        return True

    def _fence_off(self, batch: Sequence[_Append], lost: Collection[Lease]) -> list[_Append]:
        """Refuse the appends under lost leases; returns the rest of ``batch``."""
        refused = [append for append in batch if append.lease in lost]
        metrics.FENCE_REFUSED_TOTAL.inc(len(refused))
        if _fenced_throttle.allows():
            _log.error("events_write_fenced", shards=sorted(lease.shard for lease in lost), appends=len(refused))
        for append in refused:
            self._refuse(append, LostShard)
        return [append for append in batch if append.lease not in lost]

    async def _compare(self, db: Connection, batch: Sequence[_Append], rows: Sequence[EventRow]) -> None:
        """Some event numbers exist: with the same rows from an earlier attempt, or with others."""
        places = ([row.session_id for row in rows], [row.seq for row in rows], [row.data for row in rows])
        taken = {row["session_id"] for row in await db.fetch(TAKEN, *places)}
        for append in batch:
            if append.session in taken:
                self._reject(append, ValueError("the number of an event was taken"))

    def _reject(self, append: _Append, error: Exception) -> None:
        first = append.rows[0]
        reason = f"{type(error).__name__}: {error}"
        _log.error("event_append_rejected", session=first.session_id, seq=first.seq, reason=reason)
        self._refuse(append, AppendRejected)

    def _refuse(self, append: _Append, why: type[StorageUnavailable | AppendRejected | LostShard]) -> None:
        if not append.stored.done():
            append.stored.set_exception(why())
            self._broken.add(append.session)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._url,
                role=SYSTEM_ROLE,
                application=application_of(self._node),
                command_timeout=self._append_timeout,
                lock_timeout=LOCK_TIMEOUT,
            )
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class _Append:
    """Rows of one session that wait to be written."""

    __slots__ = ("due", "lease", "rows", "session", "size", "stored")

    def __init__(
        self, rows: Sequence[EventRow], stored: asyncio.Future[None], due: float, lease: Lease | None = None
    ) -> None:
        self.rows = rows
        self.lease = lease
        self.session = rows[0].session_id
        self.size = 0
        self.stored = stored
        self.due = due
        for row in rows:
            if row.session_id != self.session:
                raise ValueError("an append is of one session")
            self.size += max(len(row.data), ROW)

    def accept(self) -> None:
        """Report the rows as stored, unless the caller has given up or was refused meanwhile."""
        if not self.stored.done():
            self.stored.set_result(None)
