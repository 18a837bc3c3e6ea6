"""Duffel's errors as our codes: what was refused, what failed, and what may have been done nevertheless."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

from ...domain.travel import tidy
from ...foundation.backoff import seconds_until
from ..protocols import Code, SupplierError

TEXT_LENGTH = 300
"""Characters of the supplier's own words that are passed on."""

EXPIRED_OFFER = frozenset({"offer_no_longer_available", "offer_expired", "offer_request_already_booked"})
NOT_CREATED = "order_not_created"
DUPLICATE = "duplicate_booking"

_BY_STATUS: Mapping[int, Code] = {401: "authentication", 403: "authorization", 404: "not_found", 429: "rate_limited"}
_BY_TYPE: Mapping[str, Code] = {
    "authentication_error": "authentication",
    "rate_limit_error": "rate_limited",
    "validation_error": "validation_failed",
    "invalid_state_error": "conflict",
}
_BY_CODE: Mapping[str, Code] = {
    "insufficient_permissions": "authorization",
    "insufficient_balance": "permanent",
    "duplicate_booking": "conflict",
    "duplicate_passenger_name": "permanent",
    "already_cancelled": "conflict",
}
_REASONS: Mapping[str, str] = dict.fromkeys(EXPIRED_OFFER, "offer_expired") | {"already_cancelled": "not_cancellable"}
_LATER = frozenset({503, 504})
"""Statuses after which a read may be repeated; after 202, 500 and 502 it must not."""


class DuffelError(SupplierError):
    """A ``SupplierError`` that knows the supplier's own code."""

    vendor_code: str = ""


def failure(status: int, body: Any, headers: Mapping[str, str], now: datetime, *, writes: bool) -> DuffelError:
    """The error that an answer other than 200, 201 and 204 stands for."""
    vendor_code, vendor_type, words = _first(body)
    if _is_open(status) and vendor_code != NOT_CREATED:
        text = f"the supplier has accepted it or fails (HTTP {status}): {words}"
        made = DuffelError("transient", text, unclear=writes, repeatable=status in _LATER)
    else:
        code = _code(status, vendor_code, vendor_type)
        text = _TEXTS.get(code) or (f"{vendor_code}: {words}" if vendor_code else words)
        wait = retry_after(headers, now) if code == "rate_limited" else None
        made = DuffelError(code, text, retry_after=wait, reason=_REASONS.get(vendor_code))
    made.vendor_code = vendor_code
    return made


_TEXTS: Mapping[Code, str] = {
    "authentication": "the supplier does not accept the agency's token",
    "rate_limited": "the supplier's limit of requests is reached",
}


def _is_open(status: int) -> bool:
    """Whether an answer with this status says nothing of the outcome: accepted, redirected, timed out or failed."""
    return status < HTTPStatus.BAD_REQUEST or status in _TIMED_OUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR


_TIMED_OUT = frozenset({HTTPStatus.REQUEST_TIMEOUT})


def _code(status: int, vendor_code: str, vendor_type: str) -> Code:
    if vendor_code in EXPIRED_OFFER:
        return "not_found"
    if vendor_code == NOT_CREATED:
        return "permanent"
    return _BY_CODE.get(vendor_code) or _BY_STATUS.get(status) or _BY_TYPE.get(vendor_type) or "permanent"


def _first(body: Any) -> tuple[str, str, str]:
    """Code, type and words of the first error in an answer."""
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    words = next((text for name in ("message", "title") if (text := first.get(name)) and isinstance(text, str)), "?")
    code, kind = (first.get(name) if isinstance(first.get(name), str) else "" for name in ("code", "type"))
    return _cut(code), _cut(kind), _cut(words)


def _cut(text: Any) -> str:
    return str(tidy(text))[:TEXT_LENGTH] if text else ""


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until ``ratelimit-reset`` or ``retry-after``: a date (RFC 9110) or a number of seconds."""
    for name in ("ratelimit-reset", "retry-after"):
        text = headers.get(name, "").strip()
        if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004  # more are no seconds to wait for
            return float(text)
        seconds = seconds_until(text, now)
        if seconds is not None:
            return seconds
    return None
