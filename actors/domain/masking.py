"""Hiding what nobody but a tool may read: passwords, tokens, document and card numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

HIDDEN = ("password", "secret", "token", "authorization", "api_key", "totp", "recovery_code", "cvv", "cvc")
"""Names of which nothing is kept."""
TAILED = ("passport_number", "document_number", "card_number", "visa_number")
"""Names of which the last four characters are kept."""

RETOLD = ("goal",)
"""Names of which the text may repeat what a user has said, passport numbers with it."""
_NUMBER = r"[A-Z]{0,3}[0-9]{5,}[A-Z0-9]*"
"""Five digits in a row at least: a date has fewer."""
_PASSPORTS = re.compile(
    rf"\bpassports?\b[^0-9+\n]{{0,25}}?\b{_NUMBER}(?:(?:\s*[,/&]\s*|\s+and\s+){_NUMBER})*", re.ASCII | re.IGNORECASE
)
"""Numbers behind the word, but for telephone numbers, which a plus sign precedes."""


def without_passports(text: str) -> str:
    """The text with all but the last four characters of passport numbers masked, where it calls them so."""
    return _PASSPORTS.sub(lambda found: re.sub(rf"(?i)\b{_NUMBER}", lambda each: f"***{each[0][-4:]}", found[0]), text)


def masked(value: Any) -> Any:
    """The same JSON value with sensitive fields masked by their names; numbers that are no ints become text."""
    return _as_text(hidden(value))


def hidden(value: Any, name: str = "") -> Any:
    """The same JSON value with sensitive fields masked by their names, and by those of the fields they are in."""
    if isinstance(value, Mapping):
        outer = f"{name}." if "passport" in name or _is_tailed(name) else ""
        return {key: hidden(each, outer + str(key).lower()) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(each, name) for each in value]
    if any(word in name for word in HIDDEN) and value is not None:
        return "***"
    if value is None or isinstance(value, bool):
        return value
    # A model may give a number under another name; a passport's expiry and country have no five digits in a row.
    if _is_tailed(name) or ("passport" in name and re.search(_NUMBER, str(value))):
        return "***" + str(value)[-4:]
    return without_passports(value) if name in RETOLD and isinstance(value, str) else value


def _is_tailed(name: str) -> bool:
    return any(word in name for word in TAILED)


def _as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    return str(value) if isinstance(value, float | Decimal) else value
