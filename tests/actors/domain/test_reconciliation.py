"""A statement against the agency's own tickets (business 11.4, 12.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.domain.test_bsp import inr, report, transaction
from voyagent.actors.domain.bsp import DOCUMENTS, SALES, Report, Transaction, document_number
from voyagent.actors.domain.money import Money, totals
from voyagent.actors.domain.reconciliation import Item, OwnTicket, Reconciliation, reconcile

NUMBER = "1252400123456"


def ticket(number: str = NUMBER, **parts: Any) -> OwnTicket:
    given = {
        "id": f"t-{number}",
        "number": number,
        "issued_on": date(2026, 11, 20),
        "booking_id": f"b-{number}",
        "locator": "ABC234",
        "supplier": "house",
        "of_booking": 1,
        "cost": inr("45200"),
    }
    return OwnTicket(**given | parts)


def compared(
    transactions: Sequence[Transaction], tickets: Sequence[OwnTicket], chosen: bool = False, **allowed: int
) -> tuple[Item, ...]:
    return reconcile(report(*transactions), tickets, allowed=allowed, chosen=chosen).items


def only(transactions: Sequence[Transaction], tickets: Sequence[OwnTicket], **allowed: int) -> Item:
    [item] = compared(transactions, tickets, **allowed)
    return item


@pytest.mark.parametrize("number", [NUMBER, "125-2400123456"])
def test_b55_the_same_airline_and_ten_digits_and_the_same_amount_match(number: str) -> None:
    item = only([transaction()], [ticket(number)])
    assert (item.outcome, item.confidence_bps) == ("matched", 10_000)
    assert (item.external_refs, item.internal_refs) == (("125-2400123456",), (f"t-{number}",))
    assert (item.external_amount, item.internal_amount, item.delta) == (inr("45200"), inr("45200"), inr(0))
    assert "INR 45,200.00 on both sides" in item.evidence


@pytest.mark.parametrize("number", ["1262400123456", "1252400123457", "1251400123456"])
def test_b55_another_airline_or_digit_is_another_document_however_alike(number: str) -> None:
    external, internal = compared([transaction()], [ticket(number)])
    assert (external.outcome, internal.outcome) == ("unmatched_external", "unmatched_internal")
    assert external.evidence == (
        "Document 125-2400123456 is billed with INR 45,200.00: the agency has no ticket of this number."
    )
    assert "issued on 2026-11-20 through house: the agency expects INR 45,200.00" in internal.evidence
    assert (external.delta, internal.delta) == (inr("45200"), inr("-45200"))


def test_no_ticket_is_denied_where_only_some_were_compared() -> None:
    [item] = compared([transaction()], [], chosen=True)
    assert item.evidence.endswith("no ticket compared has this number.")


@pytest.mark.parametrize(
    ("billed", "allowed", "outcome"),
    [
        ("45200.00", 0, "matched"),
        ("45200.01", 0, "discrepancy"),
        ("45200.01", 1, "matched"),
        ("45199.99", 1, "matched"),
        ("45201.00", 100, "matched"),
        ("45201.01", 100, "discrepancy"),
        ("45198.99", 100, "discrepancy"),
    ],
)
def test_b55_a_difference_matches_up_to_what_is_allowed_in_minor_units(billed: str, allowed: int, outcome: str) -> None:
    item = only([transaction(gross=inr(billed))], [ticket()], INR=allowed, USD=10**6)
    assert item.outcome == outcome
    assert item.delta == inr(billed) - inr("45200")


def test_minor_units_are_those_of_the_currency() -> None:
    dinar, yen = (Money.of(10, currency) for currency in ("KWD", "JPY"))
    for billed, allowed in ((Money.of("10.005", "KWD"), {"KWD": 5}), (Money.of(15, "JPY"), {"JPY": 5})):
        mine = ticket(cost=dinar if billed.currency == "KWD" else yen)
        assert only([transaction(gross=billed, net=billed)], [mine], **allowed).outcome == "matched"
        assert only([transaction(gross=billed, net=billed)], [mine]).outcome == "discrepancy"


def test_a_difference_says_how_much_and_in_which_direction() -> None:
    more = only([transaction(gross=inr("45500"))], [ticket()])
    less = only([transaction(gross=inr("45000"))], [ticket()])
    assert more.evidence == (
        "Document 125-2400123456: the statement bills INR 45,500.00, the agency expects INR 45,200.00 for ticket "
        "125-2400123456 of booking ABC234. That is INR 300.00 more than expected."
    )
    assert less.evidence.endswith("That is INR 200.00 less than expected.")


def test_b55_two_currencies_are_not_compared() -> None:
    item = only([transaction()], [ticket(cost=Money.of(500, "USD"))])
    assert (item.outcome, item.confidence_bps, item.delta) == ("tentative", 5_000, None)
    assert "two currencies are not compared" in item.evidence


def test_a_refund_in_another_currency_than_the_price_is_not_compared_either() -> None:
    mine = ticket(refund=Money.of(500, "USD"), refunded_on=date(2026, 11, 21))
    item = only([transaction()], [mine])
    assert (item.outcome, item.internal_amount) == ("tentative", None)
    assert "the agency expects INR 45,200.00 and USD -500.00 for ticket" in item.evidence


def test_a_difference_that_is_allowed_is_told_with_both_amounts() -> None:
    item = only([transaction(gross=inr("45201"))], [ticket()], INR=100)
    assert item.evidence.endswith(": INR 45,201.00 and INR 45,200.00, which is within what is allowed.")


def test_what_was_paid_by_card_is_billed_all_the_same() -> None:
    assert only([transaction(net=inr("-900"), commission=inr("-900"))], [ticket()]).outcome == "matched"


@pytest.mark.parametrize("kind", ["adm", "acm", "commission", "tax_adjustment"])
def test_a_memo_has_no_ticket_as_its_other_side_and_names_the_one_it_is_about(kind: Any) -> None:
    memo = transaction(kind=kind, document_number="1256000000001", ticket=NUMBER, gross=inr("300"))
    sale, about = compared([memo, transaction()], [ticket()])
    assert (sale.outcome, about.outcome) == ("matched", "unmatched_external")
    assert (about.external_refs, about.internal_refs, about.delta) == (("125-6000000001",), (), inr("300"))
    assert "about document 125-2400123456" in about.evidence


def test_a_refund_in_the_period_of_the_sale_is_counted_with_it() -> None:
    refund = transaction(kind="refund", document_number="1259000000001", ticket=NUMBER, gross=inr("-40200"))
    mine = ticket(refund=inr("40200"), refunded_on=date(2026, 11, 21))
    item = only([transaction(), refund], [mine])
    assert (item.outcome, item.external_amount, item.internal_amount) == ("matched", inr("5000"), inr("5000"))
    assert item.external_refs == ("125-2400123456", "125-9000000001")


def test_a_refund_of_an_earlier_periods_ticket_stands_for_itself() -> None:
    refund = transaction(kind="refund", gross=inr("-40200"))
    mine = ticket(issued_on=date(2026, 10, 1), refund=inr("40200"), refunded_on=date(2026, 11, 10))
    assert only([refund], [mine]).outcome == "matched"
    short = only([transaction(kind="refund", gross=inr("-40000"))], [mine])
    assert (short.outcome, short.delta) == ("discrepancy", inr("200"))


def test_a_refund_that_is_missing_is_named() -> None:
    mine = ticket(refund=inr("40200"), refunded_on=date(2026, 11, 21))
    item = only([transaction()], [mine])
    assert (item.outcome, item.delta) == ("discrepancy", inr("40200"))
    assert item.evidence.endswith("The refund of INR 40,200.00 is not in the statement.")


def test_a_refund_after_the_period_is_not_expected_in_it() -> None:
    mine = ticket(refund=inr("40200"), refunded_on=date(2026, 11, 23))
    assert only([transaction()], [mine]).outcome == "matched"


def test_a_ticket_taken_back_whole_in_its_period_may_be_missing_or_cancelled() -> None:
    mine = ticket(refund=inr("45200"), refunded_on=date(2026, 11, 20))
    missing = only([], [mine])
    assert (missing.outcome, missing.external_refs) == ("matched", ())
    assert "nothing is expected in this period" in missing.evidence
    assert only([transaction(gross=inr(0), net=inr(0))], [mine]).outcome == "matched"


def test_a_sale_that_is_reported_late_is_expected_because_it_is_billed() -> None:
    late = transaction(issue_date=date(2026, 11, 14))
    assert only([late], [ticket(issued_on=date(2026, 11, 14))]).outcome == "matched"


def test_conjunctions_of_a_sale_are_one_document() -> None:
    sale = transaction(conjunctions=("1252400123457",))
    pair = [ticket(number, of_booking=2, booking_id="b") for number in (NUMBER, "1252400123457")]
    item = only([sale], pair)
    assert (item.outcome, item.internal_refs) == ("matched", ("t-1252400123456", "t-1252400123457"))
    assert item.evidence.startswith("Document 125-2400123456, 125-2400123457 is tickets ")


def family(*numbers: str, **parts: Any) -> list[OwnTicket]:
    """A booking's tickets, which have no amounts of their own."""
    return [ticket(number, booking_id="b", of_booking=len(numbers), **parts) for number in numbers]


