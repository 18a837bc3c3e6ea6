"""The line a human decides by: values in it cannot look like fields, whatever somebody has named themselves.

What the service knows of itself (price, supplier, times, codes) stands before what others have written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from ...domain.travel import tidy_name

NAME_SHOWN = 60
"""Characters of a name in a summary; nine such names, four flights and the price still fit its 1,024."""

_PLAIN = frozenset(" '\u2019-.\u00b7")
"""Beside letters, what names are made of; whatever has anything else in it is put in quotes."""
_CODE = re.compile(r"[A-Z0-9][A-Z0-9/_-]*", re.ASCII | re.IGNORECASE)
_MOST_MARKS = 4
"""Marks on one letter: no script needs more, and a pile of them covers the line above."""


def shown(text: str, room: int = NAME_SHOWN) -> str:
    """Somebody else's words on one line, as much of them as there is room for.

    Only letters and what joins names stand as they are; anything else is quoted, and no quote mark within ends that.
    """
    tidied = _thinned(tidy_name(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")))
    plain = all(sign in _PLAIN or unicodedata.category(sign)[0] in "LM" for sign in tidied)
    if plain and tidied:
        return _cut(tidied, room)
    within = "".join("'" if "QUOTATION" in unicodedata.name(sign, "") else sign for sign in tidied)
    return f"“{_cut(within, max(room - 2, 1))}”"


def code(text: str, room: int = 128) -> str:
    """A reference, locator or account number: as it stands if it is one word of plain signs."""
    return text if len(text) <= room and _CODE.fullmatch(text) else shown(text, room)


def listed(texts: Iterable[str], room: int = NAME_SHOWN) -> str:
    """Several of them, commas between."""
    return ", ".join(shown(text, room) for text in texts)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _thinned(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for sign in text:
        marks = marks + 1 if unicodedata.category(sign)[0] == "M" else 0
        if marks <= _MOST_MARKS:
            kept.append(sign)
    return "".join(kept)
