"""An agency's passengers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, Text, all_, and_, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from ...actors.domain.persons import match_key, match_words
from ...actors.domain.travel import Passenger, split_name
from ..engine.operations import Command, Query
from ..engine.statements import any_of, binds, statement
from ..schema.columns import Uuid
from ..tables import passengers
from .passports import KEEP, Passport

if TYPE_CHECKING:
    from ..engine.connection import Connection

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
    "passport_country",
)
"""The fields of a passenger beside the full name; those not given are kept."""
SEALED = ("passport_sealed", "passport_key_id", "passport_index")
"""The columns that keep a passport's number."""
OF_A_PASSPORT = ("passport_expiry", "passport_country")
"""Fields that belong to one passport: another number takes them along unless they are given with it."""

DIGITS = frozenset("0123456789")
FEWEST_DIGITS = 3

COLUMNS = passengers.c[("id", "full_name", *FIELDS, *SEALED)]
WRITTEN = binds("full_name", *FIELDS, "match_key")

ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.passengers:' || $1, 0))"
"""Text: it is about no table. An agency's: a change concerns two passengers, the one it is of and any namesake."""
ONE = statement(select(*COLUMNS).filter_by(**binds("tenant_id", "id")))
NAMESAKE = statement(
    select(*COLUMNS)
    .filter_by(**binds("tenant_id", "match_key"))
    .where(passengers.c.email_key == func.lower(bindparam("email", type_=Text)))
    .order_by(passengers.c.name_key != func.lower(bindparam("full_name", type_=Text)), passengers.c.id)
    .limit(1)
)
HOLDER = statement(
    select(passengers.c.id)
    .filter_by(**binds("tenant_id"))
    .where(
        any_of(passengers.c.passport_index, "digests"),
        passengers.c.id.is_distinct_from(bindparam("but", type_=Uuid)),
    )
    .limit(1)
)
INSERT = statement(
    insert(passengers)
    .values(**binds("id", "tenant_id", "created_at", *SEALED), **WRITTEN)
    .on_conflict_do_nothing(index_elements=["tenant_id", "email_key", "name_key"])
    .returning(passengers.c.id)
)
UPDATE = statement(update(passengers).filter_by(**binds("tenant_id", "id")).values(**WRITTEN))
MANY = statement(select(*COLUMNS).filter_by(**binds("tenant_id")).where(any_of(passengers.c.id, "ids")))


def _contains(column: Column[Any], name: str) -> ColumnElement[bool]:
    """Whether ``column`` contains a text, which is not the empty one."""
    return column.like("%" + func.nullif(bindparam(name, type_=Text), "") + "%")


