"""What every answer has in common: its id, its headers, its place in the figures and in the log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from time import perf_counter

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler
from multidict import istr

from ..actors.domain.errors import BadRequest, InternalError, Refusal
from ..actors.domain.ids import uuid7
from ..actors.foundation import log, metrics
from ..actors.foundation.config import Settings
from .client_address import client
from .errors import crashed, from_aiohttp, problem, refused
from .request_info import TRACE, UNMATCHED, RequestInfo

REQUEST_ID = istr("X-Request-ID")
CLIENT_LEFT = 499
"""What the figures call a request whose caller had gone before there was an answer (nginx's number)."""

CSP = istr("Content-Security-Policy")
HSTS = istr("Strict-Transport-Security")
SECURITY: dict[str, str] = {
    hdrs.SERVER: "voyagent",
    istr("X-Content-Type-Options"): "nosniff",
    istr("X-Frame-Options"): "DENY",
    istr("Referrer-Policy"): "no-referrer",
    istr("Permissions-Policy"): "camera=(), microphone=(), geolocation=()",
    CSP: "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer. A page that needs more than nothing brings its own content policy."""

ALLOWED_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
ALLOWED_HEADERS = (
    "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-ID, "
    "X-Voyagent-Tenant"
)
EXPOSED_HEADERS = "X-Request-ID, Retry-After, Location, Content-Disposition"
VERSIONS = (HttpVersion10, HttpVersion11)
"""Those whose messages end as ours do; another is refused before it has an effect."""
METHODS = frozenset(ALLOWED_METHODS.split(", "))
QUIET = ("/health", "/internal")
"""Paths whose successes are asked for by machines, all day: not in the log at its usual level."""

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_log = log.get(__name__)


class Middleware:
    """The one middleware, and the signal that puts the common headers on whatever is about to be sent."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.api_cors_origins)
        self._trusted = settings.trusted_proxies
        self._verbose = settings.log_level == "debug"
        self._log = _log.bind()
        self._common = {**SECURITY, hdrs.VARY: hdrs.ORIGIN}
        if settings.public_url.startswith("https://"):
            self._common[HSTS] = "max-age=31536000"
        self._figures: dict[tuple[str, str, int], _Figures] = {}

    @web.middleware
    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn whatever becomes of the request into an answer, count it and log it."""
        trace = RequestInfo(request_id(request.headers), _template(request), perf_counter())
        request[TRACE] = trace
        trace.client = self._client(request)
        log.SCOPE.set(log.Scope(trace.request_id))
        metrics.API_REQUESTS_IN_PROGRESS.inc()
        status = CLIENT_LEFT
        try:
            response = await self._answer(request, handler, trace)
            status = response.status
        finally:
            metrics.API_REQUESTS_IN_PROGRESS.dec()
            self._note(request.method, trace, trace.prepared.status if trace.prepared else status)
        return response

    async def _answer(self, request: web.Request, handler: Handler, trace: RequestInfo) -> web.StreamResponse:
        try:
            if request.version not in VERSIONS:
                return problem(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "http_version_not_supported")
            if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
                return self._preflight(request)
            return await handler(request)
        except InternalError as broken:
            trace.code = broken.code
            return _cut_off(request, trace) or crashed(trace.request_id)
        except Refusal as refusal:
            trace.code = refusal.code
            return _cut_off(request, trace) or refused(refusal)
        except web.HTTPException as error:
            return _cut_off(request, trace) or await _redirected(request, error) or from_aiohttp(error)
        except Exception as error:  # noqa: BLE001 -- the border: a defect ends here, as a line in the log and a 500
            if trace.prepared is not None and isinstance(error, ConnectionError):
                return trace.prepared  # a viewer went away, as viewers do
            trace.code = "internal_error"
            _log.exception("request_failed", method=request.method, path=trace.template)
            return _cut_off(request, trace) or crashed(trace.request_id)

    def _client(self, request: web.Request) -> str | None:
        """Taken at the start: when a stream ends its socket is gone."""
        peer = client(request, self._trusted)
        return None if peer is None else str(peer)

    def _preflight(self, request: web.Request) -> web.Response:
        """Answered for every path, found or not, so that a page can read the error of the request to come."""
        if request.headers.get(hdrs.ORIGIN) not in self._origins:
            raise BadRequest("cors_origin_not_allowed")
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ALLOWED_METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: "600",
        }
        return web.Response(headers=headers)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the headers of every answer on this one; a stream's are sent now."""
        trace = request.get(TRACE)
        headers = response.headers
        if trace is not None:
            trace.prepared = response
            trace.first_byte = perf_counter()
        headers[REQUEST_ID] = trace.request_id if trace is not None else request_id(request.headers)
        own = headers.get(CSP)
        headers.update(self._common)
        if own is not None:
            headers[CSP] = own
        if request.path.startswith("/auth/"):
            headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        if request.headers.get(hdrs.ORIGIN) in self._origins:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
            headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS
        if response.status == HTTPStatus.NO_CONTENT:
            headers.popall(hdrs.CONTENT_TYPE, None)

    def _note(self, method: str, trace: RequestInfo, status: int) -> None:
        """Count the request and write its line; of a stream only the wait for its first byte is time of ours."""
        seconds = (trace.first_byte or perf_counter()) - trace.began
        self._figures_of(method, trace.template, status).add(seconds)
        quiet = status < HTTPStatus.BAD_REQUEST and trace.template.startswith(QUIET)
        if quiet and not self._verbose:
            return
        write = self._log.debug if quiet else self._log.info
        who = {} if trace.principal is None else {"user": trace.principal.user_id}
        if trace.client is not None:
            who["client"] = trace.client
        if trace.code is not None:
            who["code"] = trace.code
        milliseconds = round(seconds * 1000, 1)
        write("request", _clean=True, method=method, path=trace.template, status=status, ms=milliseconds, **who)

    def _figures_of(self, method: str, template: str, status: int) -> _Figures:
        method = method if method in METHODS else "other"
        figures = self._figures.get((method, template, status))
        if figures is None:
            figures = self._figures[method, template, status] = _Figures(method, template, status)
        return figures


class _Figures:
    """The series of one method, path and status, looked up once."""

    def __init__(self, method: str, template: str, status: int) -> None:
        self._requests = metrics.API_REQUESTS_TOTAL.labels(method, template, str(status))
        self._seconds = metrics.API_REQUEST_DURATION_SECONDS.labels(method, template)

    def add(self, seconds: float) -> None:
        self._requests.inc()
        self._seconds.observe(seconds)


def request_id(headers: Mapping[str, str]) -> str:
    """The caller's own id if it is sane, else a fresh one."""
    given = headers.get(REQUEST_ID)
    return given if given is not None and _SANE_ID.fullmatch(given) else uuid7()


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


def _cut_off(request: web.Request, trace: RequestInfo) -> web.StreamResponse | None:
    """End a stream whose head is sent already: no status can change, but the caller must see that it is not whole."""
    if trace.prepared is not None:
        _log.warning("stream_cut_off", path=trace.template)
        if request.transport is not None:
            request.transport.abort()
    return trace.prepared


async def _redirected(request: web.Request, error: web.HTTPException) -> web.Response | None:
    """The way to a path written with a slash too many, if there is something without it.

    Built from the path alone, never from ``Host``; a path that begins with two slashes names a host, and is no route.
    """
    path = request.rel_url.raw_path
    bare = path.rstrip("/")
    if error.status != HTTPStatus.NOT_FOUND or bare in {"", path}:
        return None
    found = await request.app.router.resolve(request.clone(rel_url=request.rel_url.with_path(bare, encoded=True)))
    if found.http_exception is not None and found.http_exception.status != HTTPStatus.METHOD_NOT_ALLOWED:
        return None
    query = request.rel_url.raw_query_string
    return web.Response(status=307, headers={hdrs.LOCATION: f"{bare}?{query}" if query else bare})
