"""Strict JSON (RFC 8259) within bounds, so that no document holds the event loop for long, whatever its shape.

Names within an object differ (RFC 7493): of a decision that is sent twice, readers take either.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import accumulate
from typing import Any, NoReturn

MAX_DEPTH = 100
MAX_STRUCTURE = 5_000
"""Brackets, braces, colons and commas of one document: they bound its values, and with them the work on them."""
MAX_DIGITS = 1000
"""Characters of one number: the time to read one grows with the square of its length."""

_BOM = b"\xef\xbb\xbf"
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A string; one without an end takes the rest, so that one pass suffices."""
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{}:,"))
_DEPTH_CHANGE = [{b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(bytes([byte]), 0) for byte in range(256)]
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{\]}:,]|-?Infinity|NaN|-?[0-9][0-9.eE+-]*+', re.DOTALL)
_LARGE_EXPONENT = re.compile(r"[eE][+-]?0*+[0-9]{4}")


class MalformedJson(ValueError):
    """The document is not JSON, or exceeds a bound; ``offset`` is where."""

    def __init__(self, offset: int) -> None:
        super().__init__("malformed JSON")
        self.offset = offset


class _Rejected(Exception):
    """A number that JSON does not have or that exceeds a bound, or a name that an object has twice."""


def parse(raw: bytes) -> Any:
    """The document; fractions become ``Decimal``. MalformedJson.

    A byte order mark in front is passed over, as section 8.1 allows.
    """
    raw = raw.removeprefix(_BOM)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedJson(error.start) from None
    if not is_bounded(raw):
        raise MalformedJson(first_fault(text) or 0)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedJson(error.pos) from None
    except _Rejected:
        fault = first_fault(text)
        raise MalformedJson(_second_name(text) if fault is None else fault) from None


def is_bounded(raw: bytes) -> bool:
    """Whether structure and depth are within their bounds. Takes time for at most ``MAX_STRUCTURE`` strings."""
    if len(raw) <= MAX_STRUCTURE and raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return True  # too small for either, whatever its strings contain
    rest, strings = _STRING.subn(b"", raw, MAX_STRUCTURE + 2)
    structure = rest.translate(None, _NOT_STRUCTURE)
    if strings > MAX_STRUCTURE + 1 or len(structure) > MAX_STRUCTURE:
        return False
    return max(accumulate(map(_DEPTH_CHANGE.__getitem__, structure)), default=0) <= MAX_DEPTH


def first_fault(text: str) -> int | None:
    """Where a document first exceeds a bound; None if it does not."""
    depth = structure = strings = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first == '"':
            strings += 1
        elif first in "[{]}:,":
            structure += 1
            depth += _DEPTH_CHANGE[ord(first)]
        elif _is_rejected(token[0]):
            return token.start()
        if depth > MAX_DEPTH or structure > MAX_STRUCTURE or strings > MAX_STRUCTURE + 1:
            return token.start()
    return None


def _second_name(text: str) -> int:
    """Where an object first has a name that it has already; 0 if none does. The text before is JSON."""
    objects: list[set[str]] = []
    name: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        match text[token.start()]:
            case "{" | "[":
                objects.append(set())
            case "}" | "]":
                objects.pop()
            case ":" if name is not None:
                given = json.loads(name[0], strict=False)
                if given in objects[-1]:
                    return name.start()
                objects[-1].add(given)
        name = token if token[0].startswith('"') else None
    return 0


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Rejected
    return made


def _is_rejected(number: str) -> bool:
    return number.endswith(("Infinity", "NaN")) or len(number) > MAX_DIGITS or bool(_LARGE_EXPONENT.search(number))


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _Rejected
    return int(text)


def _fraction(text: str) -> Decimal:
    if _is_rejected(text):
        raise _Rejected
    return Decimal(text)


def _constant(_name: str) -> NoReturn:
    raise _Rejected


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_fraction, parse_constant=_constant, object_pairs_hook=_distinct
)
