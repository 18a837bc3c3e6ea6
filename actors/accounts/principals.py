"""The cache of principals: what a token is held against on every request without asking the database each time."""

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
"""After this a row is read again, so that one changed by hand is obeyed too."""

MAX_ENTRIES = 10_000


class CredentialRef(Protocol):
    """A token's claims, an API key's owner, or the principal these led to: all name what is looked up."""

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
    """A person, and what of their bearer can be ended: its family, the key, or the single token of foreign tooling."""

    tenant_id: str
    user_id: str
    credential_id: str | None

    @classmethod
    def of(cls, bearer: CredentialRef) -> CacheKey:
        """Where the bearer's entry stands."""
        return cls(bearer.tenant_id, bearer.user_id, bearer.api_key_id or bearer.family_id or bearer.token_id)


@dataclass(frozen=True, slots=True)
class CachedPrincipal:
    """What a reading found; ``None`` is remembered as well, so that a ghost costs one query in thirty seconds."""

    person: Person | None
    read_at: float


Spawn = Callable[..., "asyncio.Task[Any]"]


class Principals:
    """Answers from memory for thirty seconds, then reads again. Waiters for the same person share one reading."""

    def __init__(self, storage: Recipient, clock: Clock, spawn: Spawn) -> None:
        """``spawn`` starts a task that belongs to the cache's owner."""
        self._storage = storage
        self._clock = clock
        self._spawn = spawn
        self._entries: dict[CacheKey, CachedPrincipal] = {}
        self._readings: dict[CacheKey, asyncio.Task[Person | Refusal | None]] = {}

    def cached(self, bearer: CredentialRef) -> CachedPrincipal | None:
        """What is known of the bearer, if it is fresh."""
        entry = self._entries.get(CacheKey.of(bearer))
        if entry is None or self._clock.monotonic() - entry.read_at >= FRESH_SECONDS:
            return None
        return entry

    async def read(self, bearer: CredentialRef) -> Person | None:
        """Ask the database, or wait with those who have. Unavailable if it cannot answer: never a guess."""
        key = CacheKey.of(bearer)
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = self._spawn(self._read(key, bearer), name="reading")
        outcome = await asyncio.shield(reading)
        if isinstance(outcome, Refusal):
            raise fresh(outcome)
        return outcome

    def forget(self, matches: Callable[[CacheKey], bool]) -> None:
        """Read anew of all of whom ``matches`` holds; a reading under way may be of yesterday already."""
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
        except Refusal as away:
            return away
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
    """Whether the person and what they came with still stand, at ``now`` in Unix seconds."""
    if person is None or not (person.active and person.credential_active):
        return False
    return person.credential_expires_at is None or person.credential_expires_at.timestamp() > now


def authorize(claims: Claims, person: Person, now: float) -> Principal | None:
    """The principal behind genuine claims, or None if the present no longer bears them out. ``now`` in Unix seconds."""
    if not is_active(person, now):
        return None
    if claims.version is not None:
        if claims.version != person.principal.token_version:
            return None
    elif person.version_moved_at is not None and claims.issued_at <= person.version_moved_at.timestamp():
        return None
    return replace(person.principal, token_id=claims.token_id)
