"""Reads a HOT file whole and verifies it: the order of its records, their counts, and the totals of each level.

The order is ``BFH01 (BCH02 (BOH03 (BKT06 ... | BOT93)* BOT94*)* BCT95*)* BFT99*``. Totals are by currency, and each is
the sum of what the records before it have (DISH chapter 6).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from ...domain.bsp import Transaction
from . import layout, sales
from .layout import Broken, Record, Totals
from .sales import Sale


class BrokenFile(Exception):
    """The file is no HOT file by the handbook: the line, and the rule it breaks."""

    def __init__(self, line: int, rule: str) -> None:
        super().__init__(f"line {line}: {rule}")


@dataclass(slots=True)
class Office:
    """A reporting agent's part of a billing analysis. Only of agents asked for are the transactions kept."""

    agent: str
    currency: str
    transactions: list[Transaction] = field(default_factory=list)
    sums: dict[tuple[str, str], Totals] = field(default_factory=dict)
    """By currency and transaction code."""
    subtotals: dict[str, Totals] = field(default_factory=dict)

    @property
    def currencies(self) -> set[str]:
        return {currency for currency, _ in self.sums}

    @property
    def codes(self) -> set[str]:
        return {code for _, code in self.sums}

    def add(self, sale: Sale) -> None:
        key = sale.currency, sale.code
        self.sums[key] = self.sums.get(key, Totals()).plus(sale.totals)

    def sum_of(self, currency: str) -> Totals:
        return _total(totals for (of, _), totals in self.sums.items() if of == currency)


@dataclass(slots=True)
class Cycle:
    """A billing analysis: the end of its period, and its offices."""

    id: str
    period_end: date
    is_final: bool
    offices: list[Office] = field(default_factory=list)


@dataclass(slots=True)
class File:
    """A HOT file's header and billing analyses."""

    bsp: str
    airline: str
    country: str
    sequence: str
    processed: str
    cycles: list[Cycle] = field(default_factory=list)

    @property
    def reference(self) -> str:
        """The file by its content: plan, airline, day and sequence number."""
        return " ".join(filter(None, ("HOT", self.bsp, self.airline, self.processed, self.sequence)))


def read(lines: Iterable[str], agents: Container[str]) -> File:
    """The file, verified as a whole, with the transactions of these agents. Raises ``BrokenFile``."""
    reader = _Reader(_records(lines), agents)
    try:
        return reader.file()
    except Broken as broken:
        raise BrokenFile(broken.line or reader.line, str(broken)) from None


def header(record: Record) -> File:
    """A file by its BFH01. Raises ``Broken`` for a test file or another revision of the handbook."""
    if record.name != "BFH01":
        raise Broken("a HOT file begins with BFH01")
    if record.get(layout.STATUS) != "PROD":
        raise Broken("only production files are read")
    if record.get(layout.REVISION)[:2] not in layout.REVISIONS:
        raise Broken(f"its handbook revision is none of {', '.join(layout.REVISIONS)}")
    return File(
        bsp=record.get(layout.BSP_ID),
        airline=record.get(layout.AIRLINE),
        country=record.get(layout.COUNTRY),
        sequence=record.get(layout.FILE_SEQUENCE),
        processed=record.get(layout.PROCESSED),
    )


def cycle(record: Record) -> Cycle:
    """A billing analysis by its BCH02. Raises ``Broken``."""
    period_end = record.day(layout.PERIOD_END)
    return Cycle(record.get(layout.CYCLE), period_end, record.get(layout.RUN) in ("", "F"))


def padded(line: str) -> str:
    """A record in its full length: transfers cut the blanks at its end off."""
    return line.rstrip("\r\n\x1a").ljust(layout.LENGTH)


