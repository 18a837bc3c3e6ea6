"""Where accounts are known, as far as was asked: after failures and in waits alone, so that no success pays for it."""

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
"""As long as the longest wait, so that a wait that stands needs no second reading."""
MAX_ENTRIES: Final = 10_000
MAX_READINGS: Final = 64
"""At once; whoever comes on top of them is taken for a stranger."""
PATIENCE: Final = 2.0
"""Seconds for a reading: somebody may wait for a refusal meanwhile."""

_log = log.get(__name__)
_away = log.LogThrottle(first=3)


class AccountRef(NamedTuple):
    """An account by its address, known or not, or by its id."""

    email: str | None = None
    user_id: str | None = None


class CachedNetworks(NamedTuple):
    """What a reading found: ``None`` for an address that is nobody's."""

    account: AccountNetworks | None
    read_at: float

    def knows(self, network: str | None) -> bool:
        """Whether the account has been at home there."""
        return self.account is not None and network is not None and network in self.account.networks


class KnownNetworks:
    """Answers from memory, or reads. Waiters for the same account share one reading."""

    def __init__(self, storage: Recipient, clock: Clock, spawn: Callable[..., asyncio.Task[Any]]) -> None:
        """``spawn`` starts a task that belongs to the cache's owner."""
        self._storage = storage
        self._clock = clock
        self._spawn = spawn
        self._entries: OrderedDict[AccountRef, CachedNetworks] = OrderedDict()
        self._readings: dict[AccountRef, asyncio.Task[CachedNetworks | None]] = {}

    def known(self, name: AccountRef) -> CachedNetworks | None:
        """What was read of the account, if it is fresh."""
        entry = self._entries.get(name)
        if entry is None or self._clock.monotonic() - entry.read_at >= FRESH_SECONDS:
            return None
        return entry

    async def read(self, name: AccountRef) -> CachedNetworks | None:
        """What is known of the account. None if that cannot be said now: the asker is then nobody's acquaintance."""
        entry = self.known(name)
        if entry is not None:
            return entry
        reading = self._readings.get(name)
        if reading is None:
            if len(self._readings) >= MAX_READINGS:
                return None
            reading = self._readings[name] = self._spawn(self._read(name), name="acquaintance")
        return await asyncio.shield(reading)

    def forget(self, name: AccountRef) -> None:
        """The account has come in: it may be known in one network more."""
        self._entries.pop(name, None)
        self._readings.pop(name, None)

    async def _read(self, name: AccountRef) -> CachedNetworks | None:
        reading = asyncio.current_task()
        query = Networks(email=name.email, user_id=name.user_id, now=self._clock.now())
        try:
            account = await self._storage.ask(query, PATIENCE)
        except Refusal as away:
            if _away.allows():
                _log.warning("known_networks_read_failed", refusal=away.code)
            account, failed = None, True
        else:
            failed = False
        if self._readings.get(name) is not reading:
            return (
                None if failed else CachedNetworks(account, self._clock.monotonic())
            )  # overtaken: not to be remembered
        del self._readings[name]
        if failed:
            return None
        entry = self._entries[name] = CachedNetworks(account, self._clock.monotonic())
        self._entries.move_to_end(name)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)
        return entry
