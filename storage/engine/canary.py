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
from .checks import WRITABLE
from .sealing import NotOpened, Sealing
from .statements import any_of, binds, statement

if TYPE_CHECKING:
    from .connection import Connection

PLAIN: Final = b"voyagent"
VARIABLE: Final = "VOYAGENT_KMS_KEY"

SAMPLES: Final = 5
"""Values of one column to try where a key has no canary yet: a single one may really be altered."""

_NAME: Final = "encode(substring({0} from 2 for get_byte({0}, 0)), 'escape')"
"""The key id in front of a sealed value."""
_NAMED: Final = f"SELECT DISTINCT {_NAME} FROM {{1}} WHERE length({{0}}) > 1"  # noqa: S608 -- ours

IN_USE: Final = (
    ("users.totp_sealed", _NAMED.format("totp_sealed", "users")),
    ("recovery_codes", "SELECT DISTINCT key_id FROM recovery_codes WHERE used_at IS NULL"),
    ("outbox.payload_sealed", "SELECT DISTINCT key_id FROM outbox WHERE payload_sealed IS NOT NULL"),
    ("passengers.passport_sealed", "SELECT DISTINCT passport_key_id FROM passengers WHERE passport_sealed IS NOT NULL"),
    ("tool_calls.input_sealed", _NAMED.format("input_sealed", "tool_calls")),
    ("tenant_credentials.sealed", "SELECT DISTINCT key_id FROM tenant_credentials"),
)
"""Columns that hold sealed values for longer than a day, and the keys in use there. SQL text: it takes keys apart."""

OPENED: Final = (
    ("users", "totp_sealed", f"length(totp_sealed) > 1 AND {_NAME.format('totp_sealed')} = $1"),
    ("outbox", "payload_sealed", "payload_sealed IS NOT NULL AND key_id = $1"),
)
"""Columns that are sealed to the id of their row."""

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
    used: dict[str, list[str]] = {}
    for place, sql in IN_USE:
        for (kid,) in await db.fetch(sql):
            if kid is not None and kid not in keys:
                used.setdefault(kid, []).append(place)
    return faults_found + [_MISSING.format(VARIABLE, kid, ", ".join(places)) for kid, places in sorted(used.items())]


_WRONG: Final = (
    "{0}: key {1!r} is not the one this database was sealed with: put that one back, or restore the database that "
    "belongs to this one."
)
_MISSING: Final = "{0}: key {1!r} is missing, which has sealed what stands in {2}: add it behind the key that seals."


async def keep(db: Connection, keys: Mapping[str, bytes]) -> None:
    """Store a canary for each key and delete those of removed keys. Called when there are no ``faults``.

    Skipped for a read-only database; the next start tries again.
    """
    if not await db.fetchval(WRITABLE):
        return
    ring = Sealing(keys)
    for kid in keys:
        await KEEP.execute(db, key_id=kid, sealed=Sealing({kid: keys[kid]}).seal(PLAIN, **_place(kid)))
    if ring.ids:
        await FORGET.execute(db, key_ids=list(ring.ids))


async def _opens(db: Connection, ring: Sealing, kid: str, canary: bytes | None) -> bool:
    if canary is not None:
        return _first_opened(ring, [(canary, _place(kid))])
    for table, column, condition in OPENED:
        sql = f"SELECT id, {column} FROM {table} WHERE {condition} LIMIT {SAMPLES}"  # noqa: S608 -- ours
        rows = await db.fetch(sql, kid)
        places = [(row[column], {"table": table, "column": column, "row": row["id"]}) for row in rows]
        if rows and not _first_opened(ring, places):
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
