"""Quotas of open streams, and of new conversations a minute, per person and agency. Counted in memory."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..actors.domain.errors import Throttled
from ..actors.domain.identity import Principal
from ..actors.foundation.clock import Clock

MINUTE = 60.0
STREAM_RETRY_AFTER = 5.0
"""Seconds after which to try for a stream again: nobody knows when one ends."""


class OpenStreams:
    """Counts the streams of each person and agency, from before a request has an effect until its stream has ended."""

    def __init__(self, *, per_person: int, per_agency: int) -> None:
        self._bounds = (per_person, per_agency)
        self._open: Counter[str] = Counter()

    def count(self, principal: Principal) -> int:
        """The number of the agency's open streams."""
        return self._open[principal.tenant_id]

    @contextmanager
    def hold(self, principal: Principal) -> Iterator[None]:
        """Count one more while the block runs. Throttled ``too_many_streams``."""
        owners = (principal.user_id, principal.tenant_id)
        if any(self._open[owner] >= bound for owner, bound in zip(owners, self._bounds, strict=True)):
            raise Throttled("too_many_streams", retry_after=STREAM_RETRY_AFTER)
        self._open.update(owners)
        try:
            yield
        finally:
            for owner in owners:
                self._open[owner] -= 1
                if not self._open[owner]:
                    del self._open[owner]


@dataclass(slots=True)
class Counted:
    """A conversation that counts against the quota once it has been ``created``."""

    created: bool


class NewSessions:
    """Counts the conversations each person created in the last minute."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._created: OrderedDict[str, deque[float]] = OrderedDict()

    @contextmanager
    def count(self, principal: Principal) -> Iterator[Counted]:
        """Count one more, which the block creates. Throttled ``too_many_sessions``.

        It stays counted unless the block fails or says that it has created none.
        """
        now = self._clock.monotonic()
        self._forget(now)
        created = self._created.setdefault(principal.user_id, deque())
        while created and created[0] <= now - MINUTE:
            created.popleft()
        if len(created) >= self._per_minute:
            raise Throttled("too_many_sessions", retry_after=created[0] + MINUTE - now)
        created.append(now)
        self._created.move_to_end(principal.user_id)
        counted = Counted(created=False)
        try:
            yield counted
        finally:
            if not counted.created:
                self._uncount(principal.user_id, now)

    def _uncount(self, user_id: str, moment: float) -> None:
        """Forget one conversation, unless it is older than a minute and forgotten already."""
        created = self._created.get(user_id, deque())
        if moment in created:
            created.remove(moment)
        if not created:
            self._created.pop(user_id, None)

    def _forget(self, now: float) -> None:
        """Forget people without a recent conversation: they come first, so that only they and one more are read."""
        while self._created:
            user_id, created = next(iter(self._created.items()))
            if created[-1] > now - MINUTE:
                return
            del self._created[user_id]
