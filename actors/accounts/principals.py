"""The cache of principals, against which tokens are checked without a query for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ...storage.accounts.principals import FindPrincipal, Person
from ..domain.identity import Principal
from ..foundation.clock import Clock
from ..runtime.actor import Recipient
from ..runtime.cache import Cached, Pipe, SingleFlightCache
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


class Principals:
    """Caches principals for 30 s, missing users as well. Part of the accounts actor and changed by its messages."""

    def __init__(self, storage: Recipient, clock: Clock, pipe: Pipe) -> None:
        """``pipe`` is the actor's."""
        self._storage = storage
        self._cache = SingleFlightCache[CacheKey, Person | None](
            pipe, clock, fresh_seconds=FRESH_SECONDS, max_entries=MAX_ENTRIES
        )

    def cached(self, bearer: CredentialRef) -> Cached[Person | None] | None:
        """The cached entry, if it is fresh."""
        return self._cache.get(CacheKey.of(bearer))

    def read(self, bearer: CredentialRef) -> asyncio.Future[Person | None]:
        """Query the database, or join a query under way. Unavailable if the database is."""
        key = CacheKey.of(bearer)
        find = FindPrincipal(
            tenant_id=key.tenant_id,
            user_id=key.user_id,
            family_id=bearer.family_id,
            token_id=bearer.token_id,
            api_key_id=bearer.api_key_id,
        )
        return self._cache.read(key, lambda: self._storage.ask(find))

    def forget(self, matches: Callable[[CacheKey], bool]) -> None:
        """Evict all entries that satisfy ``matches``; queries under way may be stale and are not cached."""
        self._cache.evict(matches)


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
    return person.principal.with_token(claims.token_id)
