"""Failures of model calls: the error code for the client, and whether a retry may help."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import anthropic
import httpx2

from ...foundation.backoff import seconds_until
from ...foundation.clock import Clock
from .accumulator import MalformedStream

API_ERRORS = (anthropic.APIError, httpx2.HTTPError, aiohttp.ClientError, OSError, UnicodeDecodeError, MalformedStream)
"""Failures of the connection and of the API. Any other exception is a defect and must not be retried."""


HALF = 0.5
"""The share of a refused request that is sent the second time."""

LEAST = 0.02
"""The smallest share worth sending, whatever the refusal states."""

_TOO_LONG = re.compile(r"([0-9]{1,9}) tokens > ([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A failure's error code for the client, and whether it is transient."""

    code: str
    transient: bool


_UNAVAILABLE = Verdict("model_unavailable", transient=True)
_RATE_LIMITED = Verdict("model_rate_limited", transient=True)
_NOT_CONFIGURED = Verdict("model_not_configured", transient=False)
_REJECTED = Verdict("model_request_rejected", transient=False)

_BY_TYPE = {
    "rate_limit_error": _RATE_LIMITED,
    "authentication_error": _NOT_CONFIGURED,
    "permission_error": _NOT_CONFIGURED,
    "invalid_request_error": _REJECTED,
    "not_found_error": _REJECTED,
    "request_too_large": _REJECTED,
    "billing_error": _REJECTED,
}
"""The API's error types in a stream; all others count as its own failure."""


def judge(error: BaseException) -> Verdict:
    """The verdict on one of `API_ERRORS`."""
    if isinstance(error, MalformedStream):
        return _BY_TYPE.get(error.error_type or "", _UNAVAILABLE)
    if not isinstance(error, anthropic.APIStatusError):
        return _UNAVAILABLE
    verdict = _by_status(error.status_code)
    told_not_to = error.response.headers.get("x-should-retry") == "false"
    return Verdict(verdict.code, transient=False) if told_not_to else verdict


def _by_status(status: int) -> Verdict:
    match status:
        case 401 | 403:
            return _NOT_CONFIGURED
        case 429:
            return _RATE_LIMITED
        case 408 | 409:  # a request that came too slowly, a lock held elsewhere
            return _UNAVAILABLE
    ours = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return _REJECTED if ours else _UNAVAILABLE


def share_taken(error: BaseException) -> float:
    """The share of a refused request that may be accepted; 1.0 if less of it would be refused as well.

    "prompt is too long: 208310 tokens > 200000 maximum" is the vendor's wording.
    """
    match error:
        case anthropic.APIStatusError(status_code=400 | 413):
            said = str(error.body)
        case MalformedStream(error_type="invalid_request_error" | "request_too_large"):
            said = str(error)
        case _:
            return 1.0
    figures = _TOO_LONG.search(said)
    fits = int(figures[2]) / max(int(figures[1]), 1) if figures else 1.0
    return max(min(HALF, fits * 0.8), LEAST)


def cause(error: BaseException) -> dict[str, Any]:
    """A failure's fields for the log: enough to find it at the vendor, no content."""
    if isinstance(error, anthropic.APIStatusError):
        return {"status": error.status_code, "type": error.type, "vendor_request": error.request_id}
    root = error.__cause__ or error
    return {"error": type(root).__name__, "why": str(root)}


def retry_after(error: BaseException, clock: Clock) -> float | None:
    """Seconds the server asks to wait (RFC 9110 10.2.3: seconds or a date; the vendor also states milliseconds)."""
    if not isinstance(error, anthropic.APIStatusError):
        return None
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(headers.get(name, "")) * unit
        if seconds >= 0:
            return seconds
    return seconds_until(headers.get("retry-after", ""), clock.now())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