OTHER = "1252400123457"


def test_a_booking_whose_tickets_have_no_amounts_is_compared_by_its_sum() -> None:
    billed = [
        transaction(gross=inr("30000.01"), net=inr("30000.01")),
        transaction(document_number=OTHER, gross=inr("15200"), net=inr("15200")),
    ]
    first, second = compared(billed, family(NUMBER, OTHER), INR=1)
    assert (first.outcome, second.outcome) == ("matched", "matched")
    assert first.confidence_bps == second.confidence_bps == 9_000
    assert (first.delta, second.delta) == (inr(0), inr("0.01"))
    together = only(billed, family(NUMBER, OTHER))
    assert (together.outcome, together.delta) == ("discrepancy", inr("0.01"))
    assert together.external_refs == ("125-2400123456", "125-2400123457")
    assert len(together.internal_refs) == 2


def test_of_a_booking_that_is_billed_in_part_no_amount_is_invented() -> None:
    billed, missing = compared([transaction()], family(NUMBER, OTHER))
    assert (billed.outcome, billed.internal_amount, billed.delta) == ("tentative", None, None)
    assert "booking ABC234 has more tickets" in billed.evidence
    assert (missing.outcome, missing.internal_amount, missing.delta) == ("unmatched_internal", None, None)
    assert "its amount alone is not known" in missing.evidence


