"""The rules of the second factor: TOTP codes (RFC 6238) and recovery codes."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import quote

import pyotp

from ...storage.engine.digest_keys import derived

ISSUER = "Voyagent"
SEED_LENGTH = 32
"""Base32 characters: 160 bits, as RFC 4226 recommends."""
STEP_SECONDS = 30
CODE_DIGITS = 6

RECOVERY_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no letter that is read as another."""
_MISREAD = str.maketrans("OIL", "011")
"""Crockford's aliases: letters the alphabet leaves out, read as what they are taken for."""
_BETWEEN = re.compile(r"[\s\u200b\ufeff\-\u00ad\u2010-\u2015\u2212]+")
RECOVERY_LENGTH = 8
RECOVERY_CODES = 10


@dataclass(frozen=True, slots=True)
class Code:
    """A code as entered, with its kind."""

    kind: Literal["totp", "recovery"]
    text: str


def clean_code(typed: str) -> str:
    """A code without the blanks and hyphens people, apps and print put between its groups; in upper case."""
    return _BETWEEN.sub("", typed).upper()


def read_code(typed: str) -> Code | None:
    """Six digits are a TOTP code; eight characters of the alphabet or its aliases are a recovery code."""
    text = clean_code(typed)
    if len(text) == CODE_DIGITS and text.isascii() and text.isdigit():
        return Code("totp", text)
    meant = text.translate(_MISREAD)
    if len(meant) == RECOVERY_LENGTH and set(meant) <= set(RECOVERY_ALPHABET):
        return Code("recovery", meant)
    return None


def new_seed() -> str:
    """A secret for a device."""
    return pyotp.random_base32(SEED_LENGTH)


def otpauth_url(seed: str, email: str) -> str:
    """The seed as an ``otpauth`` URL for authenticator apps."""
    return f"otpauth://totp/{ISSUER}:{quote(email, safe='')}?secret={seed}&issuer={ISSUER}"


def time_step_of(seed: str, code: Code | None, now: datetime) -> int | None:
    """The time step ``code`` is right for, one to either side of now; None if it is wrong. All three are compared."""
    if code is None or code.kind != "totp":
        return None
    device, present = pyotp.TOTP(seed), int(now.timestamp()) // STEP_SECONDS
    time_steps = range(present - 1, present + 2)
    right = [time_step for time_step in time_steps if hmac.compare_digest(device.generate_otp(time_step), code.text)]
    return max(right, default=None)


def new_recovery_codes() -> list[str]:
    """Ten distinct codes."""
    codes: set[str] = set()
    while len(codes) < RECOVERY_CODES:
        codes.add("".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(RECOVERY_LENGTH)))
    return sorted(codes, key=lambda _code: secrets.randbits(64))


class RecoveryMacs:
    """Keyed MACs of recovery codes: 40 bits are too few for an unkeyed digest."""

    def __init__(self, sealing_keys: Mapping[str, bytes]) -> None:
        """Keys by id, derived from those that seal, in their order: new codes are kept under the first."""
        self._keys = {kid: derived(key) for kid, key in sealing_keys.items()}

    @property
    def key_id(self) -> str:
        """The key new codes are kept under."""
        return next(iter(self._keys))

    def new(self, code: str, user_id: str) -> bytes:
        """The MAC to store for a new code."""
        return _mac(self._keys[self.key_id], code, user_id)

    def all(self, code: str, user_id: str, stored: Iterable[bytes]) -> list[bytes]:
        """The possible MACs of a presented code, one for each key: of the ring, and ``stored`` of earlier rings."""
        keys = dict.fromkeys((*self._keys.values(), *stored))
        return [_mac(key, code, user_id) for key in keys]


def _mac(key: bytes, code: str, user_id: str) -> bytes:
    return hmac.digest(key, f"{user_id}:{code}".encode(), "sha256")
