"""An agency's settings: defaults, validation, and changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from babel.core import get_global

from .errors import Unprocessable

LOCALES = ("en", "hi")
MAX_PER_MINUTE = 10_000
MAX_PER_HOUR = 1_000_000
MAX_DAILY_TOKENS = 2**53 - 1
"""The largest integer every JSON reader keeps exact."""

MAX_PROMPT_SUFFIX = 10_000
MAX_TIMEZONE = 64
NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""Names in the time zone data that name no place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSettings:
    """One agency's settings with their defaults."""

    tenant_id: str
    model: str | None = None
    system_prompt_suffix: str | None = None
    rate_limit_per_minute: int = 60
    rate_limit_per_hour: int = 1000
    daily_token_budget: int | None = None
    locale: str = "en"
    timezone: str = "UTC"
    default_currency: str = "INR"
    invoice_series: str = "INV-{n:06}"
    bill_series: str = "BILL-{n:06}"
    credit_note_series: str = "CN-{n:06}"
    financial_year_start_month: int = 4

    def changed(self, changes: Mapping[str, Any]) -> TenantSettings:
        """These settings with ``changes``. Judged as a whole: an hour allows at least a minute's worth."""
        merged = replace(self, **changes)
        if merged.rate_limit_per_hour < merged.rate_limit_per_minute:
            raise Unprocessable("rate_limit_hour_below_minute")
        return merged

    def differences(self, after: TenantSettings) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields in which ``after`` differs, before and after, as the audit may keep them."""
        old, new = asdict(self), asdict(after)
        names = [name for name in old if old[name] != new[name]]
        return {n: _traced(n, old[n]) for n in names}, {n: _traced(n, new[n]) for n in names}


def _traced(name: str, value: Any) -> Any:
    """The prompt suffix may hold anything an agency knows: only its length and hash are kept."""
    if name != "system_prompt_suffix" or value is None:
        return value
    return {"length": len(value), "sha256": hashlib.sha256(value.encode()).hexdigest()}


@cache
def timezones() -> frozenset[str]:
    """Every IANA zone and link name of the packaged time zone data; the machine's own files are not asked."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split()) - NO_ZONES


@cache
def currencies() -> frozenset[str]:
    """The ISO 4217 codes that are legal tender somewhere today, by the Unicode CLDR."""
    territories: Mapping[str, Any] = get_global("territory_currencies")
    return frozenset(
        code for spans in territories.values() for code, _start, end, tender in spans if tender and end is None
    )


def check_timezone(name: str) -> str:
    """``name`` if it is a zone; ValueError ``invalid_timezone`` otherwise."""
    if len(name) > MAX_TIMEZONE or name not in timezones():
        raise ValueError("invalid_timezone")
    return name


def check_currency(code: str) -> str:
    """``code`` if it is a currency in use, as ISO 4217 writes it; ValueError ``invalid_currency`` otherwise."""
    if code not in currencies():
        raise ValueError("invalid_currency")
    return code
