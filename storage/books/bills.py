"""Vendors' bills: received and voided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Text, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.documents import (
    Bill,
    Desk,
    InvalidDocument,
    bill_journal,
    check_dates,
    check_issued,
    check_total,
    check_voidable,
    day_of_void,
)
from ...actors.domain.ids import parse_uuid, uuid7
from ...actors.domain.money import Money
from .. import general_ledger
from ..engine.statements import binds, statement
from ..tables import bills
from . import counters
from .act import Act
from .documents import Voided, find_bookings, reverse_document

if TYPE_CHECKING:
    from ..engine.connection import Connection

_COLUMNS = bills.c[
    "id", "number", "party_name", "status", "issue_date", "due_date", "currency", "total", "amount_paid",
    "vendor_reference", "desk", "pay_on",
]  # fmt: skip
INSERT = statement(
    insert(bills)
    .values(
        **binds("id", "tenant_id", "number", "party_name", "vendor_reference", "issue_date", "due_date", "currency"),
        **binds("total", "desk", "booking_id", "notes", "session_id", "created_by", "idempotency_key", "created_at"),
        status="received",
        issued_at=bindparam("created_at"),
    )
    .on_conflict_do_nothing()
    .returning(bills.c.number)
)
LOCK = statement(select(*_COLUMNS).filter_by(**binds("tenant_id", "id")).with_for_update(key_share=True))
BY_KEY = statement(select(*_COLUMNS).filter_by(**binds("tenant_id", "idempotency_key")))
BY_REFERENCE = statement(
    select(bills.c.number)
    .filter_by(**binds("tenant_id"))
    .where(bills.c.reference_key == func.upper(bindparam("vendor_reference", type_=Text)))
)
_THIS = binds("tenant_id", "id")
VOID = statement(update(bills).filter_by(**_THIS).values(status="void", **binds("voided_on", "void_reason")))


class Received(NamedTuple):
    """A bill in the books and its journal."""

    bill: Bill
    journal_id: str


def bill_of(row: Any) -> Bill:
    """The bill of a row."""
    names = ("id", "number", "party_name", "status", "issue_date", "due_date", "vendor_reference", "desk", "pay_on")
    return Bill(
        total=Money.of(row["total"], row["currency"]),
        paid=Money.of(row["amount_paid"], row["currency"]),
        **{name: row[name] for name in names},
    )


async def lock(db: Connection, tenant_id: str, bill_id: str) -> Bill:
    """The bill, with its row locked; ``InvalidDocument`` ``not_found``."""
    known = parse_uuid(bill_id)
    row = None if known is None else await LOCK.fetchrow(db, tenant_id=tenant_id, id=known)
    if row is None:
        raise InvalidDocument("not_found", "There is no bill with this id.")
    return bill_of(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Act[Bill, Received]):
    """Enter a vendor's bill, under the next number of the agency's series."""

    vendor_name: str
    vendor_reference: str
    issue_date: date
    due_date: date
    amount: Money
    desk: Desk = "other"
    booking_id: str | None = None
    notes: str | None = None

    async def prepare(self, db: Connection) -> Bill:
        check_dates(self.issue_date, self.due_date, self.today)
        check_issued(self.issue_date, self.today)
        check_total(self.amount)
        if not self.amount.in_minor_units:
            raise InvalidDocument("invalid_amount", f"{self.amount.text} has more decimals than its currency.")
        if not await find_bookings(db, self.tenant_id, [self.booking_id]):
            raise InvalidDocument("booking_not_found", "There is no booking with this id.")
        await self._refuse_duplicate(db)
        return Bill(
            id="",
            number="",
            party_name=self.vendor_name,
            status="received",
            issue_date=self.issue_date,
            due_date=self.due_date,
            total=self.amount,
            paid=self.amount - self.amount,
            vendor_reference=self.vendor_reference,
            desk=self.desk,
        )

    async def carry_out(self, db: Connection, prepared: Bill) -> Received:
        new_id, total = uuid7(), prepared.total

        async def put(number: str) -> str:
            stored: str | None = await INSERT.fetchval(
                db,
                id=new_id,
                tenant_id=self.tenant_id,
                number=number,
                party_name=self.vendor_name,
                vendor_reference=self.vendor_reference,
                issue_date=self.issue_date,
                due_date=self.due_date,
                currency=total.currency,
                total=total.amount,
                desk=self.desk,
                booking_id=self.booking_id and parse_uuid(self.booking_id),
                notes=self.notes,
                session_id=self.session_id,
                created_by=self.by,
                idempotency_key=self.row_key,
                created_at=self.now,
            )
            if stored is None:
                await self._refuse_duplicate(db)
            return stored or ""

        await counters.number(
            db, self.tenant_id, "bill", day=self.issue_date, now=self.now, insert=put, reason="invalid_date"
        )
        bill = bill_of(await BY_KEY.fetchrow(db, tenant_id=self.tenant_id, idempotency_key=self.row_key))
        entry = bill_journal(bill, await self.accounts(db))
        journal = await general_ledger.post(db, self.tenant_id, entry, key=receive_key(bill), by=self.by, now=self.now)
        return Received(bill, journal)

    async def carried_out(self, db: Connection) -> Received | None:
        row = await BY_KEY.fetchrow(db, tenant_id=self.tenant_id, idempotency_key=self.row_key)
        if row is None:
            return None
        bill = bill_of(row)
        journal = await general_ledger.find_by_key(db, self.tenant_id, receive_key(bill))
        return None if journal is None else Received(bill, journal)

    @property
    def row_key(self) -> str:
        """The key of the bill's row."""
        return f"call:{self.key}"

    async def _refuse_duplicate(self, db: Connection) -> None:
        number = await BY_REFERENCE.fetchval(db, tenant_id=self.tenant_id, vendor_reference=self.vendor_reference)
        if number is not None:
            raise InvalidDocument("duplicate_reference", f"{number} has this vendor reference already.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Void(Act[Bill, Voided]):
    """Void a bill on which nothing has been paid; what it posted is reversed."""

    bill_id: str
    reason: str

    async def prepare(self, db: Connection) -> Bill:
        bill = await lock(db, self.tenant_id, self.bill_id)
        check_voidable(bill)
        return bill

    async def carry_out(self, db: Connection, prepared: Bill) -> Voided:
        journal_id = None
        if prepared.status != "draft":
            journal_id = await reverse_document(
                self, db, receive_key(prepared), f"bill:{prepared.id}:void", f"Void bill {prepared.number}"
            )
        day = day_of_void(prepared, self.today)
        await VOID.execute(db, tenant_id=self.tenant_id, id=prepared.id, voided_on=day, void_reason=self.reason)
        return Voided(prepared.id, journal_id)


def receive_key(bill: Bill) -> str:
    """The key of the journal of a bill's receipt."""
    return f"bill:{bill.id}:receive"
