"""Invoices: drafted, issued, voided and listed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Text, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.documents import (
    InvalidDocument,
    Invoice,
    InvoiceLine,
    TaxLine,
    check_amounts,
    check_dates,
    check_issued,
    check_taxes,
    check_total,
    check_voidable,
    day_of_void,
    discount_of,
    issue_journal,
    total_of,
)
from ...actors.domain.ids import parse_uuid, uuid7
from ...actors.domain.money import Money
from ...actors.domain.tax_rates import RequestedLine, UnlistedRate
from .. import general_ledger
from ..engine.statements import binds, statement
from ..tables import invoice_lines, invoices, passengers
from . import counters, tax_rates
from .act import Act
from .documents import Voided, find_bookings, reverse_document

if TYPE_CHECKING:
    from ..engine.connection import Connection

DISCOUNT = (
    select(func.coalesce(func.sum(invoice_lines.c.discount), 0))
    .where(invoice_lines.c.tenant_id == invoices.c.tenant_id, invoice_lines.c.invoice_id == invoices.c.id)
    .scalar_subquery()
    .label("discount")
)
"""Of an invoice's row: the sum of its lines' discounts."""
_COLUMNS = (
    *invoices.c["id", "number", "party_name", "status", "issue_date", "due_date", "currency", "total", "amount_paid"],
    DISCOUNT,
)
INSERT = statement(
    insert(invoices)
    .values(
        **binds("id", "tenant_id", "number", "series", "party_name", "party_reference", "billing_address"),
        **binds("issue_date", "due_date", "currency", "total", "notes", "session_id", "created_by"),
        **binds("idempotency_key", "created_at"),
    )
    .on_conflict_do_nothing()
    .returning(invoices.c.number)
)
INSERT_LINE = statement(
    insert(invoice_lines).values(
        **binds("tenant_id", "invoice_id", "line_no", "description", "quantity", "unit_price", "subtotal", "discount"),
        **binds("discount_reason", "taxes", "total", "desk", "booking_id"),
    )
)
LOCK = statement(select(*_COLUMNS).filter_by(**binds("tenant_id", "id")).with_for_update(key_share=True))
BY_KEY = statement(select(*_COLUMNS).filter_by(**binds("tenant_id", "idempotency_key")))
TAKEN = statement(
    select(invoices.c.number)
    .filter_by(**binds("tenant_id"))
    .where(invoices.c.number_key == func.upper(bindparam("number", type_=Text)))
)
_LINE = ("description", "quantity", "unit_price", "discount", "discount_reason", "taxes", "desk", "booking_id")
LINES = statement(
    select(*invoice_lines.c[_LINE]).filter_by(**binds("tenant_id", "invoice_id")).order_by(invoice_lines.c.line_no)
)
_THIS = binds("tenant_id", "id")
ISSUE = statement(update(invoices).filter_by(**_THIS).values(status="issued", issued_at=bindparam("now")))
VOID = statement(update(invoices).filter_by(**_THIS).values(status="void", **binds("voided_on", "void_reason")))
PASSENGER = statement(select(passengers.c.full_name).filter_by(**binds("tenant_id", "id")))


class Issued(NamedTuple):
    """An issued invoice and its journal."""

    invoice: Invoice
    journal_id: str


class DraftedInvoice(NamedTuple):
    """What will be drafted: the invoice (its number is empty if it is to be the next), and its lines.

    ``unlisted`` are rates of their taxes that the agency does not have.
    """

    invoice: Invoice
    lines: tuple[InvoiceLine, ...]
    unlisted: tuple[UnlistedRate, ...] = ()


def invoice_of(row: Any) -> Invoice:
    """The invoice of a row, which has its ``DISCOUNT``, too."""
    return Invoice(
        discount=Money.of(row["discount"], row["currency"]),
        total=Money.of(row["total"], row["currency"]),
        paid=Money.of(row["amount_paid"], row["currency"]),
        **{name: row[name] for name in ("id", "number", "party_name", "status", "issue_date", "due_date")},
    )


async def lock(db: Connection, tenant_id: str, invoice_id: str) -> Invoice:
    """The invoice, with its row locked; ``InvalidDocument`` ``not_found``."""
    known = parse_uuid(invoice_id)
    row = None if known is None else await LOCK.fetchrow(db, tenant_id=tenant_id, id=known)
    if row is None:
        raise InvalidDocument("not_found", "There is no invoice with this id.")
    return invoice_of(row)


async def _lines(db: Connection, tenant_id: str, invoice: Invoice) -> tuple[InvoiceLine, ...]:
    return tuple(
        InvoiceLine(
            description=row["description"],
            quantity=row["quantity"],
            unit_price=Money.of(row["unit_price"], invoice.total.currency),
            taxes=tuple(_tax(tax) for tax in row["taxes"]),
            desk=row["desk"],
            booking_id=row["booking_id"],
            discount=row["discount"],
            discount_reason=row["discount_reason"],
        )
        for row in await LINES.fetch(db, tenant_id=tenant_id, invoice_id=invoice.id)
    )


def _tax(stored: Mapping[str, Any]) -> TaxLine:
    amounts = {name: Money.of(stored[name], "XXX").amount for name in ("taxable_amount", "tax_amount")}
    return TaxLine(**{**stored, **amounts})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Make(Act[DraftedInvoice, Any]):
    """A new invoice. ``number`` is None for the next of the agency's series; taxes follow from its rates of the day."""

    number: str | None
    party_name: str
    issue_date: date
    due_date: date
    lines: tuple[InvoiceLine | RequestedLine, ...]
    party_reference: str | None = None
    series: str | None = None
    billing_address: Mapping[str, Any] | None = None
    notes: str | None = None

    @property
    def row_key(self) -> str:
        """The key of the invoice's row."""
        return f"call:{self.key}"

    async def prepare(self, db: Connection) -> DraftedInvoice:
        lines, unlisted = await tax_rates.apply(db, self.tenant_id, self.lines, self.issue_date, self.now)
        self.check(lines)
        if not await find_bookings(db, self.tenant_id, [line.booking_id for line in lines]):
            raise InvalidDocument(self.no_booking, "A line names a booking that does not exist.")
        if self.number is not None:
            taken = await TAKEN.fetchval(db, tenant_id=self.tenant_id, number=self.number)
            if taken is not None:
                raise self._taken(taken)
        total = total_of(lines)
        return DraftedInvoice(
            Invoice(
                id="",
                number=self.number or "",
                party_name=await self.party(db),
                status="draft",
                issue_date=self.issue_date,
                due_date=self.due_date,
                total=total,
                paid=Money.of(0, total.currency),
                discount=discount_of(lines),
            ),
            lines,
            unlisted,
        )

    @property
    @abstractmethod
    def no_booking(self) -> str:
        """The reason for a booking that does not exist."""

    @abstractmethod
    def check(self, lines: Sequence[InvoiceLine]) -> None:
        """``InvalidDocument`` if the invoice cannot be made."""

    async def party(self, db: Connection) -> str:
        """The customer's name."""
        del db
        return self.party_name

    async def insert(self, db: Connection, prepared: DraftedInvoice) -> Invoice:
        """Store the invoice as a draft, with its lines."""
        draft, new_id = prepared.invoice, uuid7()

        async def put(number: str) -> str:
            stored: str | None = await INSERT.fetchval(
                db,
                id=new_id,
                tenant_id=self.tenant_id,
                number=number,
                series=self.series,
                party_name=draft.party_name,
                party_reference=self.party_reference,
                billing_address=self.billing_address,
                issue_date=self.issue_date,
                due_date=self.due_date,
                currency=draft.total.currency,
                total=draft.total.amount,
                notes=self.notes,
                session_id=self.session_id,
                created_by=self.by,
                idempotency_key=self.row_key,
                created_at=self.now,
            )
            return stored or ""

        if self.number is None:
            await counters.number(
                db,
                self.tenant_id,
                "invoice",
                day=self.issue_date,
                now=self.now,
                insert=put,
                reason="invoice_number_conflict",
            )
        elif not await put(self.number):
            raise self._taken(self.number)
        for place, line in enumerate(prepared.lines, start=1):
            await INSERT_LINE.execute(
                db,
                tenant_id=self.tenant_id,
                invoice_id=new_id,
                line_no=place,
                description=line.description,
                quantity=line.quantity,
                unit_price=line.unit_price.amount,
                subtotal=line.subtotal.amount,
                discount=line.discount,
                discount_reason=line.discount_reason,
                taxes=[tax.to_json() for tax in line.taxes],
                total=line.total.amount,
                desk=line.desk,
                booking_id=line.booking_id,
            )
        return invoice_of(await BY_KEY.fetchrow(db, tenant_id=self.tenant_id, idempotency_key=self.row_key))

    async def post_issue(self, db: Connection, invoice: Invoice, lines: Sequence[InvoiceLine]) -> Issued:
        """Issue it."""
        return await _post_issue(self, db, invoice, lines)

    async def made(self, db: Connection) -> Invoice | None:
        """The invoice that this key has made."""
        row = await BY_KEY.fetchrow(db, tenant_id=self.tenant_id, idempotency_key=self.row_key)
        return None if row is None else invoice_of(row)

    def _taken(self, number: str) -> InvalidDocument:
        return InvalidDocument("invoice_number_conflict", f"There is an invoice {number} already.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(_Make):
    """Make an invoice that is not in the books yet."""

    @property
    def no_booking(self) -> str:
        return "booking_not_found"

    def check(self, lines: Sequence[InvoiceLine]) -> None:
        check_dates(self.issue_date, self.due_date, self.today)
        for place, line in enumerate(lines, start=1):
            check_amounts(place, line)
        check_total(total_of(lines))

    async def carry_out(self, db: Connection, prepared: DraftedInvoice) -> Invoice:
        return await self.insert(db, prepared)

    async def carried_out(self, db: Connection) -> Invoice | None:
        return await self.made(db)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(_Make):
    """Make an invoice and issue it. ``party_name`` empty: the passenger with the id ``party_reference``, or that id."""

    @property
    def no_booking(self) -> str:
        return "validation_failed"

    def check(self, lines: Sequence[InvoiceLine]) -> None:
        check_dates(self.issue_date, self.due_date, self.today, "validation_failed")
        check_issued(self.issue_date, self.today, "validation_failed")
        for place, line in enumerate(lines, start=1):
            check_amounts(place, line, "validation_failed")
            check_taxes(place, line)
        check_total(total_of(lines), "validation_failed")

    async def party(self, db: Connection) -> str:
        if self.party_name:
            return self.party_name
        reference = self.party_reference or ""
        known = parse_uuid(reference)
        found: str | None = known and await PASSENGER.fetchval(db, tenant_id=self.tenant_id, id=known)
        return found or reference

    async def carry_out(self, db: Connection, prepared: DraftedInvoice) -> Issued:
        invoice = await self.insert(db, prepared)
        return await self.post_issue(db, invoice, prepared.lines)

    async def carried_out(self, db: Connection) -> Issued | None:
        made = await self.made(db)
        journal = made and await general_ledger.find_by_key(db, self.tenant_id, issue_key(made))
        return Issued(made, journal) if made and journal else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue(Act[DraftedInvoice, Issued]):
    """Put a draft into the books, on its issue date."""

    invoice_id: str

    async def prepare(self, db: Connection) -> DraftedInvoice:
        invoice = await lock(db, self.tenant_id, self.invoice_id)
        if invoice.status != "draft":
            raise InvalidDocument("invalid_status", f"{invoice.number} is {invoice.status}: only a draft is issued.")
        check_issued(invoice.issue_date, self.today)
        return DraftedInvoice(invoice, await _lines(db, self.tenant_id, invoice))

    async def carry_out(self, db: Connection, prepared: DraftedInvoice) -> Issued:
        return await _post_issue(self, db, prepared.invoice, prepared.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Void(Act[Invoice, Voided]):
    """Void an invoice without payments; what its issue posted is reversed."""

    invoice_id: str
    reason: str

    async def prepare(self, db: Connection) -> Invoice:
        invoice = await lock(db, self.tenant_id, self.invoice_id)
        check_voidable(invoice)
        return invoice

    async def carry_out(self, db: Connection, prepared: Invoice) -> Voided:
        journal_id = None
        if prepared.status != "draft":
            journal_id = await reverse_document(
                self, db, issue_key(prepared), f"inv:{prepared.id}:void", f"Void invoice {prepared.number}"
            )
        day = day_of_void(prepared, self.today)
        await VOID.execute(db, tenant_id=self.tenant_id, id=prepared.id, voided_on=day, void_reason=self.reason)
        return Voided(prepared.id, journal_id)


def issue_key(invoice: Invoice) -> str:
    """The key of the journal of an invoice's issue."""
    return f"inv:{invoice.id}:issue"


async def _post_issue(act: Act[Any, Any], db: Connection, invoice: Invoice, lines: Sequence[InvoiceLine]) -> Issued:
    entry = issue_journal(invoice, lines, await act.accounts(db))
    journal = await general_ledger.post(db, act.tenant_id, entry, key=issue_key(invoice), by=act.by, now=act.now)
    await ISSUE.execute(db, tenant_id=act.tenant_id, id=invoice.id, now=act.now)
    return Issued(invoice, journal)
