"""StorageActor: owns the database connections and the node's leases; every storage operation is a message to it."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, TypeVar, assert_never

from ..storage.conversation import group_commit
from ..storage.conversation.group_commit import EventWriter
from ..storage.conversation.steps import EventRow, Step
from ..storage.engine import canary, checks, pool
from ..storage.engine.connection import Connection
from ..storage.engine.coordinator import Coordinator
from ..storage.engine.errors import OperationFailed, StorageUnavailable
from ..storage.engine.idempotency import Once
from ..storage.engine.operations import Batched, Operation, Query, Report
from ..storage.engine.ownership import Ownership
from .batches import Batches
from .domain.errors import Refusal, Unavailable
from .domain.placement import Lease
from .foundation import log, metrics
from .foundation.backoff import Backoff
from .foundation.clock import Clock
from .lanes import Lanes
from .runtime.actor import Actor, Message, NoReply
from .runtime.periodic import ON_CALL, PeriodicTasks

R = TypeVar("R")
T = TypeVar("T")

OPEN_BACKOFF = Backoff(first=0.2, longest=2.0)
"""Between attempts to open the database."""
PROBE_TIMEOUT = 2.0
REPORTS = 2
"""Reports that run at once, whose agencies take turns. They wait for this before they take a connection."""
UNREACHABLE = ("The database cannot be reached.",)

_log = log.get(__name__)
_unchecked = log.LogThrottle(first=3)


@dataclass(frozen=True, slots=True)
class Append(Message[None]):
    """Store events of one session by group commit; answered when they are durable.

    Refusals: ``storage_unavailable``, ``overloaded``, ``not_ready``, ``internal_error``. After any of them the session
    has to reload; appends are accepted again only at the stored end of its log.
    """

    rows: tuple[EventRow, ...]
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Probe(Message[bool]):
    """Whether the database answers and takes writes, within two seconds. Each runs a statement: share the results."""


@dataclass(frozen=True, slots=True)
class Serves(Message[bool]):
    """Whether this node owns shards of the database, and so serves their agencies."""


@dataclass(frozen=True, slots=True)
class Faults(Message[tuple[str, ...]]):
    """Why the database cannot be served, in sentences for operators; empty when it can."""


@dataclass(frozen=True, slots=True)
class _Checked(Message[None]):
    """The database was opened and checked: ``engine`` are its pools unless it has ``faults``."""

    engine: pool.Engine | None
    faults: tuple[str, ...]


Protocol = Operation[Any] | Append | Probe | Serves | Faults | _Checked


class StorageActor(Actor[Protocol]):
    """Runs operations concurrently, as many as there are connections. Reconnects to Postgres by itself.

    An error in an operation is logged and sent to its asker; it does not fail the actor.
    """

    inline = (Append, Operation)

    def __init__(
        self,
        url: str | None,
        *,
        size: int = pool.SIZE,
        system_size: int = pool.SYSTEM_SIZE,
        ownership: Ownership | None = None,
        shards_lost: Callable[[frozenset[int]], Awaitable[None]] | None = None,
        shards_owned: Callable[[], None] | None = None,
        version: str = "",
        alone: bool = False,
        sealing_keys: Mapping[str, bytes] | None = None,
        as_owner: bool = True,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        """Without ``url`` every operation is refused; without ``ownership`` nodes are not told apart.

        ``shards_lost`` is awaited before lost shards are owned again, ``shards_owned`` called when some are. The
        database is used by this process ``alone`` if it has started it. One that is sealed with other keys than
        ``sealing_keys`` is not served; without keys this is not checked. ``as_owner``: its role may own the tables.
        """
        super().__init__()
        self._url = url
        self._sizes = (size, system_size)
        self._sealing_keys = sealing_keys
        self._as_owner = as_owner
        self._engine: pool.Engine | None = None
        self._faults: tuple[str, ...] = ("No database is configured.",)
        self._events: EventWriter | None = None
        self._tasks = tasks or PeriodicTasks(Clock())
        self._ownership = ownership
        self._node = None if ownership is None else ownership.node
        self._coordinator: Coordinator | None = None
        if url is not None and ownership is not None:
            self._coordinator = Coordinator(
                url,
                ownership,
                self._tasks,
                version=version,
                alone=alone,
                on_lost=shards_lost,
                on_owned=shards_owned,
            )
        self._lanes = Lanes(size)
        self._system_lanes = Lanes(system_size)
        self._report_lanes = Lanes(REPORTS)
        self._batches = Batches(lambda work: self.spawn(work, name="batches"))

    async def initialise(self) -> None:
        """Connect if the database is available; else refuse operations and retry."""
        if self._url is None:
            return
        record = self._tasks.record("event_writer", group_commit.GRACE)
        record.cancel()
        self._events = EventWriter(self._url, record=record, node=self._node)
        self.spawn(self._events.run(), name="events")
        if self._coordinator is not None:
            self.spawn(self._coordinator.run(), name="coordinator")
        self._checked(await self._open(self._url))
        if self._engine is None:
            opening = self._tasks.task(
                "database_opening",
                partial(self._keep_opening, self._url, itertools.count(1)),
                every=OPEN_BACKOFF.longest,
                grace=math.inf,
                clock=Clock(),
            )
            self.spawn(opening.run(), name="opening")

    async def receive(self, message: Protocol) -> Any:
        match message:
            case Batched():
                return self._gather(message)
            case Operation():
                work = partial(self._operate, self._engine, self.asker_waits())
                return self.reply_later(_metered(message.label, work, message))
            case Append():
                return self._append(message)
            case Probe():
                return self.reply_later(_answers(self._engine))
            case Serves():
                return self._url is not None if self._ownership is None else self._ownership.serves
            case Faults():
                return self._faults
            case _Checked():
                return self._checked(message)
            case _:
                assert_never(message)

    async def terminate(self, _failure: BaseException | None) -> None:
        if self._engine is not None:
            await self._engine.close()

    def _checked(self, checked: _Checked) -> None:
        if checked.faults and checked.faults not in {self._faults, UNREACHABLE}:
            _log.error("database_check_failed", faults=checked.faults)
        self._engine, self._faults = checked.engine, checked.faults
        if self._engine is not None:
            _log.info("database_opened")

    async def _open(self, url: str) -> _Checked:
        """Open the pools, unless a check of the database fails."""
        try:
            opened = await pool.Engine.open(url, size=self._sizes[0], system_size=self._sizes[1], node=self._node)
        except StorageUnavailable:
            return _Checked(None, UNREACHABLE)
        async with AsyncExitStack() as unless_served:
            unless_served.push_async_callback(opened.close)
            faults = await self._faults_of(opened)
            if not faults:
                unless_served.pop_all()
                return _Checked(opened, ())
        return _Checked(None, faults)

    async def _faults_of(self, opened: pool.Engine) -> tuple[str, ...]:
        try:
            return tuple(await opened.check(as_owner=self._as_owner)) or tuple(await self._sealing_faults(opened))
        except Exception as error:  # noqa: BLE001  # whatever it is, a database that cannot be checked is not served
            if _unchecked.allows():
                _log.warning("database_check_interrupted", exc_info=error)
            return (f"The database could not be checked: {type(error).__name__}.",)

    async def _sealing_faults(self, opened: pool.Engine) -> list[str]:
        """Check the sealing keys against the stored canaries; store canaries of new keys."""
        if self._sealing_keys is None:
            return []
        async with opened.acquire_system() as db:
            faults = await canary.faults(db, self._sealing_keys)
            if not faults:
                await canary.keep(db, self._sealing_keys)
        return faults

    async def _keep_opening(self, url: str, attempts: Iterator[int]) -> float | None:
        """Retry until it is open. Readiness reports the state as ``database``."""
        checked = await self._open(url)
        received = self.ref.request(checked)
        try:
            await received
        finally:
            if checked.engine is not None and not _answered(received):
                checked.engine.terminate()  # the actor ended before it owned them
        return OPEN_BACKOFF.pause(next(attempts)) if checked.engine is None else ON_CALL

    def _append(self, append: Append) -> NoReply:
        """Queue rows for group commit without a task: all model output passes here."""
        began = perf_counter()
        try:
            writer = self._writer()
            return self.delegate_reply(
                lambda stored: writer.put(append.rows, stored, append.lease),
                lambda done: _APPENDS.ended(_end(done), began),
            )
        except Exception as error:
            _APPENDS.ended(_outcome(error), began)
            if isinstance(error, Refusal):
                raise
            _log.error("operation_failed", operation="Append", exc_info=error)
            raise OperationFailed from error

    def _gather(self, operation: Batched[Any]) -> NoReply:
        """Queue an operation that runs together with its like, without a task of its own."""
        began, meter = perf_counter(), metrics.OperationMeter.of(operation.label)
        run = partial(_refusing, operation.label, partial(self._operate, self._engine, lambda: True))

        def ended(error: Exception | None) -> None:
            meter.ended("ok" if error is None else _outcome(error), began)

        try:
            return self.delegate_reply(lambda reply: self._batches.put(operation, run, reply, ended))
        except Refusal as refusal:
            ended(refusal)
            raise

    def _writer(self) -> EventWriter:
        if self._events is None or self._engine is None:
            raise StorageUnavailable
        return self._events

    async def _operate(self, engine: pool.Engine | None, asker_waits: Callable[[], bool], operation: Operation[R]) -> R:
        if engine is None:
            raise StorageUnavailable
        lanes = self._system_lanes if operation.tenant_id is None else self._lanes
        work = operation.command if isinstance(operation, Once) else operation
        if isinstance(operation, Report):
            async with self._report_lanes.slot(operation.tenant_id), lanes.slot(operation.tenant_id):
                return await engine.run(operation, asker_waits)
        lane = await lanes.enter(operation.tenant_id, step=isinstance(work, Step))
        try:
            return await engine.run(operation, asker_waits)
        finally:
            lanes.leave(lane)


async def _answers(engine: pool.Engine | None) -> bool:
    if engine is None:
        return False
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            return await engine.run(_Ping(tenant_id=None))
    except (TimeoutError, Refusal):
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ping(Query[bool]):
    """Whether the database is writable: no standby, not read-only."""

    async def run(self, db: Connection) -> bool:
        return bool(await db.fetchval(checks.WRITABLE))


async def _metered(name: str, work: Callable[[T], Awaitable[R]], operation: T) -> R:
    """Run and measure an operation, as ``_refusing`` does."""
    began = perf_counter()
    outcome = "failed"
    try:
        reply = await _refusing(name, work, operation)
        outcome = "ok"
    except Exception as error:
        outcome = _outcome(error)
        raise
    finally:
        metrics.OperationMeter.of(name).ended(outcome, began)
    return reply


async def _refusing(name: str, work: Callable[[T], Awaitable[R]], operation: T) -> R:
    """Run an operation; a defect becomes ``OperationFailed`` for its asker instead of failing the actor."""
    try:
        return await work(operation)
    except Refusal:
        raise
    except Exception as error:
        _log.error("operation_failed", operation=name, exc_info=error)
        raise OperationFailed from error


_APPENDS = metrics.OperationMeter.of("Append")


def _outcome(error: BaseException) -> str:
    """The metric's outcome: ``refused`` by a rule, or ``failed``."""
    refused = isinstance(error, Refusal) and not isinstance(error, Unavailable | OperationFailed)
    return "refused" if refused else "failed"


def _end(done: asyncio.Future[Any]) -> str:
    """The metric's outcome of a reply that is done."""
    error = asyncio.CancelledError() if done.cancelled() else done.exception()
    return "ok" if error is None else _outcome(error)


def _answered(reply: asyncio.Future[Any]) -> bool:
    return reply.done() and _end(reply) == "ok"
