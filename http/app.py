"""The application: the route table on aiohttp's router, and the runner that serves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from ..actors import log
from . import decode
from .call import Services
from .docs import Documents
from .endpoint import Endpoint, expect
from .errors import problem
from .middleware import REQUEST_ID, SECURITY, Frame, request_id
from .pages import Pages
from .route import Route
from .routes import ROUTES

SHUTDOWN_SECONDS = 5.0
"""How long handlers may go on when the service stops; aiohttp waits twice this long. Streams end before, by signal."""

_log = log.get(__name__)


def make_app(services: Services, routes: Sequence[Route] = ROUTES) -> web.Application:
    """An application that answers ``routes``, the OpenAPI document of them as JSON and page, and letters' pages."""
    frame = Frame(services.settings)

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
    answer = Endpoint(route, services).answer
    for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
        resource.add_route(method, answer, expect_handler=expect)


class Runner(web.AppRunner):
    """Serves an application the way this service needs it.

    A handler is cancelled when its caller leaves, or streams would leak. aiohttp's own access log would write query
    strings, so there is ours alone.
    """

    def __init__(self, app: web.Application) -> None:
        super().__init__(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, keepalive_timeout=75
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
        _log.info("request_unreadable", status=status, error=type(exc).__name__, request_id=name)
        response = problem(status, HTTPStatus(status).phrase)
        response.headers.update({REQUEST_ID: name, **SECURITY})
        response.force_close()
        return response


def _plain_spoken(connection: RequestHandler) -> RequestHandler:
    connection.__class__ = _Connection
    return connection
