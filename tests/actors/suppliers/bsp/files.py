"""Writes HOT files as a settlement plan does, places counted as the handbook counts them (DISH 23, chapter 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

PLUS, MINUS = "{ABCDEFGHI", "}JKLMNOPQR"
OURS, THEIRS = "16383220", "16391340"


def signed(amount: int, width: int = 11) -> str:
    """An amount in minor units with its sign in the last character."""
    digits = f"{abs(amount):0{width}d}"
    return digits[:-1] + (MINUS if amount < 0 else PLUS)[int(digits[-1])]


def record(name: str, fields: dict[int, str]) -> str:
    """A record without its sequence number; each field begins at its place."""
    text = [" "] * 136
    for place, value in ({1: name[:3], 12: name[3:]} | fields).items():
        text[place - 1 : place - 1 + len(value)] = value
    assert len(text) == 136, fields
    return "".join(text)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One transaction, amounts in minor units. ``cash`` is what is remitted: all of it if nothing is said."""

    number: str = "1252400123456"
    code: str = "TKTT"
    fare: int = 40_000_00
    taxes: Sequence[int] = (5_000_00, 200_00)
    commission: int = 0
    tax_on_commission: int = 0
    cash: int | None = None
    payment: str = "CA"
    issued: str = "261120"
    currency: str = "INR2"
    related: str = ""
    original: str = ""
    conjunctions: Sequence[str] = ()
    unknown: int = 0
    """How many records of a kind nobody knows it has."""

    @property
    def gross(self) -> int:
        return self.fare + sum(self.taxes)

    @property
    def remitted(self) -> int:
        return self.gross + self.commission + self.tax_on_commission if self.cash is None else self.cash

    @property
    def sums(self) -> tuple[int, ...]:
        return (self.gross, self.remitted, self.commission, sum(self.taxes), self.tax_on_commission)

    def records(self, serial: int, agent: str) -> list[str]:
        head = {14: f"{serial:06d}", 25: self.number[:3], 65: "GDSL"}

        def of(name: str, number: str, fields: dict[int, str]) -> str:
            check = str(int(number[3:]) % 7)
            return record(name, {14: self.issued, 20: f"{serial:06d}", 26: number, 40: check} | fields)

        made = [of("BKS24", self.number, {41: "FFVV", 48: agent, 72: self.code, 86: "ABC234/1A"})]
        parts = [self.taxes[at : at + 3] for at in range(0, max(len(self.taxes), 1), 3)]
        for at, taxes in enumerate(parts):
            amounts = {41: signed(0 if at else self.fare), 52: signed(0), 120: signed(0 if at else self.gross)}
            for place in (63, 82, 101):
                amounts |= {place: "        ", place + 8: signed(0)}
            for place, tax in zip((63, 82, 101), taxes, strict=False):
                amounts |= {place: "YQ      ", place + 8: signed(tax)}
            made.append(of("BKS30", self.number, amounts | {133: self.currency}))
        rates = {41: "I  ", 50: "00000", 55: signed(self.commission), 77: signed(0), 88: "00000"}
        made.append(of("BKS39", self.number, rates | {93: signed(self.commission), 104: signed(0), 133: self.currency}))
        if self.tax_on_commission:
            taxed = {41: "GST   ", 47: signed(self.tax_on_commission), 64: signed(0), 81: signed(0), 98: signed(0)}
            made.append(of("BKS42", self.number, taxed | {133: self.currency}))
        if self.related:
            made.append(of("BKS45", self.related, {14: "261122", 60: "1000"}))
        if self.original:
            made.append(of("BKS46", self.number, {41: self.original, 55: "DEL", 58: "10NOV26", 65: agent}))
        made += [of("BKS24", number, {45: "CNJ", 48: agent, 72: self.code}) for number in self.conjunctions]
        made.append(of("BAR64", self.number, {41: "INR 40000.00"}))
        made.append(of("BAR65", self.number, {41: "RAO/ASHA MS"}))
        made += [record("BTS86", {14: self.issued, 20: f"{serial:06d}"})] * self.unknown
        if self.payment != "CA":
            made.append(self._payment(serial, self.payment, self.gross, 0))
        made.append(self._payment(serial, "CA", self.gross if self.payment == "CA" else 0, self.remitted))
        return [record("BKT06", head | {22: f"{len(made) + 1:03d}"}), *made]

    def _payment(self, serial: int, form: str, amount: int, remitted: int) -> str:
        paid = {26: form, 36: signed(amount), 98: signed(remitted), 133: self.currency}
        return record("BKP84", {14: self.issued, 20: f"{serial:06d}"} | paid)


