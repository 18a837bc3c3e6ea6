"""Checks the sealing keys against the database: each key must open the canary it sealed earlier.

A wrong key would look like altered data, one value at a time. Checked once before start-up, it is reported as a
configuration error, and no data is given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, not_, select
from sqlalchemy.dialects.postgresql import insert

from ..tables import sealing_canaries
from . import digest_keys, sealed_columns
from .checks import WRITABLE
from .resealing import Reseal
from .sealing import NotOpened, Sealing
from .statements import any_of, binds, statement

if TYPE_CHECKING:
    from .connection import Connection

PLAIN: Final = b"voyagent"
VARIABLE: Final = "VOYAGENT_KMS_KEY"

SAMPLES: Final = 5
"""Values of one column to try where a key has no canary yet: a single one may really be altered."""

READ: Final = statement(select(*sealing_canaries.c["key_id", "sealed"]).order_by(sealing_canaries.c.key_id))
KEEP: Final = statement(
    insert(sealing_canaries).values(**binds("key_id", "sealed"), created_at=func.now()).on_conflict_do_nothing()
)
FORGET: Final = statement(delete(sealing_canaries).where(not_(any_of(sealing_canaries.c.key_id, "key_ids"))))


async def faults(db: Connection, keys: Mapping[str, bytes]) -> list[str]:
    """Faults of ``keys`` for this database, in sentences; nothing is written. ``db`` is the system role's."""
    canaries = {row["key_id"]: row["sealed"] for row in await READ.fetch(db)}
    ring = Sealing(keys)
    wrong = [kid for kid in keys if not await _opens(db, ring, kid, canaries.get(kid))]
    faults_found = [_WRONG.format(VARIABLE, kid) for kid in wrong]
    if canaries.keys() <= keys.keys() and canaries:
        return faults_found
    used = await sealed_columns.usage(db)
    return faults_found + [
        _MISSING.format(VARIABLE, kid, counted(used[kid])) for kid in sorted(used.keys() - keys.keys())
    ]


def counted(places: Mapping[str, int]) -> str:
    """Columns and the number of values in each, as operators are told."""
    return ", ".join(f"{place} ({number})" for place, number in places.items())


async def key_ids(db: Connection) -> frozenset[str]:
    """The keys that services have started with: a running one can open what is sealed with them."""
    return frozenset(row["key_id"] for row in await READ.fetch(db))


_WRONG: Final = (
    "{0}: key {1!r} is not the one this database was sealed with: put that one back, or restore the database that "
    "belongs to this one."
)
_MISSING: Final = (
    "{0}: key {1!r} is missing, which has sealed what stands in {2}: put it back behind the key that seals, and take "
    "it away when python run.py keys list says that nothing needs it."
)


async def keep(db: Connection, keys: Mapping[str, bytes]) -> None:
    """Store canary and digest key of each key, and delete the canaries of removed keys, when there are no ``faults``.

    Digest keys of earlier rings are sealed again at once, since they are few.

    Skipped for a read-only database; the next start tries again.
    """
    if not await db.fetchval(WRITABLE):
        return
    ring = Sealing(keys)
    for kid in keys:
        await KEEP.execute(db, key_id=kid, sealed=Sealing({kid: keys[kid]}).seal(PLAIN, **_place(kid)))
    if ring.ids:
        async with db.transaction():
            await digest_keys.keep(db, keys)
            await Reseal(column=sealed_columns.DIGEST_KEYS, sealing=ring).run(db)
        await FORGET.execute(db, key_ids=list(ring.ids))


async def _opens(db: Connection, ring: Sealing, kid: str, canary: bytes | None) -> bool:
    if canary is not None:
        return _first_opened(ring, [(canary, _place(kid))])
    for each in sealed_columns.COLUMNS:
        rows = await sealed_columns.SAMPLE[each.name].fetch(db, key_id=kid, most=SAMPLES)
        if rows and not _first_opened(ring, [(row["sealed"], each.place(row)) for row in rows]):
            return False
    return True


def _first_opened(ring: Sealing, sealed: Iterable[tuple[bytes, Mapping[str, str]]]) -> bool:
    """Whether one of them opens."""
    for value, place in sealed:
        try:
            ring.open(value, **place)
        except NotOpened:
            continue
        return True
    return False


def _place(kid: str) -> dict[str, str]:
    return {"table": "sealing_canaries", "column": "sealed", "row": kid}
