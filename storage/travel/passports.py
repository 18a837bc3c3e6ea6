"""Passport numbers at rest: sealed to their passenger, and found by a keyed digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr
from sqlalchemy import update

from ...actors.domain.travel import Passenger
from ..engine.sealing import NotOpened, Sealing, key_id
from ..engine.statements import binds, statement
from ..tables import passengers

LAST: Final = 4
"""Characters of a number that are shown to people and models without need of the whole."""

_COLUMN: Final = {"table": "passengers", "column": "passport_sealed"}

KEEP = statement(
    update(passengers)
    .filter_by(**binds("tenant_id", "id"))
    .values(**binds("passport_sealed", "passport_key_id", "passport_index"))
)


@dataclass(frozen=True, slots=True)
class Passport:
    """A number on its way into its row, and the keys to seal it with."""

    number: SecretStr
    sealing: Sealing = field(repr=False)

    def digests(self, tenant_id: str) -> tuple[bytes, ...]:
        """The digests it is found by within the agency."""
        return digests(self.sealing, self.number.get_secret_value(), tenant_id)

    def opens(self, sealed: bytes, passenger_id: str) -> bool:
        """Whether what is on file of the passenger can be opened."""
        try:
            number_of(self.sealing, sealed, passenger_id)
        except NotOpened:
            return False
        return True

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
