"""Map refusals to responses: one table of statuses, one body schema."""

from __future__ import annotations

import json
from http import HTTPStatus
from math import ceil
from typing import Any

from aiohttp import hdrs, web

from ..actors.domain import errors
from ..actors.domain.errors import Refusal

STATUS: dict[type[Refusal], int] = {
    errors.BadRequest: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.RequestTimeout: 408,
    errors.Conflict: 409,
    errors.PayloadTooLarge: 413,
    errors.Unsupported: 415,
    errors.Unprocessable: 422,
    errors.Throttled: 429,
    errors.InternalError: 500,
    errors.Unavailable: 503,
}

ROUTER = {404: "Not Found", 405: "Method Not Allowed"}
"""The detail for an unknown path or method (docs/contract/identity.md 2)."""

JSON_HEADERS: dict[str, str] = {hdrs.CONTENT_TYPE: "application/json"}


UNREAD = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE})


class Invalid(errors.Unprocessable):
    """422: the list of validation errors. Items never contain the rejected value."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__("invalid")
        self.items = items

    @property
    def detail(self) -> Any:
        return self.items


def status_of(refusal: Refusal) -> int:
    """The status of the nearest class in the table. KeyError for a class without one: a defect."""
    for known in type(refusal).__mro__:
        if known in STATUS:
            return STATUS[known]
    raise KeyError(type(refusal).__name__)


def refused(refusal: Refusal) -> web.Response:
    """The response to a refused request. After 408, 413 and 415 the rest of the body is not read."""
    status = status_of(refusal)
    response = problem(status, refusal.detail)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        response.headers["Retry-After"] = str(max(1, ceil(refusal.retry_after or 0)))
    elif status in UNREAD:
        response.force_close()
    return response


def crashed(request_id: str) -> web.Response:
    """The response to an unhandled error: the cause is logged under the request id."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", request_id=request_id)


def from_aiohttp(error: web.HTTPException) -> web.Response:
    """Errors of aiohttp in our format: 404 and 405 of the router, and malformed requests."""
    response = problem(error.status, ROUTER.get(error.status) or code_of(error.status))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def code_of(status: int) -> str:
    """The code of a status that has only one, such as ``bad_request``."""
    return HTTPStatus(status).phrase.lower().replace("-", "_").replace(" ", "_")


def problem(status: int, detail: Any, **more: Any) -> web.Response:
    """A JSON response with ``detail``."""
    body = json.dumps({"detail": detail, **more}, separators=(",", ":")).encode()
    return web.Response(status=status, body=body, headers=JSON_HEADERS)
