"""What one person, and one agency, may hold of this process: open streams, and new conversations a minute.

Counted in memory: both end with the process.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from ..actors.domain.errors import Throttled
from ..actors.domain.identity import Principal
from ..actors.foundation.clock import Clock

MINUTE = 60.0
AGAIN = 5.0
"""Seconds after which to try for a stream again: streams end when they end."""


class OpenStreams:
    """The streams of each person and agency, from before a request has an effect until its stream has ended."""

    def __init__(self, *, per_person: int, per_agency: int) -> None:
        self._bounds = (per_person, per_agency)
        self._open: Counter[str] = Counter()

    @contextmanager
    def hold(self, who: Principal) -> Iterator[None]:
        """Count one more while the block runs. Throttled ``too_many_streams``."""
        owners = (who.user_id, who.tenant_id)
        if any(self._open[owner] >= bound for owner, bound in zip(owners, self._bounds, strict=True)):
            raise Throttled("too_many_streams", retry_after=AGAIN)
        self._open.update(owners)
        try:
            yield
        finally:
            for owner in owners:
                self._open[owner] -= 1
                if not self._open[owner]:
                    del self._open[owner]


class NewSessions:
    """The conversations each person began in the last minute."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._begun: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, who: Principal) -> None:
        """Count one more. Throttled ``too_many_sessions``."""
        now = self._clock.monotonic()
        self._forget(now)
        begun = self._begun.setdefault(who.user_id, deque())
        while begun and begun[0] <= now - MINUTE:
            begun.popleft()
        if len(begun) >= self._per_minute:
            raise Throttled("too_many_sessions", retry_after=begun[0] + MINUTE - now)
        begun.append(now)
        self._begun.move_to_end(who.user_id)

    def _forget(self, now: float) -> None:
        """Whoever began one last stands last: only those who are over are looked at, and one more."""
        while self._begun:
            user_id, begun = next(iter(self._begun.items()))
            if begun[-1] > now - MINUTE:
                return
            del self._begun[user_id]
