"""An agency's visa files, one open file per passenger, country and category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.visas import CHECKLIST, Item, VisaStatus, can_move, collect
from ..conversation.sessions import ID_IF_IT_EXISTS
from ..engine.operations import Command
from ..engine.statements import binds, statement
from ..schema.travel import OPEN_VISA_FILE
from ..tables import passengers, visa_files

if TYPE_CHECKING:
    from ..engine.connection import Connection

KNOWN = statement(select(passengers.c.id).filter_by(**binds("tenant_id", "id")))
OPEN = statement(
    insert(visa_files)
    .values(
        **binds("id", "tenant_id", "passenger_id", "destination_country", "visa_category", "travel_date"),
        **binds("checklist", "created_at"),
        status="draft",
        session_id=ID_IF_IT_EXISTS,
    )
    .on_conflict_do_nothing(
        index_elements=["tenant_id", "passenger_id", "destination_country", "visa_category"],
        index_where=text(OPEN_VISA_FILE),
    )
    .returning(visa_files.c.id)
)
LOCK = statement(select(*visa_files.c["status", "checklist"]).filter_by(**binds("tenant_id", "id")).with_for_update())
_CHANGED = ("application_ref", "appointment_at", "outcome_date", "notes")
_THIS = update(visa_files).filter_by(**binds("tenant_id", "id"))
UPDATE = statement(_THIS.values(**binds("status", "checklist")))
SET = {name: statement(_THIS.values(**binds(name))) for name in _CHANGED}
"""One statement for each field: those not given stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisaFile:
    """A file as it stands."""

    id: str
    status: VisaStatus
    checklist: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a file was neither opened nor changed; ``detail`` is the status or item in the way."""

    reason: Literal["passenger_not_found", "already_open", "not_found", "invalid_status_transition", "item_unknown"]
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Command[VisaFile | Refused]):
    """Open a file with the usual checklist."""

    id: str
    session_id: str | None
    passenger_id: str
    destination_country: str
    visa_category: str
    travel_date: date | None
    now: datetime

    async def run(self, db: Connection) -> VisaFile | Refused:
        if await KNOWN.fetchval(db, tenant_id=self.tenant_id, id=self.passenger_id) is None:
            return Refused("passenger_not_found")
        opened = await OPEN.fetchval(
            db,
            id=self.id,
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            passenger_id=self.passenger_id,
            destination_country=self.destination_country,
            visa_category=self.visa_category,
            travel_date=self.travel_date,
            checklist=_dumped(CHECKLIST),
            created_at=self.now,
        )
        return Refused("already_open") if opened is None else VisaFile(id=self.id, status="draft", checklist=CHECKLIST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Command[VisaFile | Refused]):
    """Move a file forward, note collected documents, and set what is ``given`` of its other fields."""

    id: str
    status: VisaStatus | None
    collected: Sequence[str]
    given: Mapping[str, Any]

    async def run(self, db: Connection) -> VisaFile | Refused:
        this = {"tenant_id": self.tenant_id, "id": self.id}
        row = await LOCK.fetchrow(db, **this)
        if row is None:
            return Refused("not_found")
        before: VisaStatus = row["status"]
        after = before if self.status is None else self.status
        if self.status is not None and not can_move(before, after):
            return Refused("invalid_status_transition", before)
        try:
            checklist = collect([Item.model_validate(each) for each in row["checklist"]], self.collected)
        except KeyError as unknown:
            return Refused("item_unknown", str(unknown.args[0]))
        await UPDATE.execute(db, **this, status=after, checklist=_dumped(checklist))
        for name, value in self.given.items():
            await SET[name].execute(db, **this, **{name: value})
        return VisaFile(id=self.id, status=after, checklist=checklist)


def _dumped(checklist: Sequence[Item]) -> list[dict[str, Any]]:
    return [each.model_dump() for each in checklist]
