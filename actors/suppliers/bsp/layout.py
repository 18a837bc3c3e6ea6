"""The records of a HOT file, IATA's hand-off of a billing analysis, and the places of the fields that are read.

Source: BSP Data Interchange Specifications Handbook (DISH), revisions 22 and 23, chapter 6 (attachment A of PSC
resolution 750). A record has 136 characters: message identifier (1 to 3), sequence number (4 to 11), numeric qualifier
(12 to 13), then its fields; identifier and qualifier are its name. Places count from 1, as the handbook's do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from operator import add
from typing import Final, NamedTuple

LENGTH: Final = 136
REVISIONS: Final = ("22", "23")
"""Handbook revisions whose layout this is, by the first two digits of REVN."""

Place = tuple[int, int]
"""First and last character of a field."""

BSP_ID, AIRLINE, REVISION, STATUS = (14, 16), (17, 19), (20, 22), (23, 26)
PROCESSED, COUNTRY, FILE_SEQUENCE = (27, 32), (37, 38), (39, 44)
"""BFH01, the file's header: BSPI, TACN, REVN, TPST; PRDA, ISOC, FSQN."""

CYCLE, PERIOD_END, RUN = (14, 17), (18, 23), (24, 24)
"""BCH02, a billing analysis: PDAI with PCYC, BAED, DYRI."""

AGENT, OFFICE_CURRENCY = (14, 21), (28, 31)
"""BOH03, a reporting agent: AGTN, CUTP. A total of an office has its agent at the same place."""

HEADER_NUMBER, RECORDS, TICKETING_AIRLINE = (14, 19), (22, 24), (25, 27)
"""BKT06, a transaction: TRNN, TREC with the header itself, TACN."""

ISSUED, NUMBER, DOCUMENT, CHECK_DIGIT = (14, 19), (20, 25), (26, 39), (40, 40)
"""Of each record of a document: DAIS, TRNN, TDNR without its blank end, CDGT."""
CONJUNCTION, CODE = (45, 47), (72, 75)
"""BKS24: CJCP, TRNC."""
TAXES: Final = ((71, 81), (90, 100), (109, 119))
DOCUMENT_AMOUNT = (120, 130)
"""BKS30: three times TMFA; TDAM."""
EFFECTIVE_COMMISSION = (93, 103)
"""BKS39: EFCO."""
COMMISSION_TAXES: Final = ((47, 57), (64, 74), (81, 91), (98, 108))
"""BKS42: four times TOCA."""
RELATED = (26, 39)
"""BKS45: RTDN without its blank end."""
ORIGINAL = (41, 54)
"""BKS46: ORIT without its blank end."""
PAYMENT, REMITTANCE = (26, 35), (98, 108)
"""BKP84: FPTP, REMT."""
CURRENCY = (133, 136)
"""CUTP of all records with amounts: the ISO code and the number of decimals."""

FORMS: Final = frozenset({"BKS30", "BKS39", "BKS42", "BKP84"})
"""Records of a transaction whose amounts are read."""
NUMBERED: Final = ("BKS", "BKI", "BKF", "BKP", "BAR", "BMD", "BCC", "BCX")
"""Families of records that carry the number of their transaction where NUMBER says."""

SALES: Final = ("TKTT", "EMDA", "EMDS", "TASF", "CANX", "CANN")
REFUNDS: Final = ("RFND", "RFNC")
DEBITS: Final = ("ADMA", "ADMD", "ADMS", "ADNT", "SPDR", "SSAD")
CREDITS: Final = ("ACMA", "ACMD", "ACMS", "ACNT", "SPCR", "SSAC")
"""Transaction codes (TRNC). A cancelled document is a sale of nothing; a sale paid with EX is an exchange."""


class Totals(NamedTuple):
    """The sums of a totals record, in minor units: GROS, TREM, TCOM, TTMF, TTCA."""

    gross: int = 0
    remittance: int = 0
    commission: int = 0
    taxes: int = 0
    tax_on_commission: int = 0

    def plus(self, other: Totals) -> Totals:
        return Totals(*map(add, self, other))