CARD_SALE = Line(number="1252400123457", payment="CCVI4938", cash=0)
REFUND = Line(
    number="1259000000001", code="RFND", fare=-30_000_00, taxes=(-5_000_00,), related="1252400000009", issued="261121"
)
DEBIT = Line(number="1256000000001", code="ADMA", fare=300_00, taxes=(), related="1252400000009")
CREDIT = Line(number="1258000000001", code="ACMA", fare=-20_50, taxes=())


@dataclass(frozen=True, kw_only=True)
class Office:
    """A reporting agent."""

    agent: str = OURS
    lines: Sequence[Line] = (Line(),)
    currency: str = "INR2"


@dataclass(frozen=True, kw_only=True)
class Hot:
    """A file of one billing analysis. ``cycles`` are further ones, each an end and its offices."""

    offices: Sequence[Office] = (Office(),)
    period_end: str = "261122"
    run: str = "F"
    country: str = "IN"
    airline: str = "125"
    sequence: str = "000041"
    status: str = "PROD"
    revision: str = "230"
    code_of_subtotals: str = ""
    """The name under which a plan sums its sales, instead of one for each transaction code."""
    before: Sequence[Hot] = field(default=())

    def but(self, **changes: object) -> Hot:
        return replace(self, **changes)  # type: ignore[arg-type]

    def records(self) -> list[str]:
        head = {14: "DEL", 17: self.airline, 20: self.revision, 23: self.status, 27: "261123", 33: "0330"}
        made = [record("BFH01", head | {37: self.country, 39: self.sequence})]
        serial, everything = 0, [office for each in (*self.before, self) for office in each.offices]
        for each in (*self.before, self):
            made.append(record("BCH02", {14: "1141", 18: each.period_end, 24: each.run, 25: each.period_end}))
            for office in each.offices:
                made.append(record("BOH03", {14: office.agent, 22: each.period_end, 28: office.currency}))
                for line in office.lines:
                    serial += 1
                    made += line.records(serial, office.agent)
                made += self._office_totals(office, each.period_end)
            made += _totals("BCT95", {14: "1141"}, each.offices, count=18, first=23)
        made += _totals("BFT99", {14: "DEL"}, everything, count=17, first=22)
        return [f"{text[:3]}{at:08d}{text[11:]}" for at, text in enumerate(made, 1)]

    def _office_totals(self, office: Office, end: str) -> list[str]:
        named = [(self.code_of_subtotals or line.code, line) for line in office.lines]
        head = {14: office.agent, 22: end}
        made = []
        for code, currency in sorted({(code, line.currency) for code, line in named}):
            sums = _sum(line for name, line in named if (name, line.currency) == (code, currency))
            made.append(record("BOT93", head | _amounts(sums, 28, (4, 91 + 1)) | {88: code, 133: currency}))
        for currency in sorted({line.currency for line in office.lines}):
            sums = _sum(line for line in office.lines if line.currency == currency)
            made.append(record("BOT94", head | _amounts(sums, 28) | {133: currency}))
        return made

    def text(self, end: str = "\r\n") -> str:
        return "".join(text.rstrip() + end for text in self.records())

    def write(self, folder: Path, name: str = "statement") -> Path:
        path = folder / name
        path.write_bytes(self.text().encode("latin-1"))
        return path


def _sum(lines: Iterable[Line]) -> tuple[int, ...]:
    return tuple(sum(each) for each in zip(*(line.sums for line in lines), strict=True)) or (0,) * 5


def _amounts(sums: Sequence[int], first: int, moved: tuple[int, int] = (-1, 0)) -> dict[int, str]:
    """Fields of fifteen characters one after the other; the one at ``moved`` stands elsewhere."""
    places = [moved[1] if at == moved[0] else first + 15 * at for at in range(len(sums))]
    return {place: signed(amount, 15) for place, amount in zip(places, sums, strict=True)}


def _totals(name: str, head: dict[int, str], offices: Sequence[Office], count: int, first: int) -> list[str]:
    lines = [line for office in offices for line in office.lines]
    currencies = sorted({line.currency for line in lines}) or ["    "]
    return [
        record(
            name,
            head
            | {count: f"{len(offices):05d}", 133: currency}
            | _amounts(_sum(line for line in lines if line.currency == currency), first),
        )
        for currency in currencies
    ]
