"""Random books of an agency, made by the commands that people cause, beside a plain model of what is in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from voyagent.actors.domain.aging import BUCKETS, CONTROL_ACCOUNTS, Aging, Subledger
from voyagent.actors.domain.books import DraftLine
from voyagent.actors.domain.documents import InvoiceLine
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.domain.money import Money
from voyagent.actors.runtime.ref import Ref
from voyagent.storage import aging, trial_balance
from voyagent.storage.books import bills, invoices, payments
from voyagent.storage.general_ledger import DraftJournal, Post

CURRENCIES = ("INR", "INR", "USD", "AED", "KWD", "JPY")
PARTIES = ("Meridian", "Acme", "Zenith", "acme", "Łódź Tours", "B & C", "Delta")
EDGES = (0, 1, 30, 31, 60, 61, 90, 91)
DECIMALS = {"KWD": 3, "JPY": 0}


@dataclass(slots=True)
class Document:
    """What the model knows of an invoice or bill in the books."""

    side: Subledger
    id: str
    party: str
    issued: date
    due: date
    total: Money
    payments: list[tuple[date, Decimal]] = field(default_factory=list)
    voided: date | None = None

    def outstanding(self, as_of: date) -> Decimal:
        if self.issued > as_of or (self.voided is not None and self.voided <= as_of):
            return Decimal(0)
        return self.total.amount - sum(amount for day, amount in self.payments if day <= as_of)


@dataclass(slots=True)
class Ledger:
    """The books of one agency, whose days pass; ``earliest`` is the first day that anything new may be dated."""

    store: Ref
    tenant_id: str
    random: Random
    today: date
    earliest: date
    documents: list[Document] = field(default_factory=list)

    @property
    def common(self) -> dict[str, Any]:
        now = datetime.combine(self.today, time(12), UTC)
        by = {"key": uuid7(), "by": self.tenant_id, "session_id": None}
        return {"tenant_id": self.tenant_id, "today": self.today, "now": now, **by}

    def day(self, first: date | None = None) -> date:
        """A day that something may be dated today."""
        first = max(first or self.earliest, self.earliest)
        return first + timedelta(days=self.random.randint(0, max(0, (self.today - first).days)))

    def amount(self, currency: str, most: int = 10**7) -> Money:
        return Money.of(Decimal(self.random.randint(1, most)).scaleb(-DECIMALS.get(currency, 2)), currency)

    async def pass_days(self, days: int) -> None:
        """Let ``days`` go by, with something entered on most."""
        for _ in range(days):
            self.today += timedelta(days=self.random.choice((1, 1, 7, 29)))
            act = self.random.choice(
                (self.invoice, self.bill, self.draft, self.pay, self.pay, self.void, self.transfer)
            )
            await act()

    async def invoice(self) -> None:
        issued = self.day()
        due = issued + timedelta(days=self.random.choice((0, 1, 15, 30, 45)))
        currency, party = self.random.choice(CURRENCIES), self.random.choice(PARTIES)
        lines = tuple(self.line(currency) for _ in range(self.random.randint(1, 3)))
        made = await self.store.ask(
            invoices.Create(**self.common, number=None, party_name=party, issue_date=issued, due_date=due, lines=lines)
        )
        assert isinstance(made, invoices.Issued), made
        self.documents.append(Document("receivables", made.invoice.id, party, issued, due, made.invoice.total))

    def line(self, currency: str) -> InvoiceLine:
        """A line with a discount on most, to more decimals than the currency has; something is left to be paid."""
        whole = InvoiceLine(
            description="Fare",
            quantity=Decimal(self.random.randint(1, 5)),
            unit_price=self.amount(currency),
            desk=self.random.choice(("ticketing_visa", "hotels_holidays", "other")),
        )
        share = self.random.choice(("0", "0.001", "0.1", "0.3333"))
        return replace(whole, discount=(whole.subtotal.amount * Decimal(share)).quantize(Decimal("0.0001")))

    async def bill(self) -> None:
        issued = self.day()
        due = issued + timedelta(days=self.random.choice((0, 1, 15, 30, 45)))
        total, party = self.amount(self.random.choice(CURRENCIES)), self.random.choice(PARTIES)
        made = await self.store.ask(
            bills.Record(
                **self.common,
                vendor_name=party,
                vendor_reference=uuid7(),
                issue_date=issued,
                due_date=due,
                amount=total,
            )
        )
        assert isinstance(made, bills.Received), made
        self.documents.append(Document("payables", made.bill.id, party, issued, due, total))

    async def draft(self) -> None:
        """An invoice that is not in the books, void already or not."""
        lines = (InvoiceLine(description="Fare", quantity=Decimal(1), unit_price=self.amount("INR")),)
        day = self.day()
        made = await self.store.ask(
            invoices.Draft(**self.common, number=None, party_name="Nobody", issue_date=day, due_date=day, lines=lines)
        )
        if self.random.random() < 0.5:
            await self.store.ask(invoices.Void(**self.common, invoice_id=made.id, reason="A mistake"))

    async def pay(self) -> None:
        found = [each for each in self.documents if each.voided is None and each.outstanding(date.max) > 0]
        if not found:
            return
        document = self.random.choice(found)
        currency, rest = document.total.currency, document.outstanding(date.max)
        paid, day = self.amount(currency), self.day(document.issued)
        if self.random.random() < 0.5 or paid.amount > rest:
            paid = Money.of(rest, currency)
        act: Any
        if document.side == "receivables":
            act = payments.Receive(**self.common, invoice_id=document.id, amount=paid, received_on=day, method="upi")
        else:
            act = payments.Pay(
                **self.common, bill_id=document.id, amount=paid.amount, currency=currency, paid_on=day, method="cash"
            )
        done = await self.store.ask(act)
        assert isinstance(done, payments.Paid), done
        document.payments.append((day, paid.amount))

    async def void(self) -> None:
        found = [each for each in self.documents if each.voided is None and not each.payments]
        if not found:
            return
        document = self.random.choice(found)
        act: Any = (
            invoices.Void(**self.common, invoice_id=document.id, reason="A mistake")
            if document.side == "receivables"
            else bills.Void(**self.common, bill_id=document.id, reason="A mistake")
        )
        done = await self.store.ask(act)
        assert isinstance(done, invoices.Voided), done
        document.voided = max(self.today, document.issued)

    async def transfer(self) -> None:
        """A manual journal."""
        money = self.amount(self.random.choice(CURRENCIES))
        sides = (("1000", money.amount, None), ("3000", None, money.amount))
        drafts = tuple(
            DraftLine(account=code, code=None, currency=money.currency, debit=debit, credit=credit, memo=None)
            for code, debit, credit in sides
        )
        common = self.common
        entry = DraftJournal(
            tenant_id=self.tenant_id,
            entry_date=self.day(),
            narration="Capital",
            source_event="manual.journal",
            drafts=drafts,
            today=self.today,
            now=common["now"],
        )
        posted = await self.store.ask(Post(tenant_id=self.tenant_id, draft=entry, key=common["key"], by=common["by"]))
        assert isinstance(posted, str), posted

    async def aging(self, side: Subledger, as_of: date, first: date, last: date) -> tuple[Aging, ...]:
        found = await self.store.ask(
            aging.Read(tenant_id=self.tenant_id, side=side, first=first, last=last, as_of=as_of, default_currency="INR")
        )
        return tuple(found)

    async def trial_balance(self, as_of: date) -> Any:
        return await self.store.ask(
            trial_balance.Read(tenant_id=self.tenant_id, as_of=as_of, default_currency="INR", include_zero=True)
        )

    def open(self, side: Subledger, as_of: date) -> Iterator[Document]:
        return (each for each in self.documents if each.side == side and each.outstanding(as_of) > 0)

    def expected(self, side: Subledger, as_of: date, first: date, last: date) -> dict[str, Any]:
        """By the plainest reckoning: for each currency with open documents its sums, buckets and parties."""
        found: dict[str, Any] = {}
        for document in self.open(side, as_of):
            own = found.setdefault(
                document.total.currency,
                {
                    "all": Decimal(0),
                    "not_due": Decimal(0),
                    "parties": defaultdict(Decimal),
                    "buckets": [[0, 0] for _ in BUCKETS],
                },
            )
            amount = document.outstanding(as_of)
            own["all"] += amount
            if not first <= document.issued <= last:
                continue
            age = (as_of - document.due).days
            bucket = own["buckets"][0 if age <= 30 else 1 if age <= 60 else 2 if age <= 90 else 3]
            bucket[0] += 1
            bucket[1] += amount
            own["parties"][document.party] += amount
            own["not_due"] += amount if age <= 0 else 0
        for own in found.values():
            largest = sorted(own["parties"].items(), key=lambda each: (-each[1], each[0]))
            own["parties"] = largest[:5]
        return found


def shown(found: tuple[Aging, ...]) -> dict[str, Any]:
    """Agings in the form of ``Ledger.expected``; a currency without anything open is left out."""
    return {
        each.currency: {
            "all": each.reconciliation.aging_total,
            "not_due": each.not_due,
            "parties": [(party.name, party.amount) for party in each.top],
            "buckets": [[bucket.count, bucket.amount] for bucket in each.buckets],
        }
        for each in found
        if each.reconciliation.aging_total
    }


def control_balances(report: Any, side: Subledger) -> dict[str, Decimal]:
    """The balance of a control account by currency, as the trial balance has it; zeros are left out."""
    sign = 1 if side == "receivables" else -1
    rows = ((each.currency, row) for each in report.balances for row in each.accounts)
    return {
        currency: sign * row.balance for currency, row in rows if row.code == CONTROL_ACCOUNTS[side] and row.balance
    }
