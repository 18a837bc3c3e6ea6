"""The refusals every layer may raise: a stable wire code, never a cause."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A declared "no": raised by rules, actors and storage, carried to the asker, answered by one table in ``http``.

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
    """401: nobody we know."""


class Forbidden(Refusal):
    """403: known, but may not."""


class NotFound(Refusal):
    """404: unknown here, or another agency's."""


class Conflict(Refusal):
    """409: the thing's state does not allow it."""


class RequestTimeout(Refusal):
    """408: the request did not arrive in time (RFC 9110, 15.5.9)."""


class PayloadTooLarge(Refusal):
    """413: more bytes than are read."""


class Unsupported(Refusal):
    """415: a body in a form that is not taken."""


class Unprocessable(Refusal):
    """422 with a code as a string: a rule of the contract that has a name."""


class Throttled(Refusal):
    """429: too often."""


class Unavailable(Refusal):
    """503: a part this answer needs is away; the caller may try again."""

    def __init__(self, code: str, *, retry_after: float = 1.0) -> None:
        super().__init__(code, retry_after=retry_after)


class InternalError(Refusal):
    """500: what was asked met a defect. Its cause is in the log; the actor that answers this goes on."""


class WeakPassword(BadRequest):
    """400 ``password_too_weak`` with the rule that was broken."""

    def __init__(self, rule: str) -> None:
        super().__init__("password_too_weak")
        self.rule = rule

    @property
    def detail(self) -> Any:
        return {"error": self.code, "code": self.rule}
