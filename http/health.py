"""Whether the parts behind the service work, asked so that anonymous callers cost nothing and learn nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from ..actors.foundation import log
from ..actors.foundation.clock import Clock

SHARED_SECONDS = 1.0
"""How long one result answers everybody."""

WAIT_SECONDS = 2.0
"""What has not answered by then counts as unavailable."""

WATCH_SECONDS = 5.0
"""Between two looks of the service's own, so that a loss is logged although nobody asks."""

Word = Literal["ok", "degraded", "down", "stopping"]
Look = Callable[[], Awaitable[bool]]
"""Asks one part whether it works; a refusal or any error counts as no."""

Notes = Callable[[], Mapping[str, object]]
"""What is to be told beside the words, as of the last look."""

DATABASE = "database"
REDIS = "redis"
MAIL = "mail"
TASKS = "tasks"

_log = log.get(__name__)


class Probe:
    """One part, looked at at most once a second however many ask."""

    def __init__(self, name: str, look: Look, clock: Clock) -> None:
        self._name = name
        self._look = look
        self._clock = clock
        self._running: asyncio.Task[bool] | None = None
        self._at = float("-inf")
        self._worked = True

    async def works(self) -> bool:
        """The shared result, new if the last one began more than ``SHARED_SECONDS`` ago. Waits ``WAIT_SECONDS``."""
        now = self._clock.monotonic()
        if self._running is None or (self._running.done() and now - self._at >= SHARED_SECONDS):
            self._at = now
            self._running = asyncio.get_running_loop().create_task(self._ask())
        return await asyncio.shield(self._running)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                works, cause = await self._look(), None
        except Exception as error:  # noqa: BLE001 -- whatever it is, the part does not work; the cause is logged
            works, cause = False, type(error).__name__
        self._tell(works=works, cause=cause)
        return works

    def _tell(self, *, works: bool, cause: str | None) -> None:
        """Log that it stopped working, once, and that it works again."""
        if works != self._worked:
            self._worked = works
            if works:
                _log.info("part_available", part=self._name)
            else:
                _log.warning("part_unavailable", part=self._name, **({} if cause is None else {"reason": cause}))


class Health:
    """What ``/health/*`` knows. ``vital`` parts must work for the service to be ready, ``useful`` ones should.

    A part that is not configured is left out; ``expected`` has the word for those whose absence is told. ``standing``
    says where the process is between start and stop, ``notes`` what an operator should read beside the words.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        standing: Callable[[], Word],
        vital: Mapping[str, Look] | None = None,
        useful: Mapping[str, Look] | None = None,
        expected: Mapping[str, Word] | None = None,
        notes: Notes = dict,
    ) -> None:
        self._standing = standing
        self.notes = notes
        self._vital = {name: Probe(name, look, clock) for name, look in (vital or {}).items()}
        self._useful = {name: Probe(name, look, clock) for name, look in (useful or {}).items()}
        self._expected = expected or {DATABASE: "down", REDIS: "degraded"}

    async def works(self, part: str) -> bool | None:
        """Whether ``part`` works; ``None`` if it is not configured."""
        probe = self._vital.get(part) or self._useful.get(part)
        return None if probe is None else await probe.works()

    async def words(self) -> dict[str, Word]:
        """A word for each part, and for the service itself."""
        probes = {**self._vital, **self._useful}
        answers = await asyncio.gather(*(probe.works() for probe in probes.values()))
        checks: dict[str, Word] = {"service": self._standing(), **self._expected}
        for name, works in zip(probes, answers, strict=True):
            checks[name] = "ok" if works else "down" if name in self._vital else "degraded"
        return checks

    async def watch(self) -> None:
        """Look at every part, which is done from time to time for the log's sake."""
        await self.words()
