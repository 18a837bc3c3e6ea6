"""API keys: their form, who is behind one, and how they come and go."""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from ...storage.accounts import api_keys
from ...storage.accounts.api_keys import Create, Minted, Owner, Secret
from ...storage.engine.idempotency import Encode, IdempotencyKey, Once, Replayed, Stored
from ...storage.engine.sealing import Sealing
from ..domain.audit import Origin
from ..domain.errors import Refusal
from ..domain.identity import Principal, Role
from ..foundation import log
from ..foundation.clock import Clock
from ..runtime.actor import Message, Recipient
from .revocation import Revocation

K = TypeVar("K")
V = TypeVar("V")

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIX = "vy_"
NAMED, RANDOM, CHECKED = 8, 26, 6
"""Characters: the prefix that is stored in clear, the secret, and the checksum behind it."""

LENGTH = len(PREFIX) + NAMED + 1 + RANDOM + CHECKED
STRANGERS_SECONDS = 30.0
"""How long a key nobody has is not asked about again."""
MAX_REMEMBERED = 10_000

_log = log.get("accounts.keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKey(Message[Minted | Stored]):
    """Mint a key that acts as ``principal``. Conflict ``api_key_limit``. A replayed answer is ``Stored``."""

    principal: Principal
    name: str
    expires_in_days: int | None
    origin: Origin
    key: IdempotencyKey | None = None
    reply: Encode[Minted] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey(Message[Stored | None]):
    """End a key of ``principal``'s own, or any of the agency's if they are an admin. NotFound ``not_found``."""

    principal: Principal
    key_id: str
    origin: Origin
    key: IdempotencyKey | None = None
    reply: Encode[None] | None = None


def mint() -> Secret:
    """A new key: ``vy_``, eight letters to know it by, ``_``, a secret of 154 bits and a checksum."""
    named = "".join(secrets.choice(ALPHABET) for _ in range(NAMED))
    body = f"{PREFIX}{named}_" + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    key = body + checksum(body)
    return Secret(key, named, hashed(key))


def checksum(body: str) -> str:
    """CRC-32 of a key's first 38 characters in base 62, six digits."""
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKED):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def well_formed(key: str) -> bool:
    """Whether it could be a key at all: a mistyped one is not worth a look-up."""
    body, end = key[:-CHECKED], key[-CHECKED:]
    named, line, secret = body[len(PREFIX) :].partition("_")
    return (
        len(key) == LENGTH
        and key.startswith(PREFIX)
        and bool(line)
        and len(named) == NAMED
        and set(named + secret) <= set(ALPHABET)
        and secrets.compare_digest(checksum(body).encode(), end.encode())
    )


def hashed(key: str) -> bytes:
    """What the database keeps instead of a key, and finds it by."""
    return hashlib.sha256(key.encode()).digest()


@dataclass(frozen=True, slots=True)
class Bearer:
    """An owner, as the cache of principals looks people up."""

    tenant_id: str
    user_id: str
    api_key_id: str
    family_id: None = None
    token_id: None = None


class Keys:
    """Finds the bearers of keys and has keys made and ended."""

    def __init__(self, storage: Recipient, clock: Clock, sealing: Sealing, endings: Revocation) -> None:
        self._storage = storage
        self._clock = clock
        self._sealing = sealing
        self._endings = endings
        self._owners: dict[bytes, Bearer] = {}
        self._strangers: dict[bytes, float] = {}
        self._used: dict[str, float] = {}

    def known(self, key_hash: bytes) -> Bearer | None:
        """Whose key it is, if it was looked up before. Owners do not change, so this is never stale."""
        return self._owners.get(key_hash)

    async def find(self, key_hash: bytes) -> Bearer | None:
        """Whose key it is; None if nobody's. Unavailable if the database cannot answer."""
        now = self._clock.monotonic()
        seen = self._strangers.get(key_hash)
        if seen is not None and now - seen < STRANGERS_SECONDS:
            return None
        owner: Owner | None = await self._storage.ask(api_keys.Find(key_hash=key_hash))
        if owner is None:
            _keep(self._strangers, key_hash, now)
            return None
        bearer = Bearer(owner.tenant_id, owner.user_id, owner.api_key_id)
        _keep(self._owners, key_hash, bearer)
        return bearer

    def due(self, key_id: str) -> bool:
        """Whether this use of a key is worth writing down: the first of a minute."""
        now = self._clock.monotonic()
        before = self._used.get(key_id)
        if before is not None and now - before < api_keys.USED_EVERY.total_seconds():
            return False
        _keep(self._used, key_id, now)
        return True

    async def use(self, tenant_id: str, key_id: str) -> None:
        """Write the use down. Nobody waits for it, and nobody is refused because it failed."""
        used = api_keys.Used(tenant_id=tenant_id, key_id=key_id, now=self._clock.now())
        try:
            await self._storage.ask(used)
        except Refusal as away:
            _log.warning("use of a key not written", refusal=away.code)

    async def create(self, wanted: CreateKey) -> Minted | Stored:
        """Mint one; see ``CreateKey``. Under an idempotency key the answer is kept sealed: the key is in it."""
        who, now = wanted.principal, self._clock.now()
        days = wanted.expires_in_days
        command = Create(
            tenant_id=who.tenant_id,
            user_id=who.user_id,
            token_version=who.token_version,
            name=wanted.name,
            expires_at=None if days is None else now + timedelta(days=days),
            mint=mint,
            origin=wanted.origin,
            now=now,
        )
        if wanted.key is None or wanted.reply is None:
            return await self._storage.ask(command)
        once = Once(
            tenant_id=who.tenant_id,
            key=wanted.key,
            command=command,
            reply=wanted.reply,
            now=now,
            sealing=self._sealing,
        )
        done = await self._storage.ask(once)
        return done.answer if isinstance(done, Replayed) else done.value

    async def revoke(self, wanted: RevokeKey) -> Stored | None:
        """End one; see ``RevokeKey``."""
        who, now = wanted.principal, self._clock.now()
        command = api_keys.Revoke(
            tenant_id=who.tenant_id,
            user_id=who.user_id,
            key_id=wanted.key_id,
            created_by=None if who.role is Role.AGENCY_ADMIN else who.user_id,
            origin=wanted.origin,
            now=now,
        )
        try:
            answer = await self._once(command, wanted)
        finally:
            self._endings.doubt(wanted.key_id)
        self._endings.ended(wanted.key_id)
        return answer

    async def _once(self, command: api_keys.Revoke, wanted: RevokeKey) -> Stored | None:
        if wanted.key is None or wanted.reply is None:
            await self._storage.ask(command)
            return None
        once = Once(tenant_id=command.tenant_id, key=wanted.key, command=command, reply=wanted.reply, now=command.now)
        done = await self._storage.ask(once)
        return done.answer if isinstance(done, Replayed) else None


def _keep(remembered: dict[K, V], key: K, value: V) -> None:
    """Remember within bounds: what was remembered first goes first."""
    remembered.pop(key, None)
    if len(remembered) >= MAX_REMEMBERED:
        del remembered[next(iter(remembered))]
    remembered[key] = value
