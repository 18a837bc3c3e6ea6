"""Reconciles a statement of a BSP with the agency's own tickets.

A transaction and a ticket belong together if airline and the last ten digits of their numbers are the same, nothing
else. What is billed for a document in the statement, sale and refund together, is compared with what the agency
expects for its ticket. Memos of airlines have no ticket as their other side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal, get_args

from .books import grouped
from .bsp import DOCUMENTS, SALES, Report, Transaction, document_number, shown_number
from .money import Money, minor_digits, totals

Outcome = Literal["matched", "unmatched_external", "unmatched_internal", "discrepancy", "tentative"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

CERTAIN, BY_THE_SUM, PERHAPS, NOTHING = 10_000, 9_000, 5_000, 0
"""Basis points of confidence: by number and amount; by the sum of a booking whose tickets have no amounts of their own;
by number where amounts cannot be compared; without another side."""

_MEMOS = {
    "adm": "debit memo",
    "acm": "credit memo",
    "commission": "commission statement",
    "tax_adjustment": "tax adjustment",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTicket:
    """A ticket of the agency, with what is known of its amount.

    ``total`` is its own price; without it the ``cost`` of its booking is that of ``of_booking`` tickets together, as
    ``refund`` is. ``refunded_on`` is the day it was refunded.
    """

    id: str
    number: str
    issued_on: date
    booking_id: str
    locator: str | None
    supplier: str
    of_booking: int
    cost: Money
    total: Money | None = None
    refund: Money | None = None
    refunded_on: date | None = None

    @property
    def key(self) -> str:
        return document_number(self.number)

    @property
    def stands_alone(self) -> bool:
        """Whether its amount is known without its booking's other tickets."""
        return self.of_booking == 1 or (self.total is not None and self.refund is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One result. ``external_refs`` are document numbers of the statement, ``internal_refs`` ids of tickets.

    ``delta`` is external less internal; it is unknown where the two cannot be compared.
    """

    outcome: Outcome
    confidence_bps: int
    external_refs: tuple[str, ...]
    internal_refs: tuple[str, ...]
    external_amount: Money | None
    internal_amount: Money | None
    delta: Money | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All items: those of the statement in its order, then tickets it does not have."""

    items: tuple[Item, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many items each outcome has."""
        return {outcome: sum(item.outcome == outcome for item in self.items) for outcome in OUTCOMES}

    @property
    def matched_amounts(self) -> dict[str, Money]:
        """What the statement bills for all that is matched, by currency."""
        matched = (item.external_amount for item in self.items if item.outcome == "matched")
        return totals(amount for amount in matched if amount is not None)

    @property
    def issues(self) -> tuple[Item, ...]:
        """All that is not matched, what is certainly wrong first."""
        order = ("discrepancy", "unmatched_external", "unmatched_internal", "tentative")
        return tuple(item for outcome in order for item in self.items if item.outcome == outcome)


@dataclass(slots=True)
class _Account:
    """What the statement has for one document in one currency, and the agency's tickets of that number."""

    key: str
    currency: str
    external: Money
    transactions: list[Transaction] = field(default_factory=list)
    tickets: list[OwnTicket] = field(default_factory=list)

    def bill(self, transaction: Transaction) -> None:
        self.external = self.external + transaction.gross if self.transactions else transaction.gross
        self.transactions.append(transaction)

    def has(self, *kinds: str) -> bool:
        return any(each.kind in kinds for each in self.transactions)


def reconcile(
    report: Report, tickets: Iterable[OwnTicket], *, allowed: Mapping[str, int], chosen: bool = False
) -> Reconciliation:
    """Every transaction and every ticket is in exactly one item.

    ``allowed`` is the difference that still matches, in minor units by currency; 0 for any other. ``chosen``: the
    tickets were named one by one, so that the statement may well have others of the agency.
    """
    memos = [each for each in report.transactions if each.kind not in DOCUMENTS]
    accounts = _accounts(report, tickets)
    judge = _Judge(report, allowed, chosen=chosen)
    items = [item for group in _groups(accounts) for item in judge.items(group)]
    items += [judge.memo(each) for each in memos]
    return Reconciliation(tuple(items))


def _accounts(report: Report, tickets: Iterable[OwnTicket]) -> list[_Account]:
    documents = [each for each in report.transactions if each.kind in DOCUMENTS]
    primary = {number: each.document_number for each in documents for number in each.conjunctions}
    found: dict[tuple[str, str], _Account] = {}
    by_number: dict[str, list[_Account]] = {}
    for each in documents:
        key, currency = primary.get(each.subject, each.subject), each.gross.currency
        if (key, currency) not in found:
            found[key, currency] = _Account(key, currency, Money.of(0, currency))
            by_number.setdefault(key, []).append(found[key, currency])
        found[key, currency].bill(each)
    for ticket in tickets:
        key, currency = primary.get(ticket.key, ticket.key), (ticket.total or ticket.cost).currency
        billed = by_number.setdefault(key, [])
        if not billed:
            billed.append(found.setdefault((key, currency), _Account(key, currency, Money.of(0, currency))))
        next((each for each in billed if each.currency == currency), billed[0]).tickets.append(ticket)
    return list(found.values())


def _groups(accounts: Sequence[_Account]) -> Iterator[list[_Account]]:
    """Accounts that are compared together: all of a booking whose tickets have no amounts of their own.

    They stay apart if only some of them are in the statement: the sum of the others is not known then.
    """
    bookings: dict[str, list[_Account]] = {}
    for account in accounts:
        for booking in {ticket.booking_id for ticket in account.tickets if not ticket.stands_alone}:
            bookings.setdefault(booking, []).append(account)
    together: dict[str, list[_Account]] = {}
    for booking, group in bookings.items():
        tickets = [ticket for account in group for ticket in account.tickets if ticket.booking_id == booking]
        whole = len(tickets) == tickets[0].of_booking
        alike = len({bool(account.transactions) for account in group}) == 1
        alone = all(ticket.booking_id == booking for account in group for ticket in account.tickets)
        one_currency = len({account.currency for account in group}) == 1
        if whole and alike and alone and one_currency:
            together[booking] = group
    grouped_keys = {(each.key, each.currency): booking for booking, group in together.items() for each in group}
    done: set[str] = set()
    for account in accounts:
        booked = grouped_keys.get((account.key, account.currency))
        if booked is None:
            yield [account]
        elif booked not in done:
            done.add(booked)
            yield together[booked]


class _Judge:
    """Compares the two sides of a group."""

    def __init__(self, report: Report, allowed: Mapping[str, int], *, chosen: bool) -> None:
        self._report = report
        self._allowed = allowed
        self._nobody = "no ticket compared has this number" if chosen else "the agency has no ticket of this number"

    def items(self, group: list[_Account]) -> Iterator[Item]:
        tickets = [ticket for account in group for ticket in account.tickets]
        first, *others = group
        external = sum((each.external for each in others), start=first.external)
        billed = [each for account in group for each in account.transactions]
        if not tickets:
            yield self._unknown(group[0], external)
            return
        expected = self._expected(group)
        internal = expected[0] if expected is not None and len(expected) == 1 else None
        if not billed:
            yield self._missing(tickets, internal)
            return
        if internal is None or internal.currency != external.currency:
            yield self._tentative(group, external, expected)
            return
        delta = external - internal
        if abs(delta.amount) > self._tolerance(delta.currency):
            yield self._differs(group, external, internal)
            return
        yield from self._matched(group, delta)

    def memo(self, memo: Transaction) -> Item:
        about = f", about document {shown_number(memo.ticket)}" if memo.ticket else ""
        text = (
            f"Airline {memo.airline} bills {grouped(memo.gross)} by {_MEMOS[memo.kind]} "
            f"{shown_number(memo.document_number)} of {memo.issue_date}{about}: no ticket is its other side."
        )
        return self._item("unmatched_external", NOTHING, [memo], [], memo.gross, None, memo.gross, text)

    def _expected(self, group: list[_Account]) -> tuple[Money, ...] | None:
        """What the agency expects to be billed for the group's tickets in this period, an amount for each currency.

        None if it is not known.
        """
        parts: list[Money] = []
        seen: set[str] = set()
        for account in group:
            for ticket in account.tickets:
                if ticket.stands_alone:
                    concerned, price = [account], ticket.total or ticket.cost
                elif ticket.booking_id in seen:
                    continue
                elif len(group) > 1 or len(account.tickets) == ticket.of_booking:
                    concerned, price = group, ticket.cost
                    seen.add(ticket.booking_id)
                else:
                    return None
                sold = self._covers(ticket.issued_on) or any(each.has(*SALES) for each in concerned)
                taken_back = any(each.has("refund") for each in concerned) or (
                    ticket.refunded_on is not None and self._covers(ticket.refunded_on)
                )
                parts.append(price if sold else price - price)
                if taken_back and ticket.refund is not None:
                    parts.append(-ticket.refund)
        return tuple(totals(parts).values())

    def _covers(self, day: date) -> bool:
        return self._report.period_start <= day <= self._report.period_end

    def _tolerance(self, currency: str) -> Decimal:
        return Decimal(self._allowed.get(currency, 0)).scaleb(-minor_digits(currency))

    def _matched(self, group: list[_Account], delta: Money) -> Iterator[Item]:
        """One item a document; where only the booking's sum was compared, the last one has what is left over."""
        nothing = delta - delta
        together = len(group) > 1
        for account in group:
            rest = delta if account is group[-1] else nothing
            internal = account.external - rest
            ours = _own(account.tickets)
            by = f" by the sum of booking {_booking(account.tickets[0])}" if together else ""
            amounts = f"{grouped(account.external)} on both sides{by}"
            if rest != nothing:
                amounts = f"{grouped(account.external)} and {grouped(internal)}{by}, which is within what is allowed"
            text = f"{_billed(account)} is {ours}: {amounts}."
            sure = BY_THE_SUM if together else CERTAIN
            yield self._item(
                "matched", sure, account.transactions, account.tickets, account.external, internal, rest, text
            )

    def _differs(self, group: list[_Account], external: Money, internal: Money) -> Item:
        tickets = [ticket for account in group for ticket in account.tickets]
        billed = [each for account in group for each in account.transactions]
        delta = external - internal
        more = "more" if delta.amount > 0 else "less"
        text = (
            f"{_all_billed(group)}: the statement bills {grouped(external)}, the agency expects {grouped(internal)} "
            f"for {_own(tickets)}. That is {grouped(Money.of(abs(delta.amount), delta.currency))} {more} than expected."
        )
        if any(ticket.refund is not None for ticket in tickets) and not any(each.kind == "refund" for each in billed):
            text += f" The refund of {_refund(tickets)} is not in the statement."
        return self._item("discrepancy", CERTAIN, billed, tickets, external, internal, delta, text)

    def _tentative(self, group: list[_Account], external: Money, expected: tuple[Money, ...] | None) -> Item:
        tickets = [ticket for account in group for ticket in account.tickets]
        billed = [each for account in group for each in account.transactions]
        internal = expected[0] if expected is not None and len(expected) == 1 else None
        if expected is not None:
            amounts = " and ".join(map(grouped, expected))
            why = f"the agency expects {amounts} for {_own(tickets)}: two currencies are not compared"
        else:
            why = f"what {_own(tickets)} alone cost is not known: booking {_booking(tickets[0])} has more tickets"
        text = f"{_all_billed(group)}: the statement bills {grouped(external)}, {why}."
        return self._item("tentative", PERHAPS, billed, tickets, external, internal, None, text)

    def _unknown(self, account: _Account, external: Money) -> Item:
        text = f"{_billed(account)} is billed with {grouped(external)}: {self._nobody}."
        return self._item("unmatched_external", NOTHING, account.transactions, [], external, None, external, text)

    def _missing(self, tickets: list[OwnTicket], internal: Money | None) -> Item:
        first, ours = tickets[0], _own(tickets)
        where = f"{ours[:1].upper()}{ours[1:]}, issued on {first.issued_on} through {first.supplier}"
        if internal is not None and not internal.amount:
            text = f"{where}: nothing is expected in this period, and the statement has nothing."
            return self._item("matched", CERTAIN, [], tickets, internal, internal, internal, text)
        amount = "its amount alone is not known" if internal is None else f"the agency expects {grouped(internal)}"
        text = f"{where}: {amount}, and the statement does not have it."
        delta = None if internal is None else -internal
        return self._item("unmatched_internal", NOTHING, [], tickets, None, internal, delta, text)

    @staticmethod
    def _item(
        outcome: Outcome,
        sure: int,
        billed: Iterable[Transaction],
        tickets: Iterable[OwnTicket],
        external: Money | None,
        internal: Money | None,
        delta: Money | None,
        evidence: str,
    ) -> Item:
        return Item(
            outcome=outcome,
            confidence_bps=sure,
            external_refs=tuple(dict.fromkeys(shown_number(each.document_number) for each in billed)),
            internal_refs=tuple(ticket.id for ticket in tickets),
            external_amount=external,
            internal_amount=internal,
            delta=delta,
            evidence=evidence,
        )


def _billed(account: _Account) -> str:
    """``"Document 125-2400123456"``, with its conjunctions."""
    numbers = [shown_number(each.document_number) for each in account.transactions]
    numbers += [shown_number(number) for each in account.transactions for number in each.conjunctions]
    return f"Document {', '.join(dict.fromkeys(numbers))}"


def _all_billed(group: Sequence[_Account]) -> str:
    return "; ".join(_billed(account) for account in group)


def _own(tickets: Sequence[OwnTicket]) -> str:
    """``"ticket 125-2400123456 of booking ABC234"``, or several of them."""
    numbers = ", ".join(shown_number(ticket.key) for ticket in tickets)
    bookings = ", ".join(dict.fromkeys(_booking(ticket) for ticket in tickets))
    return f"ticket{'s' if len(tickets) > 1 else ''} {numbers} of booking {bookings}"


def _booking(ticket: OwnTicket) -> str:
    return ticket.locator or ticket.booking_id


def _refund(tickets: Iterable[OwnTicket]) -> str:
    refunds = {ticket.booking_id: ticket.refund for ticket in tickets if ticket.refund is not None}
    return ", ".join(grouped(each) for each in refunds.values())
