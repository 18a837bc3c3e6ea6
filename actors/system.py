"""The actor system of one process (Akka's ``ActorSystem``): starts the root and wires its singletons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from ..storage.engine.ownership import Ownership
from ..storage.engine.redis_probe import RedisProbe
from ..storage.engine.sealing import Sealing
from ..storage.travel.offer_cache import OfferCache
from . import mail, root
from .accounts.actor import AccountsActor
from .accounts.retention import AccountRetention
from .agent.llm.lazy import LazyModel
from .agent.ports import PassLog, Ports, Task
from .agent.tools.tool import ToolContext
from .conversation.context import SessionServices
from .conversation.turn import TurnActor
from .database import Serves, StorageActor
from .domain.throttles import Throttles
from .foundation import config, log, metrics
from .foundation.clock import Clock
from .foundation.config import Settings
from .foundation.metrics import ActorMeter
from .housekeeping import HousekeepingActor, StorageLost
from .quota import Quota
from .runtime.actor import Recipient, Ref, hint
from .runtime.periodic import PeriodicTasks
from .runtime.supervisor import Child, NamedRef
from .signed_heads import HeadSigner
from .suppliers import drivers
from .suppliers.clients import AgencySuppliers
from .throttling import throttle

START_SECONDS = 30.0
STOP_SECONDS = 15.0
OWNERSHIP_TIMEOUT = 2.0
"""Wait for shards at start; without any the start completes, and the process is not ready until it owns some."""
POLL_INTERVAL = 0.05
"""Between checks for running turns during a shutdown."""

_log = log.get(__name__)


class System:
    """All actors and shared clients behind the HTTP layer."""

    _on_storage_lost: Callable[[], None]
    storage: NamedRef
    accounts: NamedRef
    root: Ref

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        if unknown := drivers.without_driver(settings.suppliers):
            raise config.ConfigurationError([f"{config.variable('suppliers')}: no driver for {', '.join(unknown)}"])
        self.settings = settings
        self.clock = clock or Clock()
        self.tasks = PeriodicTasks(self.clock)
        metrics.API_BUILD_INFO.labels(version=settings.version, commit=settings.git_sha).set(1)
        self.stopping = False
        self.ownership = Ownership(coordinated=settings.db_url is not None, clock=self.clock)
        """What this node owns of the database: everything, without one."""

        self.redis = None if settings.redis_url is None else RedisProbe(settings.redis_url)
        self._model = LazyModel(settings.anthropic_api_key, settings.anthropic_base_url, self.clock)
        self._offers = OfferCache.open(settings.redis_url, self.clock)
        self._sealing = Sealing(settings.sealing_keys)
        self._suppliers = drivers.enabled(settings)

    async def start(self) -> None:
        """Start the root and its singletons, then wait briefly for shards."""
        self.root = root.RootActor.start(plan=self._plan, clock=self.clock)
        await self.root.ask(root.Tree(), within=START_SECONDS)
        self._model.load()
        if self.settings.db_url is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(OWNERSHIP_TIMEOUT):
                    while not await self.storage.ask(Serves()):  # noqa: ASYNC110 - ownership is only polled
                        await asyncio.sleep(POLL_INTERVAL / 5)

    async def drain(self, seconds: float) -> None:
        """Refuse new turns and give running ones ``seconds`` to finish."""
        self.stopping = True
        running = ActorMeter.of(TurnActor.__name__).mailboxes
        deadline = self.clock.monotonic() + seconds
        while running and self.clock.monotonic() < deadline:
            await self.clock.sleep(POLL_INTERVAL)
        if running:
            _log.warning("turns_interrupted", turns=len(running))

    async def stop(self) -> None:
        """Stop the actors, children before parents and last started first, then close shared clients."""
        self.stopping = True
        await self.root.stop_and_wait(STOP_SECONDS)
        await self._model.close()
        await self._offers.close()
        if self.redis is not None:
            await self.redis.close()

    async def ended(self) -> None:
        """Return when the root has ended by itself, which is fatal."""
        await self.root.ended()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:  # a failed start leaves no actor behind
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _plan(self, address: Callable[[str], NamedRef], to: Recipient) -> tuple[list[Child], SessionServices]:
        self.storage, self.accounts, mail_ref = address("storage"), address("accounts"), address("mail")
        throttling = None if self.settings.throttle == "off" else address("throttle")
        housekeeping = address("housekeeping")
        self._on_storage_lost = lambda: hint(housekeeping, StorageLost())
        settings, clock, tasks = self.settings, self.clock, self.tasks
        throttles = Throttles(throttle.rules(settings))
        singletons = [
            Child("storage", lambda: self._storage(to), shutdown=8.0, escalate=True),
            Child("mail", lambda: mail.MailActor.start(self.storage, settings, clock, tasks=tasks), escalate=True),
            Child(
                "throttle",
                lambda: throttle.ThrottleActor.start(self.storage, settings, clock, throttles, tasks),
                escalate=True,
            ),
            Child(
                "accounts",
                lambda: AccountsActor.start(
                    self.storage, settings, clock, lambda: hint(mail_ref, mail.Poll()), throttling, tasks
                ),
                escalate=True,
            ),
            Child("housekeeping", lambda: self._housekeeping(to), escalate=True),
        ]
        services = SessionServices(
            store=self.storage,
            clock=clock,
            settings=settings,
            ports=lambda recorder, quota, store: self._ports(to, recorder, quota, store),
            tools=lambda task, store: self._context(to, task, store),
            stopping=lambda: self.stopping,
            ownership=self.ownership,
            on_storage_lost=self._on_storage_lost,
        )
        return singletons, services

    def _storage(self, to: Recipient) -> Ref:
        return StorageActor.start(
            self.settings.db_url,
            ownership=self.ownership,
            shards_lost=lambda shards: self._on_lost(to, shards),
            shards_owned=self._on_storage_lost,
            version=self.settings.version,
            alone=self.settings.embedded,
            sealing_keys=self.settings.sealing_keys,
            as_owner=not self.settings.production,
            tasks=self.tasks,
        )

    def _housekeeping(self, to: Recipient) -> Ref:
        clock, settings = self.clock, self.settings
        retention = AccountRetention(store=self.storage, accounts=self.accounts, clock=clock, settings=settings)
        return HousekeepingActor.start(
            store=self.storage,
            root=to,
            clock=clock,
            ownership=self.ownership,
            retention=retention,
            heads=HeadSigner(store=self.storage, settings=settings, clock=clock) if settings.sealing_keys else None,
            sealing=self._sealing,
            tasks=self.tasks,
        )

    async def _on_lost(self, to: Recipient, shards: frozenset[int]) -> None:
        """Another node may own these shards: stop their agencies."""
        await to.ask(root.StopAgencies(shards), within=STOP_SECONDS)

    def _ports(self, to: Recipient, recorder: PassLog, quota: Quota, store: Recipient) -> Ports:
        return Ports(
            model=self._model,
            recorder=recorder,
            store=store,
            budget=quota,
            clock=self.clock,
            prices=self.settings.model_prices,
            context=lambda task: self._context(to, task, store),
        )

    def _context(self, to: Recipient, task: Task, store: Recipient) -> ToolContext:
        return ToolContext(
            tenant_id=task.tenant_id,
            session_id=task.session_id,
            turn_id=task.turn_id,
            user_id=task.user_id,
            settings=task.settings,
            clock=self.clock,
            store=store,
            offers=self._offers,
            suppliers=AgencySuppliers(task.tenant_id, self._suppliers, to),
            sealing=self._sealing,
            allowed_differences=self.settings.bsp_allowed_differences,
        )
