"""Approval summaries: values in the line cannot be mistaken for its fields, whatever a name contains.

Our own values (price, supplier, times, codes) come before text written by others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from ...domain.travel import tidy_name

NAME_SHOWN = 60
"""Characters of a name in a summary; nine such names, four flights and the price still fit its 1,024."""

_PLAIN = frozenset(" '\u2019-.\u00b7")
"""Characters of names beside letters; text with any other character is quoted."""
_CODE = re.compile(r"[A-Z0-9][A-Z0-9/_-]*", re.ASCII | re.IGNORECASE)
_MOST_MARKS = 4
"""Combining marks per letter: no script needs more, and many of them overlap the line above."""


def shown(text: str, limit: int = NAME_SHOWN) -> str:
    """Text of others on one line, truncated to ``limit``.

    Letters and joiners of names are left as they are; anything else is quoted, and quote marks inside are replaced.
    """
    tidied = _limit_marks(tidy_name(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")))
    plain = all(sign in _PLAIN or unicodedata.category(sign)[0] in "LM" for sign in tidied)
    if plain and tidied:
        return _cut(tidied, limit)
    within = "".join("'" if "QUOTATION" in unicodedata.name(sign, "") else sign for sign in tidied)
    return f"“{_cut(within, max(limit - 2, 1))}”"


def code(text: str, limit: int = 128) -> str:
    """A reference, locator or account number: unquoted if it is one word of plain characters."""
    return text if len(text) <= limit and _CODE.fullmatch(text) else shown(text, limit)


def listed(texts: Iterable[str], limit: int = NAME_SHOWN) -> str:
    """Several values, separated by commas."""
    return ", ".join(shown(text, limit) for text in texts)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _limit_marks(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for sign in text:
        marks = marks + 1 if unicodedata.category(sign)[0] == "M" else 0
        if marks <= _MOST_MARKS:
            kept.append(sign)
    return "".join(kept)
