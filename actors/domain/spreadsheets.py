"""CSV (RFC 4180) that a spreadsheet opens without running any of it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""UTF-8's, by which spreadsheets recognise the encoding."""

_FORMULA: Final = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""First characters of a formula (OWASP, CSV Injection), full-width ones included."""
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_PHONE: Final = re.compile(r"\+\d{7,15}", re.ASCII)
"""A telephone number (E.164), which a spreadsheet would read as a number and round."""


def cell(text: str | None) -> str:
    """The text of a cell: with a leading ``'`` if a spreadsheet would read it as a formula. ``None`` is empty."""
    if not text:
        return ""
    is_number = _NUMBER.fullmatch(text) and not _PHONE.fullmatch(text)
    return f"'{text}" if _FORMULA.match(text) and not is_number else text


def lines(rows: Iterable[Iterable[str | None]]) -> bytes:
    """The rows in UTF-8, each ended by CRLF, quoted where necessary."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(map(cell, row) for row in rows)
    return text.getvalue().encode()
