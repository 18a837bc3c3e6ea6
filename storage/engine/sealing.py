"""Encryption of secrets at rest: AES-GCM, bound to table, column and row, so that values cannot be swapped."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
"""NIST SP 800-38D, 8.2.2: random, of this length."""


class NotOpened(Exception):
    """Altered, moved to another place, or sealed with a key that has left the ring or is another by the same id.

    The value does not reveal which: no data may be given up because of it.
    """


class Sealing:
    """Seals with the first key of the ring and opens with all. The key's id stands in front of the ciphertext.

    A sealed value is: length of the key id (one byte), key id, nonce, ciphertext with its tag.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """``keys`` by id, 32 bytes each, as the configuration orders them."""
        self._ring = {kid: AESGCM(key) for kid, key in keys.items()}
        self._keys = dict(keys)
        self._digest_keys: dict[tuple[str, str], tuple[bytes, ...]] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """The key ids; the sealing key is first."""
        return tuple(self._ring)

    def seal(self, plain: bytes, *, table: str, column: str, row: str) -> bytes:
        """``plain``, sealed to this place. RuntimeError without any key."""
        if not self._ring:
            raise RuntimeError("VOYAGENT_KMS_KEY is not set: nothing can be sealed")
        kid, key = next(iter(self._ring.items()))
        nonce = secrets.token_bytes(NONCE_BYTES)
        name = kid.encode()
        return bytes([len(name)]) + name + nonce + key.encrypt(nonce, plain, _place(table, column, row))

    def open(self, sealed: bytes, *, table: str, column: str, row: str) -> bytes:
        """The plaintext sealed to this place. Raises ``NotOpened``."""
        kid, rest = _named(sealed)
        key = self._ring.get(kid)
        if key is None:
            raise NotOpened("sealed with a key that is not in the ring")
        nonce, cipher = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
        try:
            return key.decrypt(nonce, cipher, _place(table, column, row))
        except (InvalidTag, ValueError) as wrong:
            raise NotOpened("altered, or of another place") from wrong

    def digests(self, plain: bytes, *, table: str, column: str, scope: str) -> tuple[bytes, ...]:
        """Keyed digests of a value of this column, one for each key: equal values of one scope are found by them.

        They are stored under the sealing key's, the first; whoever looks for a value looks for all. The keys are
        derived, since short values could be guessed from an unkeyed digest.
        """
        keys = self._digest_keys.get((table, column))
        if keys is None:
            about = json.dumps(["digest", table, column]).encode()
            derived = (HKDF(SHA256(), 32, salt=None, info=about).derive(key) for key in self._keys.values())
            keys = self._digest_keys[table, column] = tuple(derived)
        return tuple(hmac.digest(key, json.dumps([scope, plain.hex()]).encode(), "sha256") for key in keys)


def key_id(sealed: bytes) -> str:
    """The id of the sealing key. Raises ``NotOpened`` for a malformed value."""
    return _named(sealed)[0]


def _named(sealed: bytes) -> tuple[str, bytes]:
    end = 1 + sealed[0] if sealed else 0
    if not 1 < end < len(sealed):
        raise NotOpened("not sealed")
    try:
        return sealed[1:end].decode("ascii"), sealed[end:]
    except UnicodeDecodeError as wrong:
        raise NotOpened("not sealed") from wrong


def _place(table: str, column: str, row: str) -> bytes:
    """The associated data. JSON keeps the three apart whatever is in them."""
    return json.dumps([table, column, row]).encode()
