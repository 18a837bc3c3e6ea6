"""Issues and verifies access and refresh tokens. Revocation is checked elsewhere."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..domain.errors import Unauthorized
from ..domain.identity import Principal
from ..domain.ids import parse_uuid

ALGORITHM = "HS256"
MAX_REMEMBERED = 10_000
"""Verified tokens kept by hash, so that the requests of one client pay for one signature."""

MAX_TOKEN_ID = 255

MAX_TIMESTAMP = 253_402_300_799
"""The end of the year 9999, as far as a ``datetime`` reaches."""

_REFRESH_PURPOSE = b"voyagent refresh token 1"


class KeyRing:
    """The secrets tokens are signed with, by key id. The first signs, all verify."""

    def __init__(self, keys: Mapping[str, str], unnamed: str | None) -> None:
        """``keys`` as the configuration orders them; ``unnamed`` is the one secret of tokens without a key id."""
        self.signing_kid = next(iter(keys))
        self._keys = dict(keys)
        self._unnamed = unnamed

    def secret(self, kid: str | None) -> str | None:
        """The secret for this key id; None if there is none."""
        return self._unnamed if kid is None else self._keys.get(kid)

    @property
    def secrets(self) -> Mapping[str, str]:
        """All secrets, by key id."""
        return self._keys

    @property
    def signing_secret(self) -> str:
        return self._keys[self.signing_kid]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of a verified access token. Role and address are read from the database instead."""

    user_id: str
    tenant_id: str
    token_id: str
    issued_at: int
    not_before: int
    expires_at: int
    version: int | None
    family_id: str | None

    @property
    def api_key_id(self) -> None:
        """An access token is no API key."""


class TokenExpired(Unauthorized):
    """A valid but expired token. Routine, so it is not audited."""


class AccessTokens:
    """JWTs (RFC 7519), signed with HS256 and nothing else."""

    def __init__(self, ring: KeyRing, *, issuer: str, audience: str, ttl: int, leeway: int) -> None:
        """``ttl`` and ``leeway`` in seconds; the leeway allows for clock skew."""
        self._ring = ring
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._remembered: dict[bytes, Claims] = {}
        self.ttl = ttl

    def issue(self, principal: Principal, now: datetime) -> str:
        """A token for ``principal``, good for ``ttl`` seconds."""
        issued_at = int(now.timestamp())
        claims = {
            "sub": principal.user_id,
            "tid": principal.tenant_id,
            "role": principal.role.value,
            "email": principal.email,
            "iat": issued_at,
            "exp": issued_at + self.ttl,
            "jti": secrets.token_hex(16),
            "iss": self._issuer,
            "aud": self._audience,
            "ver": principal.token_version,
            "sid": principal.family_id,
        }
        return jwt.encode(claims, self._ring.signing_secret, ALGORITHM, headers={"kid": self._ring.signing_kid})

    def read(self, token: str, now: datetime) -> Claims:
        """The claims of a valid token; TokenExpired if only the time is wrong, else Unauthorized."""
        fingerprint = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = self._remembered.get(fingerprint)
        if claims is None:
            claims = self._verified(token)
            self._remember(fingerprint, claims)
        moment = now.timestamp()
        if not claims.not_before - self._leeway <= moment < claims.expires_at + self._leeway:
            raise TokenExpired("unauthorized")
        return claims

    def _remember(self, fingerprint: bytes, claims: Claims) -> None:
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[fingerprint] = claims

    def _verified(self, token: str) -> Claims:
        try:
            secret = self._ring.secret(jwt.get_unverified_header(token).get("kid"))
            if secret is None:
                raise Unauthorized("unauthorized")
            payload = jwt.decode(
                token,
                secret,
                [ALGORITHM],
                {
                    "require": ["sub", "tid", "iat", "exp", "jti", "iss", "aud"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
                audience=self._audience,
                issuer=self._issuer,
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise Unauthorized("unauthorized") from error
        claims = _claims(payload)
        if claims is None:
            raise Unauthorized("unauthorized")
        return claims


def _claims(payload: Mapping[str, Any]) -> Claims | None:
    """The claims, type-checked; None if any is malformed."""
    user_id, tenant_id, token_id = parse_uuid(payload["sub"]), parse_uuid(payload["tid"]), payload["jti"]
    issued_at, expires_at = _seconds(payload["iat"]), _seconds(payload["exp"])
    earliest = _seconds(payload.get("nbf", 0))
    if user_id is None or tenant_id is None or issued_at is None or expires_at is None or earliest is None:
        return None
    if not (0 < len(token_id) <= MAX_TOKEN_ID and token_id.isprintable()):
        return None
    version, family_id = payload.get("ver"), None
    if "ver" in payload and type(version) is not int:
        return None
    if "sid" in payload and (family_id := parse_uuid(payload["sid"])) is None:
        return None
    return Claims(
        user_id=user_id,
        tenant_id=tenant_id,
        token_id=token_id,
        issued_at=issued_at,
        not_before=max(issued_at, earliest),
        expires_at=expires_at,
        version=version,
        family_id=family_id,
    )


def _seconds(value: object) -> int | None:
    """A NumericDate of RFC 7519 as whole seconds; None for what is no time at all."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -MAX_TIMESTAMP <= value <= MAX_TIMESTAMP:
        return None
    return int(value)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One token of a family. Only ``digest`` and ``key_id`` are stored: the token can be derived again."""

    token: str
    digest: bytes
    key_id: str


class RefreshTokens:
    """Tokens derived by HMAC-SHA-256 from family and counter, so that a lost response can be repeated."""

    def __init__(self, ring: KeyRing) -> None:
        self._signing_kid = ring.signing_kid
        self._keys = {
            kid: HKDF(SHA256(), 32, salt=None, info=_REFRESH_PURPOSE).derive(secret.encode())
            for kid, secret in ring.secrets.items()
        }

    def derive(self, family_id: str, counter: int, key_id: str | None = None) -> RefreshToken:
        """The family's token number ``counter``, under the signing key or the one it was first derived with.

        Raises Unauthorized ``invalid_refresh_token`` if that key has left the ring.
        """
        kid = key_id or self._signing_kid
        place = UUID(family_id).bytes + counter.to_bytes(8, "big")
        token = urlsafe_b64encode(hmac.digest(self._key(kid), place, "sha256")).decode().rstrip("=")
        return RefreshToken(token, digest(token), kid)

    def _key(self, kid: str) -> bytes:
        key = self._keys.get(kid)
        if key is None:
            raise Unauthorized("invalid_refresh_token")
        return key


def digest(token: str) -> bytes:
    """SHA-256 of a token of 256 random bits: what the database keeps instead of it."""
    return hashlib.sha256(token.encode()).digest()
