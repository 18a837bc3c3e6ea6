"""An agency's passengers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...actors.domain.persons import match_key, match_words
from ...actors.domain.travel import Passenger, split_name
from ..engine.operations import Command, Query

if TYPE_CHECKING:
    from ..engine.pool import Connection

FIELDS = (
    "given_name",
    "family_name",
    "title",
    "type",
    "gender",
    "email",
    "phone",
    "date_of_birth",
    "nationality",
    "passport_expiry",
)
"""The fields of a passenger beside the full name; those not given are kept."""

DIGITS = frozenset("0123456789")
FEWEST_DIGITS = 3

COLUMNS = "id, full_name, " + ", ".join(FIELDS)

LOCK = f"SELECT {COLUMNS} FROM passengers WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE"  # noqa: S608  # our own columns
ALONE = "SELECT pg_advisory_xact_lock(hashtextextended($1 || lower($2) || ' ' || $3, 5))"
NAMESAKE = f"""
SELECT {COLUMNS} FROM passengers
 WHERE tenant_id = $1 AND email_key = lower($2) AND match_key = $3 ORDER BY name_key <> lower($4), id LIMIT 1
   FOR NO KEY UPDATE
"""  # noqa: S608  # our own columns
INSERT = f"""
INSERT INTO passengers (tenant_id, created_at, match_key, {COLUMNS})
VALUES ($1, $2, $15, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (tenant_id, email_key, name_key) DO NOTHING RETURNING id
"""  # noqa: S608  # our own columns
UPDATE = """
UPDATE passengers SET (full_name, given_name, family_name, title, type, gender, email, phone, date_of_birth,
                       nationality, passport_expiry, match_key) = ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
 WHERE tenant_id = $1 AND id = $2
"""
MANY = f"SELECT {COLUMNS} FROM passengers WHERE tenant_id = $1 AND id = ANY($2::uuid[])"  # noqa: S608  # our own columns
SEARCH = rf"""
SELECT {COLUMNS} FROM passengers
 WHERE tenant_id = $1
   AND (cardinality($2::text[]) > 0 AND match_key LIKE ALL($2) OR match_key LIKE '%' || nullif($3, '') || '%'
        OR full_name ILIKE $4 ESCAPE '\' OR email ILIKE $4 ESCAPE '\' OR phone LIKE '%' || nullif($5, '') || '%')
 ORDER BY name_key, id LIMIT $6
"""  # noqa: S608  # our own columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A stored passenger; ``created`` if they were not on file before."""

    passenger_id: str
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The name and e-mail address given are those of another passenger on file."""

    passenger_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert(Command[Saved | Taken | None]):
    """Insert or update a passenger; None if the id is unknown.

    The same passenger has the same id or, without one, the same e-mail address and name.
    """

    new_id: str
    passenger_id: str | None
    full_name: str
    given: Mapping[str, Any]
    now: datetime

    async def run(self, db: Connection) -> Saved | Taken | None:
        email = self.given.get("email")
        if self.passenger_id is not None:
            return await self._change(db, self.passenger_id)
        if email is None:
            return await self._add(db)
        known = await self._namesake(db, email)
        saved = await self._add(db) if known is None else None
        if saved is not None:
            return saved
        known = known or await self._namesake(db, email)  # an earlier release, which does not take the lock, was faster
        return await self._write(db, known)

    async def _namesake(self, db: Connection, email: str) -> Any:
        """The passenger with this address and name in any spelling, under a lock against concurrent inserts."""
        await db.execute(ALONE, self.tenant_id, email, self._key)
        return await db.fetchrow(NAMESAKE, self.tenant_id, email, self._key, self.full_name)

    @property
    def _key(self) -> str:
        return match_key(self.full_name)

    async def _add(self, db: Connection) -> Saved | None:
        values = self._values({"type": "adult"})
        new_id = await db.fetchval(INSERT, self.tenant_id, self.now, self.new_id, *values, self._key)
        return None if new_id is None else Saved(passenger_id=new_id, created=True)

    async def _change(self, db: Connection, passenger_id: str) -> Saved | Taken | None:
        known = await db.fetchrow(LOCK, self.tenant_id, passenger_id)
        if known is None:
            return None
        email = self.given.get("email") or known["email"]
        if email is not None:
            other = await self._namesake(db, email)
            if other is not None and other["id"] != passenger_id:
                return Taken(passenger_id=other["id"])
        return await self._write(db, known)

    async def _write(self, db: Connection, known: Mapping[str, Any]) -> Saved:
        await db.execute(UPDATE, self.tenant_id, known["id"], *self._values(known), self._key)
        return Saved(passenger_id=known["id"], created=False)

    def _values(self, known: Mapping[str, Any]) -> list[Any]:
        """Full name and fields: as given, else as stored; first and last name follow a changed full name."""
        names = dict(zip(("given_name", "family_name"), split_name(self.full_name), strict=True))
        before = dict(known) if known.get("full_name") == self.full_name else {**known, **names}
        return [self.full_name, *(self.given.get(name, before.get(name)) for name in FIELDS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Query[tuple[Passenger, ...]]):
    """The passengers with these ids, in their order; unknown ones are left out."""

    ids: Sequence[str]

    async def run(self, db: Connection) -> tuple[Passenger, ...]:
        known = {row["id"]: _passenger(row) for row in await db.fetch(MANY, self.tenant_id, list(self.ids))}
        return tuple(known[each] for each in self.ids if each in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(Query[tuple[Passenger, ...]]):
    """Passengers whose name, e-mail address or number contains ``text``, by name.

    Each word of ``text`` has to occur in the name, in any spelling; of a number its digits.
    """

    text: str
    limit: int

    async def run(self, db: Connection) -> tuple[Passenger, ...]:
        escaped = self.text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        words = [f"%{word}%" for word in match_words(self.text)]
        digits = "".join(sign for sign in self.text if sign in DIGITS)
        asked = (words, match_key(self.text), f"%{escaped}%", digits if len(digits) >= FEWEST_DIGITS else "")
        return tuple(_passenger(row) for row in await db.fetch(SEARCH, self.tenant_id, *asked, self.limit))


def _passenger(row: Mapping[str, Any]) -> Passenger:
    known = {name: row[name] for name in ("id", "full_name", *FIELDS)}
    return Passenger(**known | {"given_name": row["given_name"] or "", "family_name": row["family_name"] or ""})
