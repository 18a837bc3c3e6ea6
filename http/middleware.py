"""What all responses have in common: request id, headers, metrics, log line, and errors as JSON."""

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
from .request_info import REQUEST_INFO, UNMATCHED, RequestInfo

REQUEST_ID = istr("X-Request-ID")
CLIENT_LEFT = 499
"""The status in metrics and log of a request whose client left before the response (nginx's number)."""

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
"""On every response. A page that loads something sets its own content policy."""

ALLOWED_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
ALLOWED_HEADERS = (
    "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-ID, "
    "X-Voyagent-Tenant"
)
EXPOSED_HEADERS = "X-Request-ID, Retry-After, Location, Content-Disposition"
VERSIONS = (HttpVersion10, HttpVersion11)
"""HTTP versions whose message framing is supported; others are refused before the request has an effect."""
METHODS = frozenset(ALLOWED_METHODS.split(", "))
QUIET = ("/health", "/internal", "/app/{stamp}")
"""Paths that machines poll all day, and the console's files: their successes are logged at debug level."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_log = log.get(__name__)


class Middleware:
    """The middleware of all requests, and the signal handler that adds the common headers."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.api_cors_origins)
        self._trusted = settings.trusted_proxies
        self._verbose = settings.log_level == "debug"
        self._log = _log.bind()
        self._common = {**SECURITY, hdrs.VARY: hdrs.ORIGIN}
        if settings.public_url.startswith("https://"):
            self._common[HSTS] = "max-age=31536000"
        self._series: dict[tuple[str, str, int], _Series] = {}

    @web.middleware
    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer the request, count it and log it."""
        info = RequestInfo(request_id(request.headers), _template(request), perf_counter())
        request[REQUEST_INFO] = info
        info.client = self._client(request)
        log.SCOPE.set(log.Scope(info.request_id))
        metrics.API_REQUESTS_IN_PROGRESS.inc()
        status = CLIENT_LEFT
        try:
            response = await self._answer(request, handler, info)
            status = response.status
        finally:
            metrics.API_REQUESTS_IN_PROGRESS.dec()
            self._record(request.method, info, info.prepared.status if info.prepared else status)
        return response

    async def _answer(self, request: web.Request, handler: Handler, info: RequestInfo) -> web.StreamResponse:
        try:
            if request.version not in VERSIONS:
                return problem(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "http_version_not_supported")
            if request.version < HttpVersion11 and hdrs.TRANSFER_ENCODING in request.headers:
                return _unframed()
            if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
                return self._preflight(request)
            return await handler(request)
        except InternalError as failure:
            info.code = failure.code
            return _abort(request, info) or crashed(info.request_id)
        except Refusal as refusal:
            info.code = refusal.code
            return _abort(request, info) or refused(refusal)
        except web.HTTPException as error:
            return _abort(request, info) or await _redirected(request, error) or from_aiohttp(error)
        except Exception as error:  # noqa: BLE001 -- a defect is logged here and answered with 500
            if info.prepared is not None and isinstance(error, ConnectionError):
                return info.prepared  # the viewer disconnected
            info.code = "internal_error"
            _log.exception("request_failed", method=request.method, path=info.template)
            return _abort(request, info) or crashed(info.request_id)

    def _client(self, request: web.Request) -> str | None:
        """The client's address, read at the start: when a stream ends its socket is closed."""
        peer = client(request, self._trusted)
        return None if peer is None else str(peer)

    def _preflight(self, request: web.Request) -> web.Response:
        """Answer a preflight for every path, found or not, so that a page can read the error of the actual request."""
        if request.headers.get(hdrs.ORIGIN) not in self._origins:
            raise BadRequest("cors_origin_not_allowed")
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ALLOWED_METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: "600",
        }
        return web.Response(headers=headers)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the common headers to a response whose head is about to be sent."""
        info = request.get(REQUEST_INFO)
        headers = response.headers
        if info is not None:
            info.prepared = response
            info.first_byte = perf_counter()
        headers[REQUEST_ID] = info.request_id if info is not None else request_id(request.headers)
        page_policy, varies = headers.get(CSP), headers.get(hdrs.VARY)
        headers.update(self._common)
        if page_policy is not None:
            headers[CSP] = page_policy
        if varies is not None:
            headers[hdrs.VARY] = f"{varies}, {hdrs.ORIGIN}"
        if request.path.startswith("/auth/"):
            headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        if request.headers.get(hdrs.ORIGIN) in self._origins:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
            headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS
        if response.status == HTTPStatus.NO_CONTENT:
            headers.popall(hdrs.CONTENT_TYPE, None)

    def _record(self, method: str, info: RequestInfo, status: int) -> None:
        """Count and log the request. The duration of a stream is the time to its first byte."""
        seconds = (info.first_byte or perf_counter()) - info.began
        self._series_of(method, info.template, status).add(seconds)
        quiet = status < HTTPStatus.BAD_REQUEST and info.template.startswith(QUIET)
        if quiet and not self._verbose:
            return
        write = self._log.debug if quiet else self._log.info
        about = {} if info.principal is None else {"user": info.principal.user_id}
        if info.client is not None:
            about["client"] = info.client
        if info.code is not None:
            about["code"] = info.code
        milliseconds = round(seconds * 1000, 1)
        write("request", _clean=True, method=method, path=info.template, status=status, ms=milliseconds, **about)

    def _series_of(self, method: str, template: str, status: int) -> _Series:
        method = method if method in METHODS else "other"
        series = self._series.get((method, template, status))
        if series is None:
            series = self._series[method, template, status] = _Series(method, template, status)
        return series


class _Series:
    """The metric series of one method, path and status, looked up once."""

    def __init__(self, method: str, template: str, status: int) -> None:
        self._requests = metrics.API_REQUESTS_TOTAL.labels(method, template, str(status))
        self._seconds = metrics.API_REQUEST_DURATION_SECONDS.labels(method, template)

    def add(self, seconds: float) -> None:
        self._requests.inc()
        self._seconds.observe(seconds)


def request_id(headers: Mapping[str, str]) -> str:
    """The client's request id if it is well-formed, else a new one."""
    given = headers.get(REQUEST_ID)
    return given if given is not None and _REQUEST_ID.fullmatch(given) else uuid7()


def _unframed() -> web.Response:
    """HTTP/1.0 has no chunks: where such a request ends, a proxy may see otherwise (RFC 9112, 6.1)."""
    response = problem(HTTPStatus.BAD_REQUEST, "bad_request")
    response.force_close()
    return response


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


def _abort(request: web.Request, info: RequestInfo) -> web.StreamResponse | None:
    """Abort a response whose head was sent: its status cannot change, but the client must see that it is incomplete."""
    if info.prepared is not None:
        _log.warning("stream_cut_off", path=info.template)
        if request.transport is not None:
            request.transport.abort()
    return info.prepared


async def _redirected(request: web.Request, error: web.HTTPException) -> web.Response | None:
    """A redirect from a path with trailing slashes to the route without them, if there is one.

    Built from the path alone, never from ``Host``; one that begins with two slashes would name a host.
    """
    path = request.rel_url.raw_path
    bare = path.rstrip("/")
    if error.status != HTTPStatus.NOT_FOUND or bare in {"", path}:
        return None
    match = await request.app.router.resolve(request.clone(rel_url=request.rel_url.with_path(bare, encoded=True)))
    if match.http_exception is not None and match.http_exception.status != HTTPStatus.METHOD_NOT_ALLOWED:
        return None
    query = request.rel_url.raw_query_string
    return web.Response(status=307, headers={hdrs.LOCATION: f"{bare}?{query}" if query else bare})
