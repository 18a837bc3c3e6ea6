"""Payments: of customers on invoices, and to vendors on bills."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.books import LATEST_ENTRY, JournalEntry
from ...actors.domain.documents import (
    OPEN_BILLS,
    OPEN_INVOICES,
    Bill,
    Document,
    InvalidDocument,
    Invoice,
    Method,
    check_payment,
    receipt_journal,
    remittance_journal,
)
from ...actors.domain.ids import uuid7
from ...actors.domain.money import Money
from .. import general_ledger
from ..engine.statements import binds, statement
from ..tables import bills, invoices, payments
from . import bills as vendors
from . import invoices as customers
from .act import Act

if TYPE_CHECKING:
    from ..engine.connection import Connection

INSERT = statement(
    insert(payments).values(
        **binds("id", "tenant_id", "invoice_id", "bill_id", "amount", "currency", "method", "paid_on", "reference"),
        **binds("journal_id", "created_by", "idempotency_key", "created_at"),
    )
)
_EARLIER = payments.c["id", "journal_id", "amount", "currency", "paid_on", "invoice_id", "bill_id"]
BY_KEY = statement(select(*_EARLIER).filter_by(**binds("tenant_id", "idempotency_key")))


def _duplicate(document: ColumnElement[Any]) -> Any:
    return select(payments.c.id).where(
        payments.c.tenant_id == bindparam("tenant_id"),
        document == bindparam("document"),
        payments.c.method == bindparam("method"),
        payments.c.reference == bindparam("reference"),
    )


ON_INVOICE = statement(_duplicate(payments.c.invoice_id))
ON_BILL = statement(_duplicate(payments.c.bill_id))
_SETTLED = binds("amount_paid", "status")
PAY_INVOICE = statement(update(invoices).filter_by(**binds("tenant_id", "id")).values(**_SETTLED))
PAY_BILL = statement(update(bills).filter_by(**binds("tenant_id", "id")).values(**_SETTLED))
SCHEDULE = statement(update(bills).filter_by(**binds("tenant_id", "id")).values(status="scheduled", **binds("pay_on")))


class Payment(NamedTuple):
    """A payment that can be made: the document as it is before, the amount, the day."""

    document: Document
    amount: Money
    day: date


class Paid(NamedTuple):
    """A payment in the books, and what became of its document."""

    payment_id: str
    journal_id: str
    document_id: str
    status: str
    due: Money


class Scheduled(NamedTuple):
    """A bill that is planned to be paid."""

    bill_id: str
    pay_on: date


async def _post(
    act: Receive | Pay, db: Connection, payment: Payment, entry: JournalEntry, *, invoice: bool, status: str
) -> Paid:
    document, payment_id = payment.document, uuid7()
    journal = await general_ledger.post(db, act.tenant_id, entry, key=f"pay:{payment_id}", by=act.by, now=act.now)
    await INSERT.execute(
        db,
        id=payment_id,
        tenant_id=act.tenant_id,
        invoice_id=document.id if invoice else None,
        bill_id=None if invoice else document.id,
        amount=payment.amount.amount,
        currency=payment.amount.currency,
        method=act.method,
        paid_on=payment.day,
        reference=act.reference,
        journal_id=journal,
        created_by=act.by,
        idempotency_key=f"call:{act.key}",
        created_at=act.now,
    )
    paid = document.paid + payment.amount
    settle = PAY_INVOICE if invoice else PAY_BILL
    await settle.execute(db, tenant_id=act.tenant_id, id=document.id, amount_paid=paid.amount, status=status)
    return Paid(payment_id, journal, document.id, status, document.total - paid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive(Act[Payment, Paid]):
    """Record what a customer has paid on an invoice."""

    invoice_id: str
    amount: Money
    received_on: date
    method: Method
    reference: str | None = None

    async def prepare(self, db: Connection) -> Payment:
        invoice = await customers.lock(db, self.tenant_id, self.invoice_id)
        if invoice.status not in OPEN_INVOICES:
            raise InvalidDocument("invalid_status", f"{invoice.number} is {invoice.status}: nothing is due on it.")
        if self.received_on > self.today:
            raise InvalidDocument("invalid_date", f"{self.received_on} is in the future: today is {self.today}.")
        check_payment(invoice, self.amount, self.received_on)
        await _refuse_duplicate(self, db, ON_INVOICE, invoice)
        return Payment(invoice, self.amount, self.received_on)

    async def carry_out(self, db: Connection, prepared: Payment) -> Paid:
        entry = receipt_journal(prepared.document, prepared.amount, prepared.day, await self.accounts(db))
        status = "paid" if prepared.amount == prepared.document.due else "partially_paid"
        return await _post(self, db, prepared, entry, invoice=True, status=status)

    async def carried_out(self, db: Connection) -> Paid | None:
        row = await BY_KEY.fetchrow(db, tenant_id=self.tenant_id, idempotency_key=f"call:{self.key}")
        if row is None:
            return None
        invoice: Invoice = await customers.lock(db, self.tenant_id, row["invoice_id"])
        return Paid(row["id"], row["journal_id"], invoice.id, invoice.status, invoice.due)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay(Act[Payment, Paid | Scheduled]):
    """Pay a vendor's bill, or plan to on a later day. Without ``amount`` all that is due."""

    bill_id: str
    amount: Decimal | None
    currency: str
    paid_on: date
    method: Method
    reference: str | None = None

    async def prepare(self, db: Connection) -> Payment:
        bill = await vendors.lock(db, self.tenant_id, self.bill_id)
        if bill.status not in OPEN_BILLS:
            raise InvalidDocument("invalid_status", f"{bill.number} is {bill.status}: nothing is due on it.")
        if self.paid_on > self.today + LATEST_ENTRY:
            raise InvalidDocument("invalid_date", f"{self.paid_on} is over a year away.")
        amount = Money.of(bill.due.amount if self.amount is None else self.amount, self.currency)
        check_payment(bill, amount, self.paid_on)
        await _refuse_duplicate(self, db, ON_BILL, bill)
        return Payment(bill, amount, self.paid_on)

    async def carry_out(self, db: Connection, prepared: Payment) -> Paid | Scheduled:
        bill = prepared.document
        if prepared.day > self.today:
            await SCHEDULE.execute(db, tenant_id=self.tenant_id, id=bill.id, pay_on=prepared.day)
            return Scheduled(bill.id, prepared.day)
        entry = remittance_journal(bill, prepared.amount, prepared.day, await self.accounts(db))
        status = "paid" if prepared.amount == bill.due else bill.status
        return await _post(self, db, prepared, entry, invoice=False, status=status)

    async def carried_out(self, db: Connection) -> Paid | None:
        row = await BY_KEY.fetchrow(db, tenant_id=self.tenant_id, idempotency_key=f"call:{self.key}")
        if row is None:
            return None
        bill: Bill = await vendors.lock(db, self.tenant_id, row["bill_id"])
        return Paid(row["id"], row["journal_id"], bill.id, bill.status, bill.due)


async def _refuse_duplicate(act: Receive | Pay, db: Connection, find: Any, document: Document) -> None:
    if act.reference is None:
        return
    found = await find.fetchval(
        db, tenant_id=act.tenant_id, document=document.id, method=act.method, reference=act.reference
    )
    if found is not None:
        raise InvalidDocument("duplicate", f"A payment on {document.number} by {act.method} has this reference.")