_WORDS = bindparam("words", type_=ARRAY(Text))
_PATTERN = bindparam("pattern", type_=Text)
SEARCH = statement(
    select(*COLUMNS)
    .filter_by(**binds("tenant_id"))
    .where(
        or_(
            and_(func.cardinality(_WORDS) > 0, passengers.c.match_key.like(all_(_WORDS))),
            _contains(passengers.c.match_key, "match_key"),
            passengers.c.full_name.ilike(_PATTERN, escape="\\"),
            passengers.c.email.ilike(_PATTERN, escape="\\"),
            _contains(passengers.c.phone, "digits"),
        )
    )
    .order_by(passengers.c.name_key, passengers.c.id)
    .limit(bindparam("limit"))
)


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
class PassportTaken:
    """The passport number given is that of another passenger on file."""

    passenger_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert(Command[Saved | Taken | PassportTaken | None]):
    """Insert or update a passenger; None if the id is unknown.

    The same passenger has the same id or, without one, the same e-mail address and name.
    """

    new_id: str
    passenger_id: str | None
    full_name: str
    given: Mapping[str, Any]
    now: datetime
    passport: Passport | None = None

    async def run(self, db: Connection) -> Saved | Taken | PassportTaken | None:
        email = self.given.get("email")
        if self.passenger_id is None and email is None and self.passport is None:
            return await self._add(db)
        await db.execute(ONE_AT_A_TIME, self.tenant_id)
        if self.passenger_id is not None:
            return await self._change(db, self.passenger_id)
        known = None if email is None else await self._namesake(db, email)
        taken = await self._holder(db, None if known is None else known["id"])
        if taken is not None:
            return taken
        saved = await self._add(db) if known is None else None
        if saved is not None:
            return saved
        known = known or await self._namesake(db, email)  # an earlier release, which does not take the lock, was faster
        return await self._write(db, known)

    async def _holder(self, db: Connection, but: str | None) -> PassportTaken | None:
        """Whose the passport is, but for the passenger it is given for."""
        if self.passport is None:
            return None
        digests = list(self.passport.digests(self.tenant_id or ""))
        holder = await HOLDER.fetchval(db, tenant_id=self.tenant_id, digests=digests, but=but)
        return None if holder is None else PassportTaken(passenger_id=holder)

    async def _namesake(self, db: Connection, email: str | None) -> Any:
        """The passenger with this address and name in any spelling."""
        return await NAMESAKE.fetchrow(
            db, tenant_id=self.tenant_id, email=email, match_key=self._key, full_name=self.full_name
        )

    @property
    def _key(self) -> str:
        return match_key(self.full_name)

    async def _add(self, db: Connection) -> Saved | None:
        values = self._values({"id": self.new_id, "type": "adult"})
        new_id = await INSERT.fetchval(db, tenant_id=self.tenant_id, created_at=self.now, id=self.new_id, **values)
        return None if new_id is None else Saved(passenger_id=new_id, created=True)

    async def _change(self, db: Connection, passenger_id: str) -> Saved | Taken | PassportTaken | None:
        known = await ONE.fetchrow(db, tenant_id=self.tenant_id, id=passenger_id)
        if known is None:
            return None
        email = self.given.get("email") or known["email"]
        if email is not None:
            other = await self._namesake(db, email)
            if other is not None and other["id"] != passenger_id:
                return Taken(passenger_id=other["id"])
        return await self._holder(db, passenger_id) or await self._write(db, known)

    async def _write(self, db: Connection, known: Mapping[str, Any]) -> Saved:
        this = {"tenant_id": self.tenant_id, "id": known["id"]}
        values = self._values(known)
        sealed = {name: values.pop(name) for name in SEALED}
        await UPDATE.execute(db, **this, **values)
        if sealed["passport_sealed"] != known["passport_sealed"]:  # else it may have been resealed since it was read
            await KEEP.execute(db, **this, **sealed)
        return Saved(passenger_id=known["id"], created=False)

    def _values(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """What is written: as given, else as stored; first and last name follow a changed full name."""
        names = dict(zip(("given_name", "family_name"), split_name(self.full_name), strict=True))
        before = dict(known) if known.get("full_name") == self.full_name else {**known, **names}
        before |= self._passport(known)
        fields = {name: self.given.get(name, before.get(name)) for name in FIELDS}
        return {"full_name": self.full_name, "match_key": self._key, **fields, **{n: before.get(n) for n in SEALED}}

    def _passport(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """What a given number changes; nothing if it is the one on file, unless that cannot be opened any more."""
        if self.passport is None:
            return {}
        on_file = known.get("passport_index")
        is_same = on_file in self.passport.digests(self.tenant_id or "")
        if is_same and self.passport.opens(known["passport_sealed"], known["id"]):
            return {}
        forgotten = {} if is_same or on_file is None else dict.fromkeys(OF_A_PASSPORT)
        return {**forgotten, **self.passport.sealed(self.tenant_id or "", known["id"])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Query[tuple[Passenger, ...]]):
    """The passengers with these ids, in their order; unknown ones are left out."""

    ids: Sequence[str]

    async def run(self, db: Connection) -> tuple[Passenger, ...]:
        rows = await MANY.fetch(db, tenant_id=self.tenant_id, ids=list(self.ids))
        known = {row["id"]: _passenger(row) for row in rows}
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
        digits = "".join(sign for sign in self.text if sign in DIGITS)
        rows = await SEARCH.fetch(
            db,
            tenant_id=self.tenant_id,
            words=[f"%{word}%" for word in match_words(self.text)],
            match_key=match_key(self.text),
            pattern=f"%{escaped}%",
            digits=digits if len(digits) >= FEWEST_DIGITS else "",
            limit=self.limit,
        )
        return tuple(_passenger(row) for row in rows)


def _passenger(row: Mapping[str, Any]) -> Passenger:
    known = {name: row[name] for name in ("id", "full_name", *FIELDS, "passport_sealed")}
    index = row["passport_index"]
    known["passport_index"] = None if index is None else index.hex()
    return Passenger(**known | {"given_name": row["given_name"] or "", "family_name": row["family_name"] or ""})
