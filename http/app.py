"""The application: the route table on aiohttp's router, and the runner that serves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong, PayloadEncodingError
from aiohttp.web_protocol import RequestHandler

from ..actors.foundation import log
from . import decode
from .docs import Documents
from .endpoint import Endpoint
from .errors import code_of, problem
from .middleware import REQUEST_ID, SECURITY, Middleware, request_id
from .pages import Pages
from .request_context import Services
from .route import Route
from .routes import ROUTES

SHUTDOWN_SECONDS = 5.0
"""How long handlers may go on when the service stops; aiohttp waits twice this long. Streams end before, by signal."""

HEADERS_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
MAX_LINE, MAX_FIELD = 8 * 1024, 16 * 1024
"""Bytes of a request's address and of one header: cookies of other services on our host come along."""

_log = log.get(__name__)


def make_app(services: Services, routes: Sequence[Route] = ROUTES) -> web.Application:
    """An application that answers ``routes``, the OpenAPI document of them as JSON and page, and letters' pages."""
    frame = Middleware(services.settings)

    async def end_streams(_app: web.Application) -> None:
        services.streams.stop()

    app = web.Application(middlewares=[frame.handle], client_max_size=decode.LIMIT)
    app.on_response_prepare.append(frame.sign)
    app.on_shutdown.append(end_streams)
    for route in (*routes, *Documents(routes, services.settings.version).routes(), *Pages().routes()):
        _add(app, route, services)
    return app


def _add(app: web.Application, route: Route, services: Services) -> None:
    """Parameters match anything between two slashes: whether it is an id is the handler's question, and its own 404."""
    resource = app.router.add_resource(route.path.replace("}", ":[^/]+}"))
    endpoint = Endpoint(route, services)
    for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
        resource.add_route(method, endpoint.answer, expect_handler=endpoint.expect)


class Runner(web.AppRunner):
    """Serves an application the way this service needs it.

    A handler is cancelled when its caller leaves, or streams would leak. aiohttp's own access log would write query
    strings, so there is ours alone. Bodies stay as they were sent: one that is encoded is refused unread.
    """

    def __init__(self, app: web.Application) -> None:
        super().__init__(
            app,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=75,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            auto_decompress=False,
        )

    @property
    def server(self) -> Any:
        """The factory of connections."""
        make: Callable[[], RequestHandler] | None = super().server
        return None if make is None else lambda: _plain_spoken(make())


class _Connection(RequestHandler):
    """A connection that refuses what is no HTTP in JSON, as everything else is refused."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- it quotes what was sent
    ) -> web.StreamResponse:
        """The answer to a request no handler saw: its head could not be read."""
        if request.writer.output_size > 0:
            raise ConnectionError("a head is sent already; another cannot follow")
        name = request_id(request.headers)
        status = _status_of(exc, status)
        _log.info("request_unreadable", status=status, error=type(exc).__name__, request_id=name)
        response = problem(status, "internal_error" if status == HTTPStatus.INTERNAL_SERVER_ERROR else code_of(status))
        response.headers.update({REQUEST_ID: name, **SECURITY})
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What goes wrong between requests. A body that breaks off while it is passed over is its sender's matter."""
        if isinstance(kw.get("exc_info"), PayloadEncodingError | web.RequestPayloadError):
            _log.debug("body_broken", error=type(kw["exc_info"]).__name__)
            return
        super().log_exception(*args, **kw)


def _status_of(failure: BaseException | None, status: int) -> int:
    """The library answers 400 to whatever it cannot read; what is too long has a status of its own."""
    if isinstance(failure, LineTooLong):
        return HTTPStatus.REQUEST_URI_TOO_LONG if MAX_LINE in failure.args else HEADERS_TOO_LARGE
    if isinstance(failure, BadHttpMessage) and "Too many headers" in failure.message:
        return HEADERS_TOO_LARGE
    return status


def _plain_spoken(connection: RequestHandler) -> RequestHandler:
    connection.__class__ = _Connection
    return connection
