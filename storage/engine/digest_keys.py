"""Keys of digests that nobody here can make again, such as those of recovery codes.

A digest is made of its value, so it cannot be brought under another key as a sealed value can. Its key is therefore a
key of its own, derived from a sealing key when that joins the ring and stored sealed: at a rotation the stored key is
sealed again and the digests stay (envelope encryption).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from ..tables import digest_keys, recovery_codes
from .operations import Query
from .sealing import NotOpened, Sealing
from .statements import any_of, binds, statement

if TYPE_CHECKING:
    from .connection import Connection

PURPOSE: Final = b"voyagent recovery codes"
"""Of the derivation; earlier releases derive the same key from the ring."""

READ: Final = statement(select(*digest_keys.c["id", "sealed"]).order_by(digest_keys.c.id))
_KEEP = insert(digest_keys).values(**binds("id", "derived_from", "sealed", "key_id"), created_at=func.now())
KEEP: Final = statement(
    _KEEP.on_conflict_do_update(
        index_elements=["id"], set_={name: _KEEP.excluded[name] for name in ("derived_from", "sealed", "key_id")}
    )
)
NEEDED: Final = exists().where(
    recovery_codes.c.key_id == digest_keys.c.derived_from, recovery_codes.c.used_at.is_(None)
)
"""A code that can be used was made with a digest key of this origin."""
FORGET: Final = statement(delete(digest_keys).where(~NEEDED, ~any_of(digest_keys.c.id, "ids")))


def derived(key: bytes) -> bytes:
    """The digest key of a sealing key, 32 bytes."""
    return HKDF(SHA256(), 32, salt=None, info=PURPOSE).derive(key)


def fingerprint(digest_key: bytes) -> str:
    """What tells digest keys apart, and nothing of them: the id of a sealing key may be given to another one later."""
    return hashlib.sha256(digest_key).hexdigest()


def opened(sealing: Sealing, stored: Mapping[str, bytes]) -> tuple[list[bytes], list[str]]:
    """The ``stored`` digest keys by their ids, opened; and the ids of those that cannot be."""
    keys, not_opened = [], []
    for row, sealed in stored.items():
        try:
            keys.append(sealing.open(sealed, **_place(row)))
        except NotOpened:
            not_opened.append(row)
    return keys, not_opened


async def keep(db: Connection, ring: Mapping[str, bytes]) -> None:
    """Store the digest key of each key of the ring, sealed with the first; delete others that no code needs."""
    sealing = Sealing(ring)
    stored = {fingerprint(derived(key)): (kid, derived(key)) for kid, key in ring.items()}
    for row, (kid, digest_key) in stored.items():
        sealed = sealing.seal(digest_key, **_place(row))
        await KEEP.execute(db, id=row, derived_from=kid, sealed=sealed, key_id=sealing.ids[0])
    await FORGET.execute(db, ids=list(stored))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDigestKeys(Query[Mapping[str, bytes]]):
    """The stored digest keys by their ids, sealed."""

    tenant_id: None = None

    async def run(self, db: Connection) -> Mapping[str, bytes]:
        return {row["id"]: row["sealed"] for row in await READ.fetch(db)}


def _place(row: str) -> dict[str, str]:
    return {"table": "digest_keys", "column": "sealed", "row": row}
