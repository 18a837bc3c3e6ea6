"""HOT files are read by the handbook's places and verified whole (business 12.4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.suppliers.bsp.files import CARD_SALE, CREDIT, DEBIT, OURS, REFUND, THEIRS, Hot, Line, Office, signed
from voyagent.actors.domain.bsp import Transaction
from voyagent.actors.domain.money import Money
from voyagent.actors.suppliers.bsp import hot, layout
from voyagent.actors.suppliers.bsp.layout import Broken, Record


def inr(amount: str) -> Money:
    return Money.of(amount, "INR")


def read(file: Hot, *agents: str) -> hot.File:
    return hot.read(file.text().splitlines(keepends=True), agents or (OURS,))


def ours(file: Hot) -> list[Transaction]:
    return [each for cycle in read(file).cycles for office in cycle.offices for each in office.transactions]


def record(text: str) -> Record:
    return Record(7, hot.padded(text))


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0000000000{", 0),
        ("0000000000A", 1),
        ("0000000000I", 9),
        ("0000000001{", 10),
        ("0000009860{", 98600),
        ("0000009860}", -98600),
        ("0000000000J", -1),
        ("0000000343N", -3435),
        ("0000000000R", -9),
        ("0000000000}", 0),
    ],
)
def test_b55_an_amount_has_its_sign_in_its_last_character(text: str, amount: int) -> None:
    assert record(text).amount((1, 11)) == amount
    assert signed(amount) == text.replace("}", "{") if amount == 0 else signed(amount) == text


@pytest.mark.parametrize(
    "text", ["00000000000", "0000000000S", " 000000000{", "-000000001{", "0000000000", "٣٣٣٣٣٣٣٣٣٣{"]
)
def test_b55_what_is_no_signed_amount_is_never_read_as_one(text: str) -> None:
    with pytest.raises(Broken, match="characters 1 to 11 are no signed amount") as broken:
        record(text).amount((1, 11))
    assert broken.value.line == 7


@given(st.integers(-(10**11) + 1, 10**11 - 1))
def test_b55_every_amount_is_read_as_it_was_written(amount: int) -> None:
    assert record(signed(amount)).amount((1, 11)) == amount


def test_b55_the_places_of_the_fields_are_the_handbooks() -> None:
    """Records written by hand, to be compared with the tables of chapter 6 by eye."""
    sale = record(
        "BKS00000005242611200000011252400123456 6FFVV   16383220                TKTTDELDXB    ABC234/1A    1405"
    )
    assert (sale.name, sale.day(layout.ISSUED), sale.count(layout.NUMBER)) == ("BKS24", date(2026, 11, 20), 1)
    assert (layout.checked_number(sale), sale.get(layout.CODE)) == ("1252400123456", "TKTT")
    amounts = record(
        "BKS00000006302611200000011252400123456 60000034350{0000000000{"
        "GB      0000000130{YQ      0000000100{XX      0000000050}0000034780{  INR2"
    )
    assert [amounts.amount(place) for place in layout.TAXES] == [1300, 1000, -500]
    assert (amounts.amount(layout.DOCUMENT_AMOUNT), amounts.currency()) == (347800, "INR2")
    commission = record(
        "BKS00000007392611200000011252400123456 6I  G     001000000000343N      000000000000000{"
        "001000000000343N0000000000{I                 INR2"
    )
    assert (commission.amount(layout.EFFECTIVE_COMMISSION), commission.currency()) == (-3435, "INR2")
    payment = record(
        "BKP0000001384261120000001CA        0000034780{"
        "                                                   0000034436E                        INR2"
    )
    assert (payment.get(layout.PAYMENT), payment.amount(layout.REMITTANCE)) == ("CA", 344365)
    total = record(
        "BOT000000149316383220261122"
        "00000000034780{00000000034436E00000000000343N00000000000430{TKTT00000000000000{"
        "                          INR2"
    )
    assert total.totals() == (347800, 344365, -3435, 4300, 0)
    assert (total.get(layout.AGENT), total.get(layout.SUBTOTAL_CODE)) == (OURS, "TKTT")


def test_b55_a_statement_is_read_with_its_kinds_and_what_each_is_about() -> None:
    lines = (Line(commission=-873_34), CARD_SALE, REFUND, DEBIT, CREDIT)
    exchange = Line(number="1252400123460", payment="EX", cash=0, original="1252400000008")
    found = ours(Hot(offices=(Office(lines=(*lines, exchange)),)))
    assert [(each.kind, each.document_number, each.ticket) for each in found] == [
        ("sale", "1252400123456", None),
        ("sale", "1252400123457", None),
        ("refund", "1259000000001", "1252400000009"),
        ("adm", "1256000000001", "1252400000009"),
        ("acm", "1258000000001", None),
        ("exchange", "1252400123460", "1252400000008"),
    ]
    assert [each.gross for each in found[:5]] == [
        inr("45200"),
        inr("45200"),
        inr("-35000"),
        inr("300"),
        inr("-20.50"),
    ]
    assert (found[0].commission, found[0].net) == (inr("-873.34"), inr("44326.66"))
    assert (found[1].commission, found[1].net) == (inr("0"), inr("0"))
    assert {each.issue_date for each in found} == {date(2026, 11, 20), date(2026, 11, 21)}
    assert {each.airline for each in found} == {"125"}


def test_b55_taxes_beyond_three_stand_in_further_records() -> None:
    [sale] = ours(Hot(offices=(Office(lines=(Line(taxes=(1, 2, 3, 4, 5, 6, 7)),)),)))
    assert sale.gross == inr("40000.28")


def test_b55_the_currency_type_says_where_the_decimal_point_is() -> None:
    amounts = [
        sale.gross.text
        for currency in ("INR2", "KWD3", "JPY0", "HKD0")
        for sale in ours(
            Hot(offices=(Office(currency=currency, lines=(Line(fare=12345, taxes=(), currency=currency),)),))
        )
    ]
    assert amounts == ["INR 123.45", "KWD 12.345", "JPY 12345", "HKD 12345.00"]


def test_b55_conjunctions_belong_to_their_sale_and_unknown_records_are_counted() -> None:
    [sale] = ours(Hot(offices=(Office(lines=(Line(conjunctions=("1252400123457",), unknown=3),)),)))
    assert (sale.conjunctions, sale.gross) == (("1252400123457",), inr("45200"))


def test_b55_several_agents_currencies_and_billing_analyses_are_added_up_apart() -> None:
    dollars = Line(number="1252400123470", currency="USD2")
    file = Hot(
        offices=(Office(lines=(Line(), dollars, REFUND)), Office(agent=THEIRS, lines=(DEBIT,))),
        before=(Hot(period_end="261115", offices=(Office(lines=(CREDIT,)),)),),
    )
    found = read(file)
    assert [(each.period_end, len(each.offices)) for each in found.cycles] == [
        (date(2026, 11, 15), 1),
        (date(2026, 11, 22), 2),
    ]
    assert found.cycles[1].offices[1].transactions == [], "another agent's are verified, and not kept"
    assert len(found.cycles[1].offices[0].transactions) == 3
    assert found.reference == "HOT DEL 125 261123 000041"


def test_b55_a_plan_may_sum_its_sales_under_one_name() -> None:
    assert len(ours(Hot(offices=(Office(lines=(Line(), DEBIT)),), code_of_subtotals="SALE"))) == 2


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_b55_a_file_without_sales_is_sound(end: str) -> None:
    for file in (Hot(offices=()), Hot(offices=(Office(lines=()),))):
        assert hot.read(file.text(end).splitlines(keepends=True), (OURS,)).country == "IN"
    assert hot.read([*Hot().text(end).splitlines(keepends=True), "\x1a"], (OURS,)).country == "IN"


FILE = Hot(offices=(Office(lines=(Line(commission=-900_00, tax_on_commission=18_00), REFUND)), Office(agent=THEIRS)))
Change = Callable[[list[str]], None]


def put(line: int, place: int, text: str) -> Change:
    def change(lines: list[str]) -> None:
        whole = lines[line - 1]
        lines[line - 1] = whole[: place - 1] + text + whole[place - 1 + len(text) :]

    return change


def at(name: str, occurrence: int = 0) -> int:
    """The line of a record of ``FILE``."""
    return [line for line, text in enumerate(FILE.records(), 1) if text[:3] + text[11:13] == name][occurrence]


def drop(line: int) -> Change:
    """Without a record, renumbered: the counts and sums are what finds it."""

    def change(lines: list[str]) -> None:
        del lines[line - 1]
        lines[:] = [f"{text[:3]}{number:08d}{text[11:]}" for number, text in enumerate(lines, 1)]

    return change


def cut(line: int) -> Change:
    return lambda lines: lines.__delitem__(slice(line, None))


def wide(line: int) -> Change:
    def change(lines: list[str]) -> None:
        lines[line - 1] += "X"

    return change


OTHER = signed(1, 15)
BROKEN: dict[str, tuple[Change, int, str]] = {
    "no header": (put(1, 1, "BXH"), 1, "BFH01 is due"),
    "no record": (put(9, 1, "XKS"), 9, "no name of a record"),
    "a test file": (put(1, 23, "TEST"), 1, "only production files are read"),
    "an older layout": (put(1, 20, "203"), 1, "handbook revision is none of 22, 23"),
    "no period": (put(2, 18, "261332"), 2, "characters 18 to 23 are no date"),
    "another agent's office": (put(3, 14, "16383221"), at("BOT93"), "BOT93 is of another agent"),
    "a wrong sequence": (put(5, 4, "00000009"), 5, "sequence number does not follow"),
    "a record too long": (wide(5), 5, "a record has 136 characters"),
    "a transaction number": (put(4, 14, "000007"), 4, "number does not follow"),
    "a record of another": (put(6, 20, "000002"), 6, "record is not of transaction 1"),
    "a wrong check digit": (put(5, 40, "8"), 5, "check digit"),
    "a short number": (put(5, 26, "125240012345 "), 5, "thirteen digits"),
    "no amount": (put(6, 120, "00000452000"), 6, "characters 120 to 130 are no signed amount"),
    "no currency": (put(6, 133, "    "), 6, "no currency type"),
    "two currencies": (put(7, 133, "USD2"), 7, "has one currency"),
    "an unknown code": (put(5, 72, "ZZZZ"), 5, "transaction code"),
    "a date of issue": (put(5, 14, "26AB20"), 5, "characters 14 to 19 are no date"),
    "a record is missing": (drop(9), 11, "fewer records than its header counts"),
    "a record too many": (put(4, 22, "007"), 11, "BKT06 or BOT93 or BOT94 is due"),
    "no document": (put(5, 45, "CNJ"), 4, "one BKS24"),
    "an amount changed": (put(6, 120, signed(45_200_01)), at("BOT93", 1), "not the sum of its transactions TKTT"),
    "a tax changed": (put(6, 71, signed(1)), at("BOT93", 1), "not the sum of its transactions TKTT"),
    "the gross subtotal": (put(at("BOT93"), 28, OTHER), at("BOT93"), "not the sum of its transactions RFND"),
    "the remitted subtotal": (put(at("BOT93"), 43, OTHER), at("BOT93"), "not the sum of its transactions RFND"),
    "the commission subtotal": (put(at("BOT93"), 58, OTHER), at("BOT93"), "not the sum of its transactions RFND"),
    "the taxes subtotal": (put(at("BOT93"), 73, OTHER), at("BOT93"), "not the sum of its transactions RFND"),
    "the tax on commission": (put(at("BOT93"), 92, OTHER), at("BOT93"), "not the sum of its transactions RFND"),
    "a named subtotal": (put(at("BOT93"), 88, "SALE" + OTHER), at("BOT93", 1), "the BOT93 of INR2 are not the sum"),
    "a subtotal is missing": (drop(at("BOT93")), at("BOT93"), "the BOT93 of INR2 are not the sum"),
    "the office's total": (put(at("BOT94"), 28, OTHER), at("BOT94"), "BOT94 of INR2 is not the sum"),
    "its tax on commission": (put(at("BOT94"), 88, OTHER), at("BOT94"), "BOT94 of INR2 is not the sum"),
    "another agent's total": (put(at("BOT94"), 14, THEIRS), at("BOT94"), "BOT94 is of another agent"),
    "another agent's subtotal": (put(at("BOT93"), 14, THEIRS), at("BOT93"), "BOT93 is of another agent"),
    "no total of the office": (drop(at("BOT94")), at("BOT93", 1), "no total of INR2 comes before"),
    "the analysis' total": (put(at("BCT95"), 23, OTHER), at("BCT95"), "BCT95 of INR2 is not the sum"),
    "its offices": (put(at("BCT95"), 18, "00003"), at("BCT95"), "BCT95 counts other offices"),
    "another analysis": (put(at("BCT95"), 14, "1142"), at("BCT95"), "another billing analysis"),
    "no total of the analysis": (drop(at("BCT95")), at("BCT95"), "BCT95 is due"),
    "the file's total": (put(at("BFT99"), 22, OTHER), at("BFT99"), "BFT99 of INR2 is not the sum"),
    "the file's offices": (put(at("BFT99"), 17, "00001"), at("BFT99"), "BFT99 counts other offices"),
    "no end": (cut(at("BCT95")), at("BFT99"), "the file ends where BFT99 is due"),
    "cut in a transaction": (cut(8), 9, "the file ends where"),
    "more after the end": (lambda lines: lines.append(lines[-1]), at("BFT99") + 1, "sequence number does not follow"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_b55_a_broken_file_is_refused_with_its_line_and_the_rule(name: str) -> None:
    change, line, rule = BROKEN[name]
    lines = FILE.records()
    change(lines)
    with pytest.raises(hot.BrokenFile) as broken:
        hot.read(lines, (OURS, THEIRS))
    assert str(broken.value).startswith(f"line {line}: "), broken.value
    assert rule in str(broken.value)


@pytest.mark.parametrize("name", ["BOT94", "BCT95", "BFT99"])
def test_b55_each_level_has_a_total_of_each_currency(name: str) -> None:
    file = Hot(offices=(Office(lines=(Line(), Line(number="1252400123470", currency="USD2"))),))
    lines = file.records()
    [missing] = [at for at, text in enumerate(lines, 1) if text[:3] + text[11:13] == name and text.endswith("USD2")]
    drop(missing)(lines)
    with pytest.raises(hot.BrokenFile, match="no total of USD2 comes before this") as broken:
        hot.read(lines, (OURS,))
    assert str(broken.value).startswith(f"line {missing - 1}: ")


def amounts(sale: Transaction) -> tuple[Money, ...]:
    """A commission of nothing may as well not be there."""
    return sale.gross, sale.net, sale.commission or inr("0")


@given(place=st.integers(0, 136 * 60), letter=st.sampled_from("09{}AJZ x"))
def test_b55_one_changed_character_is_refused_or_changes_no_amount(place: int, letter: str) -> None:
    lines = FILE.records()
    row, column = divmod(place, 136)
    if row >= len(lines):
        return
    lines[row] = lines[row][:column] + letter + lines[row][column + 1 :]
    try:
        found = hot.read(lines, (OURS,))
    except hot.BrokenFile:
        return
    kept = [each for cycle in found.cycles for office in cycle.offices for each in office.transactions]
    expected = ours(FILE)
    if kept:  # the agent's own number may have become another right one
        assert list(map(amounts, kept)) == list(map(amounts, expected))


@pytest.mark.parametrize("agents", [("16383220",), ("1638322",), ("16-38322 0",)])
def test_an_agents_number_is_right_with_and_without_its_check_digit(agents: tuple[str, ...]) -> None:
    assert [layout.agent_code(each) for each in agents] == [OURS]


@pytest.mark.parametrize("text", ["", "16383221", "163832", "163832201", "1638322A", "١٦٣٨٣٢٢٠"])
def test_what_is_no_agents_number_is_none(text: str) -> None:
    assert layout.agent_code(text) is None


@pytest.mark.parametrize("check", ["", "9", "0", "2"])
def test_a_check_digit_is_of_the_number_with_or_without_its_airline_or_not_given(check: str) -> None:
    number = "1252400123456"
    right = {"0": str(int(number) % 7), "2": str(int(number[3:]) % 7)}.get(check, check)
    parts: dict[str, Any] = {"line": 1, "text": f"{'':25}{number} {right:1}".ljust(136)}
    assert layout.checked_number(Record(**parts)) == number
