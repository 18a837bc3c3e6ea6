"""API keys: format, owner look-up, creation and revocation."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import string
import zlib
from dataclasses import dataclass
from datetime import timedelta

from ...storage.accounts import api_keys
from ...storage.accounts.api_keys import Create, CreatedKey, Owner, Secret
from ...storage.engine.idempotency import IdempotencyKey, IdempotentReply, Once
from ...storage.engine.sealing import Sealing
from ..domain.audit import Origin
from ..domain.errors import Refusal
from ..domain.identity import Principal, Role
from ..foundation import log
from ..foundation.clock import Clock
from ..runtime.actor import Message, Recipient
from ..runtime.cache import Cached, Pipe, SingleFlightCache
from .revocation import Revocation

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIX = "vy_"
PREFIX_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 8, 26, 6
"""Characters of the prefix (stored in clear), the secret and the checksum."""

LENGTH = len(PREFIX) + PREFIX_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
UNKNOWN_KEY_SECONDS = 30.0
"""How long an unknown key is remembered, so that it is not looked up again."""
MAX_REMEMBERED = 10_000

_log = log.get("accounts.keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKey(Message[IdempotentReply[CreatedKey]]):
    """Create an API key that acts as ``principal``. Conflict ``api_key_limit``."""

    principal: Principal
    name: str
    expires_in_days: int | None
    origin: Origin
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey(Message[IdempotentReply[None]]):
    """Revoke one of ``principal``'s API keys, or any of the agency's for an admin. NotFound ``not_found``."""

    principal: Principal
    key_id: str
    origin: Origin
    key: IdempotencyKey | None = None


def generate() -> Secret:
    """A new key: ``vy_``, an identifying prefix of eight characters, ``_``, a secret of 154 bits and a checksum."""
    prefix = "".join(secrets.choice(ALPHABET) for _ in range(PREFIX_LENGTH))
    body = f"{PREFIX}{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))
    key = body + checksum(body)
    return Secret(key, prefix, hashed(key))


def checksum(body: str) -> str:
    """CRC-32 of a key's first 38 characters in base 62, six digits."""
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def well_formed(key: str) -> bool:
    """Whether format and checksum are valid: mistyped keys are refused without a look-up."""
    body, end = key[:-CHECKSUM_LENGTH], key[-CHECKSUM_LENGTH:]
    prefix, line, secret = body[len(PREFIX) :].partition("_")
    return (
        len(key) == LENGTH
        and key.startswith(PREFIX)
        and bool(line)
        and len(prefix) == PREFIX_LENGTH
        and set(prefix + secret) <= set(ALPHABET)
        and secrets.compare_digest(checksum(body).encode(), end.encode())
    )


def hashed(key: str) -> bytes:
    """SHA-256 of a key: stored in its place and used for the look-up."""
    return hashlib.sha256(key.encode()).digest()


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """The owner of a key, in the form the principal cache is keyed by."""

    tenant_id: str
    user_id: str
    api_key_id: str
    family_id: None = None
    token_id: None = None


class ApiKeys:
    """Resolves API keys to their owners; creates and revokes keys."""

    def __init__(self, storage: Recipient, clock: Clock, sealing: Sealing, revocation: Revocation, pipe: Pipe) -> None:
        self._storage = storage
        self._clock = clock
        self._sealing = sealing
        self._revocation = revocation
        self._owners = SingleFlightCache[bytes, KeyOwner | None](
            pipe, clock, fresh_seconds=math.inf, max_entries=MAX_REMEMBERED
        )
        self._used: dict[str, float] = {}

    def cached(self, key_hash: bytes) -> Cached[KeyOwner | None] | None:
        """The key's owner, if cached. Owners do not change, so only the entry of an unknown key becomes stale."""
        entry = self._owners.get(key_hash)
        if entry is not None and entry.value is None:
            return entry if self._clock.monotonic() - entry.read_at < UNKNOWN_KEY_SECONDS else None
        return entry

    def find(self, key_hash: bytes) -> asyncio.Future[KeyOwner | None]:
        """The key's owner; None if the key is unknown. Unavailable if the database is."""
        return self._owners.read(key_hash, lambda: self._find(key_hash))

    async def _find(self, key_hash: bytes) -> KeyOwner | None:
        owner: Owner | None = await self._storage.ask(api_keys.Find(key_hash=key_hash))
        return None if owner is None else KeyOwner(owner.tenant_id, owner.user_id, owner.api_key_id)

    def due(self, key_id: str) -> bool:
        """Whether this use of a key is to be stored: only the first within a minute is."""
        now = self._clock.monotonic()
        before = self._used.get(key_id)
        if before is not None and now - before < api_keys.LAST_USED_PRECISION.total_seconds():
            return False
        self._used.pop(key_id, None)
        if len(self._used) >= MAX_REMEMBERED:
            del self._used[next(iter(self._used))]
        self._used[key_id] = now
        return True

    async def use(self, tenant_id: str, key_id: str) -> None:
        """Store the time of last use, in the background; a failure is logged and refuses nothing."""
        used = api_keys.Used(tenant_id=tenant_id, key_id=key_id, now=self._clock.now())
        try:
            await self._storage.ask(used)
        except Refusal as refusal:
            _log.warning("api_key_last_used_update_failed", refusal=refusal.code)

    async def create(self, message: CreateKey) -> IdempotentReply[CreatedKey]:
        """See ``CreateKey``. Under an idempotency key the reply is stored sealed, since it contains the key."""
        caller, now = message.principal, self._clock.now()
        days = message.expires_in_days
        command = Create(
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
            token_version=caller.token_version,
            name=message.name,
            expires_at=None if days is None else now + timedelta(days=days),
            generate=generate,
            origin=message.origin,
            now=now,
        )
        once = Once(
            tenant_id=caller.tenant_id,
            key=message.key,
            command=command,
            reply=CreatedKey,
            now=now,
            sealing=self._sealing,
        )
        return await self._storage.ask(once)

    async def revoke(self, message: RevokeKey) -> IdempotentReply[None]:
        """See ``RevokeKey``."""
        caller, now = message.principal, self._clock.now()
        command = api_keys.Revoke(
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
            key_id=message.key_id,
            created_by=None if caller.role is Role.AGENCY_ADMIN else caller.user_id,
            origin=message.origin,
            now=now,
        )
        once = Once(tenant_id=caller.tenant_id, key=message.key, command=command, reply=type(None), now=now)
        try:
            done = await self._storage.ask(once)
        finally:
            self._revocation.invalidate(message.key_id)
        self._revocation.revoke(message.key_id)
        return done
