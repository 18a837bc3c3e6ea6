"""Health of the service's dependencies, probed at a bounded rate so that anonymous callers cost nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from ..actors.foundation import log
from ..actors.foundation.clock import Clock

SHARED_SECONDS = 1.0
"""How long one result is shared by all callers."""

ALWAYS = float("-inf")
"""The time before all others, on the monotonic clock."""

WAIT_SECONDS = 2.0
"""A part that has not answered by then counts as unavailable."""

WATCH_SECONDS = 5.0
"""Interval of the service's own checks, so that an outage is logged without requests."""

Status = Literal["ok", "degraded", "down", "stopping"]
Check = Callable[[], Awaitable[bool]]
"""Checks one part; a refusal or any error counts as not working."""

Details = Callable[[], Mapping[str, object]]
"""Details reported beside the statuses, as of the last check."""

DATABASE = "database"
REDIS = "redis"
MAIL = "mail"
TASKS = "tasks"

_log = log.get(__name__)


class Probe:
    """One part, checked at most once a second for any number of callers."""

    def __init__(self, name: str, check: Check, clock: Clock) -> None:
        self._name = name
        self._check = check
        self._clock = clock
        self._running: asyncio.Task[bool] | None = None
        self._at = ALWAYS
        self._worked = True

    async def works(self, since: float = ALWAYS) -> bool:
        """The shared result, new if the last one began more than ``SHARED_SECONDS`` ago, or before ``since``.

        Waits ``WAIT_SECONDS``.
        """
        now = self._clock.monotonic()
        expired = now - self._at >= SHARED_SECONDS
        if self._running is None or self._at < since or (expired and self._running.done()):
            self._at = now
            self._running = asyncio.get_running_loop().create_task(self._run())
        return await asyncio.shield(self._running)

    async def _run(self) -> bool:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                works, cause = await self._check(), None
        except Exception as error:  # noqa: BLE001 -- any error means that the part does not work; the cause is logged
            works, cause = False, type(error).__name__
        self._log_change(works=works, cause=cause)
        return works

    def _log_change(self, *, works: bool, cause: str | None) -> None:
        """Log once that the part stopped working, and once that it works again."""
        if works != self._worked:
            self._worked = works
            if works:
                _log.info("part_available", part=self._name)
            else:
                _log.warning("part_unavailable", part=self._name, **({} if cause is None else {"reason": cause}))


class Health:
    """The state behind ``/health/*``. ``required`` parts must work for readiness, ``optional`` ones should.

    A part that is not configured is omitted, unless ``expected`` has a status for it. ``process_status`` returns the
    status of the process between start and stop, ``details`` what operators see beside the statuses.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        process_status: Callable[[], Status],
        required: Mapping[str, Check] | None = None,
        optional: Mapping[str, Check] | None = None,
        expected: Mapping[str, Status] | None = None,
        details: Details = dict,
    ) -> None:
        self._process_status = process_status
        self.details = details
        self._required = {name: Probe(name, check, clock) for name, check in (required or {}).items()}
        self._optional = {name: Probe(name, check, clock) for name, check in (optional or {}).items()}
        self._expected = expected or {DATABASE: "down", REDIS: "degraded"}

    async def works(self, part: str, since: float = ALWAYS) -> bool | None:
        """Whether ``part`` works, as seen at or after ``since``; ``None`` if it is not configured."""
        probe = self._required.get(part) or self._optional.get(part)
        return None if probe is None else await probe.works(since)

    async def statuses(self) -> dict[str, Status]:
        """The status of each part, and of the service itself."""
        probes = {**self._required, **self._optional}
        answers = await asyncio.gather(*(probe.works() for probe in probes.values()))
        checks: dict[str, Status] = {"service": self._process_status(), **self._expected}
        for name, works in zip(probes, answers, strict=True):
            checks[name] = "ok" if works else "down" if name in self._required else "degraded"
        return checks

    async def watch(self) -> None:
        """Check every part; run periodically so that outages are logged."""
        await self.statuses()
