"""The actors of one process and what they share: starting reads as a list, stopping is its reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from ..storage.engine.redis_probe import RedisProbe
from ..storage.travel.offer_cache import OfferCache
from . import mail, root
from .accounts.actor import AccountsActor
from .accounts.retention import AccountRetention
from .agent.llm.lazy import LazyModel
from .agent.run import PassLog, Ports, Task
from .agent.tools.tool import ToolContext
from .conversation.context import AgencyQuota, SessionServices
from .conversation.turn import TurnActor
from .database import IsLeader, StorageActor
from .domain.throttles import Throttles
from .foundation import config, log, metrics
from .foundation.clock import Clock
from .foundation.config import Settings
from .foundation.metrics import ActorMeter
from .housekeeping import HousekeepingActor, StorageLost
from .runtime.actor import MailboxFull, Message, Recipient, Ref
from .runtime.periodic import PeriodicTasks
from .runtime.supervisor import Child, NamedRef
from .suppliers import supplier
from .suppliers.clients import AgencySuppliers
from .throttling import throttle

START_SECONDS = 30.0
STOP_SECONDS = 15.0
LOCK_SECONDS = 2.0
"""For the lock of the one process that serves; without it the start goes on, and readiness says no until it is had."""
LOOK_SECONDS = 0.05
"""Between two looks at whether turns still run while the service stops."""

_log = log.get(__name__)


class System:
    """Everything behind the HTTP layer."""

    _cut_off: Callable[[], None]
    storage: NamedRef
    accounts: NamedRef
    root: Ref

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        if unknown := supplier.without_driver(settings.suppliers):
            raise config.ConfigurationError([f"{config.variable('suppliers')}: no driver for {', '.join(unknown)}"])
        self.settings = settings
        self.clock = clock or Clock()
        self.tasks = PeriodicTasks(self.clock)
        metrics.API_BUILD_INFO.labels(version=settings.version, commit=settings.git_sha).set(1)
        self.stopping = False
        self.is_leader = settings.db_url is None
        """Whether this process is the one that serves the database; without a database there is nothing to lead."""

        self.redis = None if settings.redis_url is None else RedisProbe(settings.redis_url)
        self._model = LazyModel(settings.anthropic_api_key, settings.anthropic_base_url, self.clock)
        self._offers = OfferCache.open(settings.redis_url, self.clock)

    async def start(self) -> None:
        """Start the root, wait until all singletons have been started, and a moment for the right to serve."""
        self.root = root.RootActor.start(plan=self._plan, clock=self.clock)
        await self.root.ask(root.Tree(), within=START_SECONDS)
        self._model.load()
        if self.settings.db_url is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOCK_SECONDS):
                    while not await self.storage.ask(IsLeader()):  # noqa: ASYNC110 - the lock is told of to who asks
                        await asyncio.sleep(LOOK_SECONDS / 5)

    async def drain(self, seconds: float) -> None:
        """Begin no new turn, and give the running ones ``seconds`` to come to their end."""
        self.stopping = True
        running = ActorMeter.of(TurnActor.__name__).mailboxes
        deadline = self.clock.monotonic() + seconds
        while running and self.clock.monotonic() < deadline:
            await self.clock.sleep(LOOK_SECONDS)
        if running:
            _log.warning("turns_interrupted", turns=len(running))

    async def stop(self) -> None:
        """Stop the actors, children before parents and last started first, then let go of what they used."""
        self.stopping = True
        await self.root.stop_and_wait(STOP_SECONDS)
        await self._model.close()
        await self._offers.close()
        if self.redis is not None:
            await self.redis.close()

    async def ended(self) -> None:
        """Return when the root has given up by itself: nothing below it can be trusted then."""
        await self.root.ended()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:  # a start that is given up leaves no actor behind
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _plan(self, address: Callable[[str], NamedRef], to: Recipient) -> tuple[list[Child], SessionServices]:
        self.storage, self.accounts, post = address("storage"), address("accounts"), address("mail")
        gate = None if self.settings.guard == "off" else address("guard")
        self._cut_off = lambda: _hint(address("housekeeping"), StorageLost())
        settings, clock, tasks = self.settings, self.clock, self.tasks
        counts = Throttles(throttle.rules(settings))
        singletons = [
            Child("storage", lambda: self._storage(to), shutdown=8.0, escalate=True),
            Child("mail", lambda: mail.MailActor.start(self.storage, settings, clock, tasks=tasks), escalate=True),
            Child(
                "guard",
                lambda: throttle.ThrottleActor.start(self.storage, settings, clock, counts, tasks),
                escalate=True,
            ),
            Child(
                "accounts",
                lambda: AccountsActor.start(
                    self.storage, settings, clock, lambda: _hint(post, mail.Poll()), gate, tasks
                ),
                escalate=True,
            ),
            Child("housekeeping", lambda: self._housekeeping(to), escalate=True),
        ]
        services = SessionServices(
            store=self.storage,
            clock=clock,
            settings=settings,
            ports=lambda recorder, agency: self._ports(to, recorder, agency),
            tools=lambda task: self._context(to, task),
            stopping=lambda: self.stopping,
            is_leader=lambda: self.is_leader,
            on_storage_lost=self._cut_off,
        )
        return singletons, services

    def _storage(self, to: Recipient) -> Ref:
        return StorageActor.start(
            self.settings.db_url,
            lock_lost=lambda: self._yield(to),
            lock_taken=self._lead,
            lock_had=self.is_leader,
            sealing_keys=self.settings.sealing_keys,
            tasks=self.tasks,
        )

    def _housekeeping(self, to: Recipient) -> Ref:
        clock = self.clock
        upkeep = AccountRetention(store=self.storage, accounts=self.accounts, clock=clock, settings=self.settings)
        return HousekeepingActor.start(
            store=self.storage,
            root=to,
            clock=clock,
            is_leader=lambda: self.is_leader,
            upkeep=upkeep,
            tasks=self.tasks,
        )

    def _lead(self) -> None:
        """Ours to serve, for the first time or anew: what was cut off is due."""
        self.is_leader = True
        self._cut_off()

    async def _yield(self, to: Recipient) -> None:
        """Another process may serve the database from now on: nothing of ours may go on writing."""
        self.is_leader = False
        await to.ask(root.StopAgencies(), within=STOP_SECONDS)

    def _ports(self, to: Recipient, recorder: PassLog, agency: AgencyQuota) -> Ports:
        return Ports(
            model=self._model,
            recorder=recorder,
            store=self.storage,
            budget=agency,
            clock=self.clock,
            prices=self.settings.model_prices,
            context=lambda task: self._context(to, task),
        )

    def _context(self, to: Recipient, task: Task) -> ToolContext:
        return ToolContext(
            tenant_id=task.tenant_id,
            session_id=task.session_id,
            turn_id=task.turn_id,
            user_id=task.user_id,
            settings=task.settings,
            clock=self.clock,
            store=self.storage,
            offers=self._offers,
            suppliers=AgencySuppliers(task.tenant_id, self.settings.suppliers, to),
        )


def _hint(to: NamedRef, message: Message[None]) -> None:
    """Tell what a periodic task would find by itself; whoever has too much mail to hear of it is no reason to fail."""
    with suppress(MailboxFull):
        to.tell(message)
