"""One supplier of one agency: what keeps its driver within limits, and the way to it for everybody else.

A write belongs to this actor by its key, the id of a row in the ledger of side effects: it goes on when its asker is
gone, and whoever asks again with the same key is answered by the one under way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, assert_never

from . import log, metrics
from .clock import Clock, Timer
from .domain.errors import Unavailable
from .domain.travel import FlightOffer, FlightOrder, FlightQuestion, Passenger
from .runtime import Actor, ActorFailed, Asks, DeadlineExceeded, Message
from .supervisor import Child, Restart
from .suppliers.breaker import Breaker, RateLimit
from .suppliers.house.driver import House
from .suppliers.protocols import TROUBLE, Capabilities, FlightSupplier, SupplierError

R = TypeVar("R")
_log = log.get(__name__)

DRIVERS: Mapping[str, type[House]] = {House.name: House}
"""Every supplier there is a driver for."""

READ_SECONDS = 30.0
WRITE_SECONDS = 60.0
RETRIES = 2
LONGEST_RETRY_AFTER = 10.0
IDLE_SECONDS = 900.0
"""A supplier nobody has asked for so long is put to sleep, unless its breaker is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSupplier(Message[R]):
    """A message on its way to one supplier of one agency."""

    tenant_id: str
    supplier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(ToSupplier[Sequence[FlightOffer]]):
    """Find flights."""

    question: FlightQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(ToSupplier[FlightOffer]):
    """Read an offer again as it stands now."""

    offer: FlightOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(ToSupplier[FlightOrder]):
    """Read an order."""

    supplier_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Find(ToSupplier[FlightOrder | None]):
    """Look up what became of a write; one still under way is waited for."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(ToSupplier[FlightOrder]):
    """Keep seats unpaid for a while."""

    offer: FlightOffer
    passengers: tuple[Passenger, ...]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Book(ToSupplier[FlightOrder]):
    """Buy; ``held`` is the hold whose seats these are."""

    offer: FlightOffer
    passengers: tuple[Passenger, ...]
    key: str
    held: str | None = None


Request = Search | Price | Read | Find | Hold | Book


class SupplierActor(Actor):
    """Breaker, rate limit, time limits and retries around one driver."""

    farewell: ClassVar[float] = 10.0
    """A write under way at the end of the process gets this long; a longer one is looked up after the start."""

    def __init__(self, *, driver: FlightSupplier, clock: Clock) -> None:
        super().__init__()
        self.driver = driver
        self.clock = clock
        self.breaker = Breaker(driver.name, clock)
        self.rate = RateLimit(clock)
        self.writes: dict[str, asyncio.Task[FlightOrder]] = {}
        self.asked_at = clock.monotonic()
        self.idle_timer: Timer | None = None

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        self._look_later()

    async def receive(self, message: Request) -> Any:
        self.asked_at = self.clock.monotonic()
        driver = self.driver
        match message:
            case Search(question=question):
                return self.later(self._reading(lambda: driver.search(question)))
            case Price(offer=offer):
                return self.later(self._reading(lambda: driver.price(offer)))
            case Read(supplier_ref=ref):
                return self.later(self._reading(lambda: driver.read(ref)))
            case Find(key=key):
                return self.later(self._finding(key))
            case Hold(offer=offer, passengers=persons, key=key):
                return self.later(self._writing(key, lambda: driver.hold(offer, persons, key)))
            case Book(offer=offer, passengers=persons, key=key, held=held):
                return self.later(self._writing(key, lambda: driver.book(offer, persons, key, held)))
            case _:
                assert_never(message)

    async def on_end(self, failure: BaseException | None) -> None:  # noqa: ARG002  # writes are awaited in any case
        """Writes outlive the actor if need be; here they are given time to come to their end."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        self.breaker.close()
        if self.writes:
            await asyncio.wait(self.writes.values())

    async def _reading(self, work: Callable[[], Awaitable[R]]) -> R:
        return await self._attempts(work, READ_SECONDS, repeat=True)

    async def _finding(self, key: str) -> FlightOrder | None:
        writing = self.writes.get(key)
        if writing is not None:
            await asyncio.wait({writing})
        return await self._reading(lambda: self.driver.find(key))

    async def _writing(self, key: str, work: Callable[[], Awaitable[FlightOrder]]) -> FlightOrder:
        writing = self.writes.get(key)
        if writing is None:
            writing = asyncio.get_running_loop().create_task(self._write(key, work), name=f"{self.driver.name}.write")
            self.writes[key] = writing
            writing.add_done_callback(lambda done: self._written(key, done))
        return await asyncio.shield(writing)

    def _written(self, key: str, done: asyncio.Task[FlightOrder]) -> None:
        del self.writes[key]
        failure = None if done.cancelled() else done.exception()
        if failure is not None:
            _log.warning("supplier_write_failed", supplier=self.driver.name, key=key, exc_info=failure)

    async def _write(self, key: str, work: Callable[[], Awaitable[FlightOrder]]) -> FlightOrder:
        """Write once. No answer is not a no: what became of it is looked up where that can be done."""
        can = self.driver.capabilities
        try:
            return await self._attempts(work, WRITE_SECONDS, repeat=can.honours_keys)
        except SupplierError as failure:
            if failure.supplier_code not in ("transient", "timeout"):
                raise
            unclear = SupplierError(failure.supplier_code, failure.text, unclear=True)
            if not can.looks_up:
                raise unclear from failure
        try:
            found = await self._reading(lambda: self.driver.find(key))
        except SupplierError as failure:
            raise unclear from failure
        if found is None:
            raise unclear
        return found

    async def _attempts(self, work: Callable[[], Awaitable[R]], seconds: float, *, repeat: bool) -> R:
        """Do ``work`` within ``seconds`` in all, again after trouble if it may be repeated."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as limit:
                timer = self.clock.call_later(seconds, lambda: limit.reschedule(loop.time()))
                try:
                    return await self._with_retries(work, RETRIES if repeat else 0)
                finally:
                    timer.cancel()
        except TimeoutError as late:
            raise SupplierError("timeout", f"no answer within {seconds:.0f} s") from late

    async def _with_retries(self, work: Callable[[], Awaitable[R]], retries: int) -> R:
        for attempt in range(retries):
            try:
                return await self._attempt(work)
            except SupplierError as failure:
                if failure.supplier_code not in TROUBLE:
                    raise
                pause = failure.retry_after or 2**attempt * random.uniform(0.1, 0.3)  # noqa: S311 - jitter, no secret
                await self.clock.sleep(min(pause, LONGEST_RETRY_AFTER))
        return await self._attempt(work)

    async def _attempt(self, work: Callable[[], Awaitable[R]]) -> R:
        await self.rate.turn()
        trial = self.breaker.admit()
        outcome, judge = "permanent", self.breaker.abandoned
        try:
            done = await work()
            outcome, judge = "ok", self.breaker.passed
        except SupplierError as failure:
            outcome = failure.supplier_code
            judge = self.breaker.failed if outcome in TROUBLE else self.breaker.passed
            raise
        except Unavailable as away:  # our own storage, not the supplier
            outcome = "transient"
            raise SupplierError("transient", "the supplier cannot be reached") from away
        except asyncio.CancelledError:  # the time limit
            outcome, judge = "timeout", self.breaker.failed
            raise
        finally:
            metrics.SUPPLIER_REQUESTS_TOTAL.labels(self.driver.name, outcome).inc()
            judge(trial=trial)
        return done

    def _look_later(self) -> None:
        self.idle_timer = self.clock.call_later(IDLE_SECONDS, self._maybe_sleep)

    def _maybe_sleep(self) -> None:
        if self.clock.monotonic() - self.asked_at >= IDLE_SECONDS and not self.writes and not self.breaker.is_open:
            self.ask_to_sleep()
        if not self.actor_stopped.is_set():
            self._look_later()


def child(tenant_id: str, name: str, store: Asks, clock: Clock) -> Child:
    """A supplier as its agency's child; KeyError if there is no driver for it."""
    driver = DRIVERS[name]
    return Child(
        name=f"supplier:{name}",
        factory=lambda: SupplierActor.start(driver=driver(tenant_id, store, clock), clock=clock),
        restart=Restart.TRANSIENT,
        shutdown=SupplierActor.farewell + 1,
    )


