"""Cache of accounts' known networks, read only after failures and during delays, so that successes cost nothing."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ...storage.accounts.known_networks import AccountNetworks, Networks
from ..domain.errors import Refusal
from ..foundation import log
from ..foundation.clock import Clock
from ..runtime.actor import Recipient

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


class CachedNetworks(NamedTuple):
    """The result of a lookup; ``account`` is ``None`` for an unregistered address."""

    account: AccountNetworks | None
    read_at: float

    def knows(self, network: str | None) -> bool:
        """Whether the network is known for the account."""
        return self.account is not None and network is not None and network in self.account.networks


class KnownNetworks:
    """Answers from memory, or looks the account up. Concurrent lookups of one account are shared."""

    def __init__(self, storage: Recipient, clock: Clock, spawn: Callable[..., asyncio.Task[Any]]) -> None:
        """``spawn`` starts a task that belongs to the cache's owner."""
        self._storage = storage
        self._clock = clock
        self._spawn = spawn
        self._entries: OrderedDict[AccountRef, CachedNetworks] = OrderedDict()
        self._lookups: dict[AccountRef, asyncio.Task[CachedNetworks | None]] = {}

    def cached(self, name: AccountRef) -> CachedNetworks | None:
        """The cached entry of the account, unless it is stale."""
        entry = self._entries.get(name)
        if entry is None or self._clock.monotonic() - entry.read_at >= FRESH_SECONDS:
            return None
        return entry

    async def read(self, name: AccountRef) -> CachedNetworks | None:
        """Return the account's known networks; None if they cannot be read now, which counts as an unknown network."""
        entry = self.cached(name)
        if entry is not None:
            return entry
        lookup = self._lookups.get(name)
        if lookup is None:
            if len(self._lookups) >= MAX_LOOKUPS:
                return None
            lookup = self._lookups[name] = self._spawn(self._read(name), name="known_networks")
        return await asyncio.shield(lookup)

    def forget(self, name: AccountRef) -> None:
        """Drop the entry after a successful sign-in, which may add a known network."""
        self._entries.pop(name, None)
        self._lookups.pop(name, None)

    async def _read(self, name: AccountRef) -> CachedNetworks | None:
        lookup = asyncio.current_task()
        query = Networks(email=name.email, user_id=name.user_id, now=self._clock.now())
        try:
            account = await self._storage.ask(query, LOOKUP_TIMEOUT)
        except Refusal as refusal:
            if _log_throttle.allows():
                _log.warning("known_networks_read_failed", refusal=refusal.code)
            account, failed = None, True
        else:
            failed = False
        if self._lookups.get(name) is not lookup:
            return None if failed else CachedNetworks(account, self._clock.monotonic())  # superseded: not cached
        del self._lookups[name]
        if failed:
            return None
        entry = self._entries[name] = CachedNetworks(account, self._clock.monotonic())
        self._entries.move_to_end(name)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)
        return entry
