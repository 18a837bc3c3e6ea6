"""The cache of principals, against which tokens are checked without a query for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from ...storage.accounts.principals import FindPrincipal, Person
from ..domain.errors import Refusal
from ..domain.identity import Principal
from ..foundation.clock import Clock
from ..runtime.ref import Recipient, fresh
from .tokens import Claims

FRESH_SECONDS = 30.0
"""Maximum age of an entry, so that rows changed by hand take effect too."""

MAX_ENTRIES = 10_000


class CredentialRef(Protocol):
    """A token's claims, an API key's owner, or the resolved principal: all can be looked up."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def family_id(self) -> str | None: ...
    @property
    def token_id(self) -> str | None: ...
    @property
    def api_key_id(self) -> str | None: ...


class CacheKey(NamedTuple):
    """A user and the revocable credential: token family, API key, or a single token without a family."""

    tenant_id: str
    user_id: str
    credential_id: str | None

    @classmethod
    def of(cls, bearer: CredentialRef) -> CacheKey:
        """The cache key of a credential."""
        return cls(bearer.tenant_id, bearer.user_id, bearer.api_key_id or bearer.family_id or bearer.token_id)


@dataclass(frozen=True, slots=True)
class CachedPrincipal:
    """The result of a look-up; ``None`` is cached too, so that a missing user costs one query in 30 s."""

    person: Person | None
    read_at: float


Spawn = Callable[..., "asyncio.Task[Any]"]


class Principals:
    """Caches principals for 30 s. Concurrent look-ups of the same user share one query."""

    def __init__(self, storage: Recipient, clock: Clock, spawn: Spawn) -> None:
        """``spawn`` starts a task that belongs to the cache's owner."""
        self._storage = storage
        self._clock = clock
        self._spawn = spawn
        self._entries: dict[CacheKey, CachedPrincipal] = {}
        self._readings: dict[CacheKey, asyncio.Task[Person | Refusal | None]] = {}

    def cached(self, bearer: CredentialRef) -> CachedPrincipal | None:
        """The cached entry, if it is fresh."""
        entry = self._entries.get(CacheKey.of(bearer))
        if entry is None or self._clock.monotonic() - entry.read_at >= FRESH_SECONDS:
            return None
        return entry

    async def read(self, bearer: CredentialRef) -> Person | None:
        """Query the database, or join a query under way. Unavailable if the database is."""
        key = CacheKey.of(bearer)
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = self._spawn(self._read(key, bearer), name="reading")
        outcome = await asyncio.shield(reading)
        if isinstance(outcome, Refusal):
            raise fresh(outcome)
        return outcome

    def forget(self, matches: Callable[[CacheKey], bool]) -> None:
        """Evict all entries that satisfy ``matches``; queries under way may be stale and are not cached."""
        for found in (self._entries, self._readings):
            for key in [key for key in found if matches(key)]:
                del found[key]

    async def _read(self, key: CacheKey, bearer: CredentialRef) -> Person | Refusal | None:
        mine = asyncio.current_task()
        read_at = self._clock.monotonic()
        look = FindPrincipal(
            tenant_id=key.tenant_id,
            user_id=key.user_id,
            family_id=bearer.family_id,
            token_id=bearer.token_id,
            api_key_id=bearer.api_key_id,
        )
        try:
            person = await self._storage.ask(look)
        except Refusal as refusal:
            return refusal
        else:
            if self._readings.get(key) is mine:
                self._keep(key, CachedPrincipal(person, read_at))
            return person
        finally:
            if self._readings.get(key) is mine:
                del self._readings[key]

    def _keep(self, key: CacheKey, entry: CachedPrincipal) -> None:
        self._entries.pop(key, None)
        if len(self._entries) >= MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = entry


def is_active(person: Person | None, now: float) -> bool:
    """Whether user and credential are active at ``now`` in Unix seconds."""
    if person is None or not (person.active and person.credential_active):
        return False
    return person.credential_expires_at is None or person.credential_expires_at.timestamp() > now


def authorize(claims: Claims, person: Person, now: float) -> Principal | None:
    """The principal of verified claims, or None if they are revoked or outdated. ``now`` in Unix seconds."""
    if not is_active(person, now):
        return None
    if claims.version is not None:
        if claims.version != person.principal.token_version:
            return None
    elif person.version_moved_at is not None and claims.issued_at <= person.version_moved_at.timestamp():
        return None
    return replace(person.principal, token_id=claims.token_id)