def without_driver(names: Sequence[str]) -> list[str]:
    """Those of ``names`` nobody has written a driver for; a start refuses them."""
    return [name for name in names if name not in DRIVERS]


@dataclass(frozen=True, slots=True)
class Counter:
    """A supplier as tools see it: the protocol's methods, each a message to its actor."""

    tenant_id: str
    name: str
    capabilities: Capabilities
    to: Asks
    """Whoever routes ``ToSupplier``: the root, the agency, or the actor itself."""

    async def search(self, question: FlightQuestion) -> Sequence[FlightOffer]:
        return await self._read(Search(tenant_id=self.tenant_id, supplier=self.name, question=question))

    async def price(self, offer: FlightOffer) -> FlightOffer:
        return await self._read(Price(tenant_id=self.tenant_id, supplier=self.name, offer=offer))

    async def read(self, supplier_ref: str) -> FlightOrder:
        return await self._read(Read(tenant_id=self.tenant_id, supplier=self.name, supplier_ref=supplier_ref))

    async def find(self, key: str) -> FlightOrder | None:
        within = READ_SECONDS + WRITE_SECONDS
        return await self._ask(Find(tenant_id=self.tenant_id, supplier=self.name, key=key), within, writes=False)

    async def hold(self, offer: FlightOffer, passengers: Sequence[Passenger], key: str) -> FlightOrder:
        return await self._write(
            Hold(tenant_id=self.tenant_id, supplier=self.name, offer=offer, passengers=tuple(passengers), key=key)
        )

    async def book(
        self, offer: FlightOffer, passengers: Sequence[Passenger], key: str, held: str | None = None
    ) -> FlightOrder:
        return await self._write(
            Book(
                tenant_id=self.tenant_id,
                supplier=self.name,
                offer=offer,
                passengers=tuple(passengers),
                key=key,
                held=held,
            )
        )

    async def _read(self, message: ToSupplier[R]) -> R:
        return await self._ask(message, READ_SECONDS, writes=False)

    async def _write(self, message: ToSupplier[R]) -> R:
        return await self._ask(message, WRITE_SECONDS + READ_SECONDS, writes=True)

    async def _ask(self, message: ToSupplier[R], within: float, *, writes: bool) -> R:
        """All that can go wrong on the way is a ``SupplierError``; the limits are the actor's, the slack is ours."""
        try:
            return await self.to.ask(message, within=within + 5)
        except DeadlineExceeded as late:
            raise SupplierError("timeout", "no answer in time", unclear=writes) from late
        except Unavailable as away:
            raise SupplierError("transient", "the supplier cannot be asked now") from away
        except ActorFailed as failed:
            _log.error("supplier_failed", supplier=self.name, exc_info=failed)
            raise SupplierError("transient", "the supplier's driver failed", unclear=writes) from failed


class AgencySuppliers:
    """The suppliers that are on for one agency."""

    def __init__(self, tenant_id: str, names: Sequence[str], to: Asks) -> None:
        self._counters = {name: Counter(tenant_id, name, DRIVERS[name].capabilities, to) for name in names}

    @property
    def flights(self) -> Sequence[FlightSupplier]:
        return tuple(self._counters.values())

    def named(self, name: str) -> FlightSupplier | None:
        return self._counters.get(name)
