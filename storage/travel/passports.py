"""Passport numbers at rest: sealed to their passenger, found by a keyed digest, resealed when the key changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr
from sqlalchemy import bindparam, select, update

from ...actors.domain.travel import Passenger
from ..engine.operations import Command, Query
from ..engine.sealing import NotOpened, Sealing, key_id
from ..engine.statements import binds, statement
from ..schema.columns import Uuid
from ..tables import passengers

if TYPE_CHECKING:
    from ..engine.connection import Connection

AT_ONCE: Final = 200
"""Numbers resealed in one transaction: some 2 ms of work."""
LAST: Final = 4
"""Characters of a number that are shown to people and models without need of the whole."""

_COLUMN: Final = {"table": "passengers", "column": "passport_sealed"}
_C = passengers.c
_OTHER_KEY = _C.passport_key_id != bindparam("key_id")

AGENCIES = statement(select(_C.tenant_id).distinct().where(_OTHER_KEY))
OUTDATED = statement(
    select(_C.id, _C.passport_sealed)
    .filter_by(**binds("tenant_id"))
    .where(_OTHER_KEY, _C.id > bindparam("after", type_=Uuid))
    .order_by(_C.id)
    .limit(AT_ONCE)
    .with_for_update(key_share=True)
)
KEEP = statement(
    update(passengers)
    .filter_by(**binds("tenant_id", "id"))
    .values(**binds("passport_sealed", "passport_key_id", "passport_index"))
)
FIRST: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Passport:
    """A number on its way into its row, and the keys to seal it with."""

    number: SecretStr
    sealing: Sealing = field(repr=False)

    def digests(self, tenant_id: str) -> tuple[bytes, ...]:
        """The digests it is found by within the agency."""
        return digests(self.sealing, self.number.get_secret_value(), tenant_id)

    def sealed(self, tenant_id: str, passenger_id: str) -> dict[str, bytes | str]:
        """The columns that keep it."""
        return _columns(self.sealing, self.number.get_secret_value(), tenant_id, passenger_id)


def digests(sealing: Sealing, number: str, tenant_id: str) -> tuple[bytes, ...]:
    """The digests of a number within an agency, the sealing key's first."""
    return sealing.digests(number.encode(), **_COLUMN, scope=tenant_id)


def opened(sealing: Sealing, person: Passenger) -> str | None:
    """A passenger's number; None if there is none on file. Raises ``NotOpened``."""
    return None if person.passport_sealed is None else number_of(sealing, person.passport_sealed, person.id)


def number_of(sealing: Sealing, sealed: bytes, passenger_id: str) -> str:
    """The number sealed to that passenger. Raises ``NotOpened``."""
    return sealing.open(sealed, **_COLUMN, row=passenger_id).decode()


def _columns(sealing: Sealing, number: str, tenant_id: str, passenger_id: str) -> dict[str, bytes | str]:
    sealed = sealing.seal(number.encode(), **_COLUMN, row=passenger_id)
    return {
        "passport_sealed": sealed,
        "passport_key_id": key_id(sealed),
        "passport_index": digests(sealing, number, tenant_id)[0],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class AgenciesToReseal(Query[list[str]]):
    """Agencies with numbers under another key than the one that seals."""

    tenant_id: None = None
    key_id: str

    async def run(self, db: Connection) -> list[str]:
        return [row["tenant_id"] for row in await AGENCIES.fetch(db, key_id=self.key_id)]


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many were resealed and how many could not be opened; ``last`` is where to go on, None at the end."""

    done: int
    not_opened: int
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reseal(Command[Resealed]):
    """Reseal an agency's numbers behind ``after`` with the key that seals; what cannot be opened stays as it is."""

    sealing: Sealing = field(repr=False)
    after: str = FIRST

    async def run(self, db: Connection) -> Resealed:
        this = {"tenant_id": self.tenant_id}
        rows = await OUTDATED.fetch(db, **this, key_id=self.sealing.ids[0], after=self.after)
        done = 0
        for row in rows:
            try:
                number = number_of(self.sealing, row["passport_sealed"], row["id"])
            except NotOpened:
                continue
            columns = _columns(self.sealing, number, self.tenant_id or "", row["id"])
            await KEEP.execute(db, **this, id=row["id"], **columns)
            done += 1
        return Resealed(done, len(rows) - done, rows[-1]["id"] if len(rows) == AT_ONCE else None)