def _records(lines: Iterable[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        text = padded(line)
        if text.strip():
            yield Record(number, text)


def _total(parts: Iterable[Totals]) -> Totals:
    result = Totals()
    for part in parts:
        result = result.plus(part)
    return result


class _Reader:
    """One file, record by record."""

    def __init__(self, records: Iterator[Record], agents: Container[str]) -> None:
        self.line = 0
        self._agents = agents
        self._records = records
        self._numbered = 0
        self._transactions = 0
        self._next = self._advance()

    def file(self) -> File:
        found = header(self._take("BFH01"))
        while self._at("BCH02"):
            found.cycles.append(self._cycle())
        if not found.cycles:
            raise Broken("BCH02 follows BFH01")
        self._totals_of("BFT99", [office for each in found.cycles for office in each.offices])
        if self._next is not None:
            raise Broken("nothing follows BFT99")
        return found

    def _advance(self) -> Record | None:
        """Read one record ahead; its place in the file is checked when it is taken."""
        return next(self._records, None)

    def _at(self, *names: str) -> bool:
        return self._next is not None and self._next.name in names

    def _take(self, *names: str) -> Record:
        """The next record, which is one of ``names``."""
        record = self._next
        if record is None:
            self.line += 1
            raise Broken(f"the file ends where {' or '.join(names)} is due")
        self.line = record.line
        if len(record.text) != layout.LENGTH:
            raise Broken(f"a record has {layout.LENGTH} characters")
        if not layout.NAME.fullmatch(record.name):
            raise Broken("message identifier and qualifier are no name of a record")
        if names and record.name not in names:
            raise Broken(f"{' or '.join(names)} is due")
        self._numbered += 1
        if record.count((4, 11)) != self._numbered:
            raise Broken("the sequence number does not follow the one before")
        self._next = self._advance()
        return record

    def _cycle(self) -> Cycle:
        found = cycle(self._take("BCH02"))
        while self._at("BOH03"):
            found.offices.append(self._office())
        for record in self._totals_of("BCT95", found.offices):
            if record.get(layout.CYCLE) != found.id:
                raise Broken("BCT95 is of another billing analysis")
        return found

    def _office(self) -> Office:
        record = self._take("BOH03")
        agent = record.get(layout.AGENT)
        office = Office(agent, record.currency(layout.OFFICE_CURRENCY))
        while self._at("BKT06", "BOT93"):
            if self._at("BKT06"):
                self._sale(office)
            else:
                self._subtotal(office)
        for currency in sorted(office.currencies | office.subtotals.keys()):
            if office.subtotals.get(currency) != office.sum_of(currency):
                raise Broken(f"the BOT93 of {currency} are not the sum of its transactions")
        seen: set[str] = set()
        while self._at("BOT94"):
            total = self._take("BOT94")
            if total.get(layout.AGENT) != agent:
                raise Broken("BOT94 is of another agent")
            seen.add(self._verified(total, office.sum_of))
        self._all_closed(seen, [office])
        return office

    def _subtotal(self, office: Office) -> None:
        """BOT93: of one transaction code, or of several under a name of their own, which their sum then shows."""
        record = self._take("BOT93")
        currency, code, totals = record.currency(), record.get(layout.SUBTOTAL_CODE), record.totals()
        if record.get(layout.AGENT) != office.agent:
            raise Broken("BOT93 is of another agent")
        if code in office.codes and totals != office.sums.get((currency, code), Totals()):
            raise Broken(f"BOT93 is not the sum of its transactions {code}")
        office.subtotals[currency] = office.subtotals.get(currency, Totals()).plus(totals)

    def _totals_of(self, name: str, offices: list[Office]) -> list[Record]:
        """The totals records of a billing analysis or of the file, one a currency."""
        found: list[Record] = []
        seen: set[str] = set()
        while self._at(name):
            record = self._take(name)
            found.append(record)
            if not record.get(layout.CURRENCY) and not any(office.sums for office in offices):
                counted, seen = {len(offices)}, {""}
                if record.totals() != Totals():
                    raise Broken(f"{name} of no currency has amounts")
            else:
                currency = self._verified(record, lambda of: _total([each.sum_of(of) for each in offices]))
                seen.add(currency)
                of_currency = [office for office in offices if currency in office.currencies]
                counted = {len(offices), len(of_currency)}
            if record.count(layout.OFFICES[name]) not in counted:
                raise Broken(f"{name} counts other offices than there are")
        if not found:
            self._take(name)
        self._all_closed(seen, offices)
        return found

    def _verified(self, record: Record, total_of: Callable[[str], Totals]) -> str:
        currency = record.currency()
        if record.totals() != total_of(currency):
            raise Broken(f"{record.name} of {currency} is not the sum of its transactions")
        return currency

    def _all_closed(self, seen: set[str], offices: list[Office]) -> None:
        missing = {currency for office in offices for currency in office.currencies} - seen
        if missing:
            raise Broken(f"no total of {', '.join(sorted(missing))} comes before this")

    def _sale(self, office: Office) -> None:
        head = self._take("BKT06")
        self._transactions += 1
        number = head.count(layout.HEADER_NUMBER)
        if number != self._transactions:
            raise Broken("the transaction's number does not follow the one before")
        records = [head]
        for _ in range(head.count(layout.RECORDS) - 1):
            record = self._take()
            if record.name in ("BKT06", "BOT93", "BOT94", "BOH03", "BCT95", "BFT99"):
                raise Broken(f"transaction {number} has fewer records than its header counts")
            if record.text[:3] in layout.NUMBERED and record.count(layout.NUMBER) != number:
                raise Broken(f"the record is not of transaction {number}")
            records.append(record)
        if not self._at("BKT06", "BOT93", "BOT94"):
            self._take("BKT06", "BOT93", "BOT94")
        sale, document = sales.read(records)
        office.add(sale)
        if office.agent in self._agents:
            office.transactions.append(sales.transaction(sale, document, records))
