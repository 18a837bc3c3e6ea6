"""Facts of one request that its response, its metrics and its log line share."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from ..actors.domain.identity import Principal

UNMATCHED = "unmatched"
"""The template of a request that matches no route: a raw path never becomes a label or a log field."""


@dataclass(slots=True)
class RequestInfo:
    """One request. ``prepared`` is the response whose head was sent, ``first_byte`` the time of that.

    ``template`` is the route's path, ``code`` that of the refusal, ``client`` the address the request came from.
    """

    request_id: str
    template: str
    began: float
    principal: Principal | None = None
    prepared: web.StreamResponse | None = None
    first_byte: float | None = None
    code: str | None = None
    client: str | None = None


REQUEST_INFO = web.RequestKey("voyagent.request_info", RequestInfo)
