"""Statements of a BSP: what a transaction is, and the totals of a report (business 11.4)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from voyagent.actors.domain.bsp import Report, Transaction, document_number, shown_number
from voyagent.actors.domain.money import Money


def inr(amount: int | str) -> Money:
    return Money.of(amount, "INR")


def transaction(**parts: Any) -> Transaction:
    given = {
        "kind": "sale",
        "document_number": "1252400123456",
        "issue_date": date(2026, 11, 20),
        "airline": "125",
        "gross": inr("45200"),
        "net": inr("45200"),
    }
    return Transaction(**given | parts)


def report(*transactions: Transaction, **parts: Any) -> Report:
    given = {
        "agents": ("16383220",),
        "country": "IN",
        "period_start": date(2026, 11, 16),
        "period_end": date(2026, 11, 22),
        "currency": "INR",
        "transactions": transactions,
        "source_ref": "HOT DEL 125 261123 000041",
    }
    return Report(**given | parts)


def test_a_document_is_the_same_with_and_without_its_hyphen() -> None:
    assert document_number("125-2400123456") == document_number("1252400123456") == "1252400123456"
    assert shown_number("1252400123456") == "125-2400123456"


def test_totals_are_signed_as_the_agency_has_to_remit_and_kept_apart_by_currency() -> None:
    usd = Money.of("100", "USD")
    found = report(
        transaction(commission=inr("-873.34"), net=inr("44326.66")),
        transaction(kind="exchange", gross=inr("1000"), net=inr("0")),
        transaction(kind="refund", gross=inr("-5000"), net=inr("-5000"), ticket="1252400000001"),
        transaction(kind="adm", gross=inr("300"), net=inr("300")),
        transaction(kind="acm", gross=inr("-20.50"), net=inr("-20.50")),
        transaction(gross=usd, net=usd),
    ).totals
    assert list(found) == ["INR", "USD"]
    rupees = found["INR"]
    assert (rupees.sales, rupees.refunds, rupees.commission) == (inr("46200"), inr("-5000"), inr("-873.34"))
    assert rupees.net == inr("44326.66") - inr("5000") + inr("300") - inr("20.50")
    assert (found["USD"].sales, found["USD"].net) == (usd, usd)


def test_a_statement_without_transactions_has_totals_of_nothing_in_its_own_currency() -> None:
    assert [totals.net for totals in report().totals.values()] == [inr(0)]


def test_the_same_statement_read_elsewhere_is_the_same_report() -> None:
    first = report(transaction())
    assert first.digest == report(transaction(), source_ref="HOT DEL 125 261124 000042").digest
    for other in (
        report(transaction(gross=inr("45200.01"))),
        report(transaction(), transaction(document_number="1252400123457")),
        report(transaction(), period_start=date(2026, 11, 15)),
        report(transaction(), agents=("16391340",)),
    ):
        assert other.digest != first.digest


def test_a_stored_report_is_read_as_it_was() -> None:
    kept = report(transaction(conjunctions=("1252400123457",), commission=inr("-1.5")))
    assert Report.model_validate(kept.model_dump(mode="json")) == kept


@pytest.mark.parametrize(
    "parts",
    [
        {"net": Money.of(1, "USD")},
        {"commission": Money.of(1, "USD")},
        {"document_number": "125-2400123456"},
        {"airline": "1"},
        {"kind": "gift"},
        {"passenger": "RAO/ASHA"},
    ],
)
def test_what_is_no_transaction_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        transaction(**parts)


def test_a_period_does_not_end_before_it_begins() -> None:
    with pytest.raises(ValidationError):
        report(period_end=date(2026, 11, 15))


def test_a_refund_settles_the_ticket_it_takes_back_and_all_else_its_own_document() -> None:
    about = {"document_number": "1259900000001", "ticket": "1252400123456"}
    assert transaction(kind="refund", **about).subject == "1252400123456"
    assert transaction(kind="refund").subject == "1252400123456"
    assert transaction(kind="exchange", **about).subject == "1259900000001"
    assert transaction(kind="adm", **about).subject == "1259900000001"
