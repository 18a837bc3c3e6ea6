"""The refusals every layer may raise: a stable wire code, never a cause."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A declared refusal: raised by rules, actors and storage, sent to the asker, mapped to a status by ``http``.

    ``code`` is the stable wire code. ``retry_after`` (seconds) becomes the ``Retry-After`` header.
    """

    def __init__(self, code: str, *, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after

    @property
    def detail(self) -> Any:
        """The JSON value under ``detail`` in the answer's body."""
        return self.code


class BadRequest(Refusal):
    """400: well-formed, but against a rule."""


class Unauthorized(Refusal):
    """401: not authenticated."""


class Forbidden(Refusal):
    """403: authenticated, but not permitted."""


class NotFound(Refusal):
    """404: not found, or another agency's."""


class Conflict(Refusal):
    """409: the resource's state does not allow it."""


class RequestTimeout(Refusal):
    """408: the request did not arrive in time (RFC 9110, 15.5.9)."""


class PayloadTooLarge(Refusal):
    """413: the body is too large."""


class Unsupported(Refusal):
    """415: unsupported media type or encoding."""


class Unprocessable(Refusal):
    """422 with a code: a named rule of the contract."""


class Throttled(Refusal):
    """429: too many requests."""


class Unavailable(Refusal):
    """503: a dependency is unavailable; the client may retry."""

    def __init__(self, code: str, *, retry_after: float = 1.0) -> None:
        super().__init__(code, retry_after=retry_after)


class InternalError(Refusal):
    """500: the operation failed because of a defect, whose cause is logged; the actor continues."""


class WeakPassword(BadRequest):
    """400 ``password_too_weak`` with the rule that was broken."""

    def __init__(self, rule: str) -> None:
        super().__init__("password_too_weak")
        self.rule = rule

    @property
    def detail(self) -> Any:
        return {"error": self.code, "code": self.rule}