def test_a_booking_the_statement_does_not_have_is_missing_with_its_whole_cost() -> None:
    item = only([], family(NUMBER, OTHER))
    assert (item.outcome, item.delta, len(item.internal_refs)) == ("unmatched_internal", inr("-45200"), 2)


def test_a_tickets_own_amount_comes_before_its_bookings() -> None:
    pair = [ticket(n, booking_id="b", of_booking=2, total=inr("22600")) for n in (NUMBER, OTHER)]
    first, second = compared([transaction(gross=inr("22600"))], pair)
    assert (first.outcome, second.outcome, second.delta) == ("matched", "unmatched_internal", inr("-22600"))


def test_issues_are_all_but_the_matches_what_is_certain_first() -> None:
    billed = [
        transaction(document_number="1252400000001"),
        transaction(),
        transaction(document_number="1252400000002", gross=inr(1), net=inr(1)),
    ]
    found = reconcile(report(*billed), [ticket(), ticket("1252400000002"), ticket("1252400000003")], allowed={})
    assert [item.outcome for item in found.issues] == ["discrepancy", "unmatched_external", "unmatched_internal"]
    assert found.counts == {
        "matched": 1,
        "unmatched_external": 1,
        "unmatched_internal": 1,
        "discrepancy": 1,
        "tentative": 0,
    }
    assert found.matched_amounts == {"INR": inr("45200")}


NUMBERS = [f"{airline}240000000{serial}" for airline in ("125", "176") for serial in range(6)]
CURRENCIES = ["INR", "USD"]


@st.composite
def statements(draw: st.DrawFn) -> Report:
    """Statements whose documents occur more than once, in two currencies, with refunds, memos and conjunctions."""
    made: list[Transaction] = []
    for _ in range(draw(st.integers(0, 8))):
        number, related = draw(st.sampled_from(NUMBERS)), draw(st.none() | st.sampled_from(NUMBERS))
        kind: Any = draw(st.sampled_from(["sale", "sale", "sale", "exchange", "refund", "refund", "adm", "acm"]))
        amount = Money.of(draw(st.integers(0, 3)), draw(st.sampled_from(CURRENCIES)))
        further = draw(st.lists(st.sampled_from(NUMBERS), max_size=1)) if kind in SALES else []
        signed = -amount if kind in ("refund", "acm") else amount
        made.append(
            transaction(
                kind=kind,
                document_number=number,
                airline=number[:3],
                conjunctions=tuple(further),
                gross=signed,
                net=signed,
                ticket=related,
            )
        )
    return report(*made)


