"""The whole service: the actors, and an HTTP server in front of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from aiohttp import web

from ..actors.database import Probe, Serves
from ..actors.foundation import log
from ..actors.foundation.clock import Clock
from ..actors.foundation.config import Settings
from ..actors.mail import UNTRIED
from ..actors.system import System
from ..storage.outbox import OldestUndelivered
from .app import Runner, make_app
from .health import DATABASE, MAIL, REDIS, TASKS, WATCH_SECONDS, Check, Health, Status
from .quotas import NewSessions, OpenStreams
from .request_context import Services
from .streams import Streams

PROCESS = "process"
"""The part of readiness that reports whether this node owns shards, and so serves their agencies."""

_log = log.get(__name__)


class Service:
    """The service of one process, an asynchronous context manager; ``url`` is where it listens."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.system = System(settings, clock)
        self.url = ""
        self._undelivered: int | None = None
        self._parts = AsyncExitStack()

    async def start(self) -> None:
        """Start the actors, then listen. A start that fails, or is cancelled, releases everything."""
        try:
            await self._parts.enter_async_context(self.system)
            services = self._services()
            runner = Runner(make_app(services))
            self._parts.push_async_callback(runner.cleanup)
            await runner.setup()
            watch = self.system.tasks.task("health_watch", services.health.watch, every=WATCH_SECONDS)
            watching = asyncio.create_task(watch.run())
            self._parts.callback(watching.cancel)
            await web.TCPSite(runner, self.settings.host, self.settings.port, backlog=runner.backlog).start()
        except BaseException:
            await self._parts.aclose()
            raise
        host, port = runner.addresses[0][:2]
        if self.settings.production and not self.settings.trusted_proxies and ip_address(host).is_loopback:
            _log.warning("no_proxy_trusted", mend="a proxy here has to be named in VOYAGENT_TRUSTED_PROXIES")
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self, grace: float = 0.0) -> None:
        """Let turns run for ``grace`` seconds while requests are answered, then close streams, actors and pools."""
        await self.system.drain(grace)
        await self._parts.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _services(self) -> Services:
        system = self.system
        return Services(
            root=system.root,
            storage=system.storage,
            accounts=system.accounts,
            settings=self.settings,
            clock=system.clock,
            health=Health(
                system.clock,
                process_status=self._process_status,
                required=self._required(),
                optional=self._optional(),
                details=self._details,
            ),
            ownership=system.ownership,
            streams=Streams(self.settings.sse_stall_seconds),
            open_streams=OpenStreams(
                per_person=self.settings.sse_streams_per_person, per_agency=self.settings.sse_streams_per_agency
            ),
            new_sessions=NewSessions(system.clock, self.settings.sessions_per_minute),
        )

    def _process_status(self) -> Status:
        return "stopping" if self.system.stopping else "ok"

    def _required(self) -> dict[str, Check]:
        if self.settings.db_url is None:
            return {}
        storage = self.system.storage
        return {DATABASE: lambda: storage.ask(Probe()), PROCESS: lambda: storage.ask(Serves())}

    def _optional(self) -> dict[str, Check]:
        checks: dict[str, Check] = {} if self.system.redis is None else {REDIS: self.system.redis.works}
        checks[TASKS] = self._tasks_succeed
        return checks if self.settings.db_url is None else {**checks, MAIL: self._mail_goes_out}

    async def _tasks_succeed(self) -> bool:
        """Whether no periodic task is overdue."""
        return not any(standing.overdue for standing in self.system.tasks.standings().values())

    async def _mail_goes_out(self) -> bool:
        self._undelivered = None
        now = self.system.clock.now()
        oldest = await self.system.storage.ask(OldestUndelivered(due_by=now - UNTRIED))
        if oldest is not None:
            self._undelivered = int((now - oldest).total_seconds())
        return oldest is None

    def _details(self) -> dict[str, object]:
        standings = self.system.tasks.standings().items()
        details: dict[str, object] = {
            TASKS: {name: {"last_success_seconds": int(at.age), "overdue": at.overdue} for name, at in standings}
        }
        if self._undelivered is not None:
            details[MAIL] = {"oldest_undelivered_seconds": self._undelivered}
        return details


async def until_ended(service: Service, asked: asyncio.Event) -> bool:
    """Wait until a stop is requested or the actors give up; return whether it was requested."""
    waits = {asyncio.create_task(asked.wait()), asyncio.create_task(service.system.ended())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    await asyncio.wait(waits)
    return asked.is_set()