TOTALS: Final[Mapping[str, tuple[Place, ...]]] = {
    "BOT93": ((28, 42), (43, 57), (58, 72), (73, 87), (92, 106)),
    "BOT94": ((28, 42), (43, 57), (58, 72), (73, 87), (88, 102)),
    "BCT95": ((23, 37), (38, 52), (53, 67), (68, 82), (83, 97)),
    "BFT99": ((22, 36), (37, 51), (52, 66), (67, 81), (82, 96)),
}
SUBTOTAL_CODE = (88, 91)
"""BOT93: TRNC."""
OFFICES: Final[Mapping[str, Place]] = {"BCT95": (18, 22), "BFT99": (17, 21)}
"""OFCC."""

_PLUS, _MINUS = "{ABCDEFGHI", "}JKLMNOPQR"
_AMOUNT = re.compile(r"([0-9]+)([{A-I}J-R])", re.ASCII)
NAME: Final = re.compile(r"B[A-Z]{2}[0-9]{2}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}[0-9]", re.ASCII)


class Broken(Exception):
    """A rule of the handbook is broken, on ``line`` if the rule is about one record; the text is the rule."""

    def __init__(self, rule: str, line: int | None = None) -> None:
        super().__init__(rule)
        self.line = line


@dataclass(slots=True)
class Record:
    """One record, whole; ``line`` counts from 1, ``name`` is ``"BKS24"``."""

    line: int
    text: str
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.text[:3] + self.text[11:13]

    def get(self, place: Place) -> str:
        """A field without the blanks at its ends."""
        return self.text[place[0] - 1 : place[1]].strip()

    def count(self, place: Place) -> int:
        """A number without sign. Raises ``Broken``."""
        digits = self.text[place[0] - 1 : place[1]]
        if not (digits.isascii() and digits.isdigit()):
            raise Broken(f"characters {place[0]} to {place[1]} are no number", self.line)
        return int(digits)

    def amount(self, place: Place) -> int:
        """A signed amount in minor units: its last character is a digit and the sign. Raises ``Broken``."""
        found = _AMOUNT.fullmatch(self.text[place[0] - 1 : place[1]])
        if found is None:
            raise Broken(f"characters {place[0]} to {place[1]} are no signed amount", self.line)
        digits, last = found.groups()
        return -int(digits + str(_MINUS.index(last))) if last in _MINUS else int(digits + str(_PLUS.index(last)))

    def day(self, place: Place) -> date:
        """A date written YYMMDD, of this century. Raises ``Broken``."""
        digits = self.text[place[0] - 1 : place[1]]
        parts = (
            [int(digits[at : at + 2]) for at in (0, 2, 4)] if re.fullmatch("[0-9]{6}", digits, re.ASCII) else [0] * 3
        )
        try:
            return date(2000 + parts[0], *parts[1:])
        except ValueError:
            raise Broken(f"characters {place[0]} to {place[1]} are no date", self.line) from None

    def currency(self, place: Place = CURRENCY) -> str:
        """A currency type: code and decimals, ``"INR2"``. Raises ``Broken``."""
        found = self.get(place)
        if not _CURRENCY.fullmatch(found):
            raise Broken(f"characters {place[0]} to {place[1]} are no currency type", self.line)
        return found

    def totals(self) -> Totals:
        """The sums of a totals record. Raises ``Broken``."""
        return Totals(*(self.amount(place) for place in TOTALS[self.name]))


def number(record: Record, place: Place) -> str:
    """The thirteen digits of a document. Raises ``Broken``."""
    digits = record.get(place)
    if not re.fullmatch("[0-9]{13}", digits, re.ASCII):
        raise Broken("a document's number has not thirteen digits", record.line)
    return digits


def checked_number(record: Record, place: Place = DOCUMENT) -> str:
    """The same, by its check digit where it has one. Raises ``Broken``.

    The check digit is the number modulo seven, with or without the airline's code; 9 says that there is none.
    """
    digits, check = number(record, place), record.get(CHECK_DIGIT)
    if check not in ("", "9", str(int(digits) % 7), str(int(digits[3:]) % 7)):
        raise Broken("the check digit is not that of the document's number", record.line)
    return digits


def agent_code(text: str) -> str | None:
    """The eight digits of an IATA agent's number: seven and their remainder modulo seven, which may be left out.

    None if it is no such number.
    """
    digits = re.sub("[ -]", "", text)
    if not re.fullmatch("[0-9]{7,8}", digits, re.ASCII):
        return None
    whole = digits[:7] + str(int(digits[:7]) % 7)
    return whole if digits in (whole, whole[:7]) else None
