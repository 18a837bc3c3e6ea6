"""What the answer, the access log and the figures of one request have in common."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from ..actors.domain.identity import Principal

UNMATCHED = "unmatched"
"""Stands for the path of a request no route was found for: a raw path never becomes a label or a log field."""


@dataclass(slots=True)
class RequestInfo:
    """One request's marks. ``prepared`` is the answer whose head is on the wire, ``first_byte`` when that was.

    ``code`` is what a refusal was told as; ``client`` the address the request came from.
    """

    request_id: str
    template: str
    began: float
    principal: Principal | None = None
    prepared: web.StreamResponse | None = None
    first_byte: float | None = None
    code: str | None = None
    client: str | None = None


TRACE = web.RequestKey("voyagent.trace", RequestInfo)