@st.composite
def tickets(draw: st.DrawFn) -> list[OwnTicket]:
    """Tickets of bookings of one to three, some with amounts of their own, some refunded, some of other periods."""
    free, made = list(draw(st.permutations(NUMBERS))), []
    for booking in range(draw(st.integers(0, 4))):
        size, known = draw(st.integers(1, 3)), draw(st.booleans())
        currency = draw(st.sampled_from(CURRENCIES))
        refund = draw(st.none() | st.integers(0, 3).map(lambda amount, of=currency: Money.of(amount, of)))
        day = draw(st.dates(date(2026, 11, 14), date(2026, 11, 24)))
        for _ in range(size):
            number = free.pop()
            own = Money.of(draw(st.integers(0, 3)), currency) if known else None
            made.append(
                ticket(
                    draw(st.sampled_from([number, f"{number[:3]}-{number[3:]}"])),
                    booking_id=f"b-{booking}",
                    of_booking=size,
                    cost=Money.of(draw(st.integers(0, 3)) if known else booking, currency),
                    total=own,
                    refund=refund,
                    refunded_on=None if refund is None else day,
                    issued_on=draw(st.dates(date(2026, 11, 14), date(2026, 11, 24))),
                )
            )
    return draw(st.permutations(made))[: draw(st.integers(0, len(made)))]


def results(found: Report, mine: list[OwnTicket], allowed: int) -> Reconciliation:
    return reconcile(found, mine, allowed={"INR": allowed})


@given(found=statements(), mine=tickets(), allowed=st.integers(0, 200))
def test_b55_every_transaction_and_every_ticket_is_in_one_item(
    found: Report, mine: list[OwnTicket], allowed: int
) -> None:
    items = results(found, mine, allowed).items
    assert Counter(each for item in items for each in item.internal_refs) == Counter(each.id for each in mine)
    billed = totals(item.external_amount for item in items if item.external_refs and item.external_amount)
    assert billed == totals(each.gross for each in found.transactions)
    named = {each.replace("-", "") for item in items for each in item.external_refs}
    assert named == {each.document_number for each in found.transactions}
    memos = [each for each in found.transactions if each.kind not in DOCUMENTS]
    assert len([item for item in items if "no ticket is its other side" in item.evidence]) == len(memos)


@given(found=statements(), mine=tickets(), allowed=st.integers(0, 200))
def test_b55_the_sums_of_all_items_agree(found: Report, mine: list[OwnTicket], allowed: int) -> None:
    result = results(found, mine, allowed)
    for item in result.items:
        amounts = [amount for amount in (item.external_amount, item.internal_amount) if amount is not None]
        match item.outcome:
            case "matched" | "discrepancy" | "tentative" if item.delta is None:
                assert item.outcome == "tentative"
            case "matched":
                assert item.delta == amounts[0] - amounts[1] if item.external_refs else not item.delta.amount
                assert item.delta is not None
                assert abs(item.delta.amount) * 100 <= (allowed if item.delta.currency == "INR" else 0)
            case "discrepancy":
                assert item.delta == amounts[0] - amounts[1]
                assert item.delta is not None
                assert item.delta.amount
            case "unmatched_external":
                assert (item.delta, item.internal_refs) == (item.external_amount, ())
            case "unmatched_internal":
                assert item.external_refs == ()
                assert item.delta == (None if item.internal_amount is None else -item.internal_amount)
        assert len({amount.currency for amount in amounts}) <= 1 or item.outcome == "tentative"
    assert sum(result.counts.values()) == len(result.items)
    assert len(result.issues) == len(result.items) - result.counts["matched"]


def related(found: Report, number: str) -> set[str]:
    """The numbers that documents of the statement say are of one sale with ``number``."""
    known, grown = {number}, True
    while grown:
        before = len(known)
        for each in found.transactions:
            if each.kind in DOCUMENTS:
                of_one = {each.subject, each.document_number, *each.conjunctions}
                known |= of_one if of_one & known else set()
        grown = len(known) > before
    return known


@given(found=statements(), mine=tickets())
def test_b55_only_equal_numbers_belong_together(found: Report, mine: list[OwnTicket]) -> None:
    by_id = {each.id: each for each in mine}
    for item in results(found, mine, 0).items:
        billed = {number for ref in item.external_refs for number in related(found, document_number(ref))}
        ours = [by_id[each] for each in item.internal_refs]
        bookings = {each.booking_id for each in ours if each.key in billed}
        if item.external_refs:
            assert all(each.key in billed or each.booking_id in bookings for each in ours)


def test_the_order_of_the_tickets_changes_nothing_but_the_order() -> None:
    billed = [transaction(), transaction(document_number=OTHER, gross=inr("9"), net=inr("9"))]
    mine = [ticket(), ticket(OTHER), ticket("1252400123458")]
    forth = reconcile(report(*billed), mine, allowed={}).items
    back = reconcile(report(*billed), mine[::-1], allowed={}).items
    assert sorted(map(repr, forth)) == sorted(map(repr, back))
    assert replace(forth[0]) == forth[0]
