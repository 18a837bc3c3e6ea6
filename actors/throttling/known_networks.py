"""Cache of accounts' known networks, read only after failures and during delays, so that successes cost nothing."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from ...storage.accounts.known_networks import AccountNetworks, Networks
from ..domain.errors import Refusal, Unavailable
from ..foundation import log
from ..foundation.clock import Clock
from ..runtime.actor import Recipient
from ..runtime.cache import Cached, Pipe, SingleFlightCache
from ..runtime.reply import refuse

FRESH_SECONDS: Final = 900.0
"""As long as the longest delay, so that one delay needs one lookup at most."""
MAX_ENTRIES: Final = 10_000
MAX_LOOKUPS: Final = 64
"""Concurrent lookups; callers beyond that count as from an unknown network."""
LOOKUP_TIMEOUT: Final = 2.0
"""Seconds; a client may be waiting for a refusal meanwhile."""

_log = log.get(__name__)
_log_throttle = log.LogThrottle(first=3)


class AccountRef(NamedTuple):
    """An account by e-mail address, registered or not, or by user id."""

    email: str | None = None
    user_id: str | None = None


class KnownNetworks:
    """Answers from memory, or looks the account up. Part of the throttle's actor and changed by its messages."""

    def __init__(self, storage: Recipient, clock: Clock, pipe: Pipe) -> None:
        """``pipe`` is the actor's."""
        self._storage = storage
        self._clock = clock
        self._cache = SingleFlightCache[AccountRef, AccountNetworks | None](
            pipe, clock, fresh_seconds=FRESH_SECONDS, max_entries=MAX_ENTRIES
        )

    def cached(self, name: AccountRef) -> Cached[AccountNetworks | None] | None:
        """The cached entry of the account, unless it is stale; its value is ``None`` for an unregistered address."""
        return self._cache.get(name)

    def read(self, name: AccountRef) -> asyncio.Future[AccountNetworks | None]:
        """Look the account up, or join a look-up under way. It fails if that cannot be done now."""
        if not self._cache.is_reading(name) and self._cache.reading >= MAX_LOOKUPS:
            full: asyncio.Future[AccountNetworks | None] = asyncio.get_running_loop().create_future()
            refuse(full, Unavailable("overloaded"))
            return full
        return self._cache.read(name, lambda: self._look_up(name))

    def forget(self, name: AccountRef) -> None:
        """Drop the entry after a successful sign-in, which may add a known network."""
        self._cache.evict_one(name)

    async def _look_up(self, name: AccountRef) -> AccountNetworks | None:
        query = Networks(email=name.email, user_id=name.user_id, now=self._clock.now())
        try:
            return await self._storage.ask(query, LOOKUP_TIMEOUT)
        except Refusal as refusal:
            if _log_throttle.allows():
                _log.warning("known_networks_read_failed", refusal=refusal.code)
            raise


def knows(account: AccountNetworks | None, network: str | None) -> bool:
    """Whether the network is known for the account."""
    return account is not None and network is not None and network in account.networks
