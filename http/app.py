"""The application: the route table on aiohttp's router, and the runner that serves it."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong, PayloadEncodingError

from ..actors.foundation import log
from . import decode
from .console.console import Console
from .endpoint import Endpoint
from .errors import code_of, problem
from .head_bound import TOO_MUCH, HeadBound
from .middleware import REQUEST_ID, SECURITY, Middleware, request_id
from .reference.documents import Documents
from .request_context import Services
from .route import Route
from .router import Router
from .routes import ROUTES

SHUTDOWN_SECONDS = 5.0
"""Time for handlers to finish at a stop; aiohttp waits twice this long. Streams are ended before, by signal."""

UNREAD_SECONDS = 120
"""How long a client may take in nothing of what it is sent. Streams and downloads are given up sooner, as is set."""

BACKLOG = 1024
"""Connections that wait to be accepted. As many are accepted before any of them is judged."""

HEADERS_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
MAX_LINE, MAX_FIELD = 8 * 1024, 16 * 1024
"""Bytes of a request's target and of one header: browsers send the cookies of all services on our host."""

READ_SIZE = 16 * 1024
"""Bytes read from a connection before others have their turn. In chunks of one byte (RFC 9112, 7.1) they take 4 ms to
parse; asyncio's own 256 KiB take 25."""

_log = log.get(__name__)


def make_app(services: Services, routes: Sequence[Route] = ROUTES) -> web.Application:
    """An application that serves ``routes``, their OpenAPI document as JSON and page, and the console."""
    middleware = Middleware(services.settings)

    async def end_streams(_app: web.Application) -> None:
        services.streams.stop()

    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # there is no other way to a router
        app = web.Application(middlewares=[middleware.handle], client_max_size=decode.LIMIT, router=Router())
    app.on_response_prepare.append(middleware.add_headers)
    app.on_shutdown.append(end_streams)
    documents = Documents(routes, services.settings.version)
    for route in (*routes, *documents.routes(), *Console().routes()):
        _add(app, route, services)
    return app


def _add(app: web.Application, route: Route, services: Services) -> None:
    """A path parameter matches any segment: whether it is an id is checked by the handler, which has its own 404."""
    resource = app.router.add_resource(route.path.replace("}", ":[^/]+}"))
    endpoint = Endpoint(route, services)
    for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
        resource.add_route(method, endpoint.answer, expect_handler=endpoint.expect)


class Runner(web.AppRunner):
    """Serves an application with this service's own connections and limits.

    A handler is cancelled when its client disconnects, so that streams do not leak.
    """

    def __init__(self, app: web.Application, descriptors: int | None = None) -> None:
        """``descriptors`` is how many files and sockets the process may open, by default what the system allows.

        Two thirds are for connections. Of the rest a backlog is accepted, and one closed, before the next is judged.
        """
        super().__init__(app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
        allowed = allowed_descriptors() if descriptors is None else descriptors
        self._most = allowed * 2 // 3
        self.backlog = min(BACKLOG, allowed // 16)

    @property
    def server(self) -> Any:
        """The factory of connections, which aiohttp's sites call."""
        server = super().server
        return None if server is None else partial(Connection, server, self._most)


def allowed_descriptors() -> int:
    """How many files and sockets the process may open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


class Connection(web.RequestHandler):
    """An HTTP connection that answers malformed requests in JSON, like all other errors.

    aiohttp's access log would write query strings; the middleware has its own. Bodies are not decompressed: encoded
    ones are refused unread.
    """

    __slots__ = ("_most",)

    def __init__(self, server: web.Server, most: int = sys.maxsize) -> None:
        """``most`` connections of ``server`` are open at once."""
        self._most = most
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # what AppRunner documents to switch it off
            keepalive_timeout=75,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            auto_decompress=False,
        )
        self._parser = HeadBound(self._parser)  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what is read, and parsed, at once, and how long what is sent may go unread.

        If too many are connected, whoever idles longest is disconnected.
        """
        transport.max_size = READ_SIZE  # type: ignore[attr-defined]  # of every transport of asyncio's own loop
        if sys.platform == "linux":  # elsewhere there is no such option
            unread = int(UNREAD_SECONDS * 1000)
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread)
        super().connection_made(transport)
        assert self._manager is not None  # until the connection is lost
        connected = self._manager.connections
        if len(connected) > self._most:
            idle = (each for each in connected if isinstance(each, Connection) and each.is_idle)
            next(idle, self).force_close()

    @property
    def is_idle(self) -> bool:
        """Whether it is open and waits for a request: none has come, or none whole, or the next one is awaited."""
        return not self._force_close and self._waiter is not None and not self._waiter.done()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- it quotes what was sent
    ) -> web.StreamResponse:
        """The response to a request whose head could not be read, so that no handler was called."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response has begun already; another cannot follow")
        name = request_id(request.headers)
        status = _status_of(exc, status)
        _log.info("request_unreadable", status=status, error=type(exc).__name__, request_id=name)
        response = problem(status, "internal_error" if status == HTTPStatus.INTERNAL_SERVER_ERROR else code_of(status))
        response.headers.update({REQUEST_ID: name, **SECURITY})
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log an error between requests. A body that breaks off while it is skipped is no error of the service."""
        if isinstance(kw.get("exc_info"), PayloadEncodingError | web.RequestPayloadError):
            _log.debug("body_broken", error=type(kw["exc_info"]).__name__)
            return
        super().log_exception(*args, **kw)


def _status_of(failure: BaseException | None, status: int) -> int:
    """Aiohttp answers 400 to everything it cannot read; a head that is too long has a status of its own."""
    if isinstance(failure, LineTooLong):
        return HTTPStatus.REQUEST_URI_TOO_LONG if MAX_LINE in failure.args else HEADERS_TOO_LARGE
    if isinstance(failure, BadHttpMessage) and TOO_MUCH in failure.message:
        return HEADERS_TOO_LARGE
    return status
