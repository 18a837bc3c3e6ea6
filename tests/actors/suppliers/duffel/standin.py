"""A stand-in for Duffel's API: searches, offers, orders, payments and cancellations, with failures by route.

Run by hand, with any token that begins with ``duffel_test_``; each token is an account of its own:

    python -m tests.actors.suppliers.duffel.standin --port 8090
    VOYAGENT_SUPPLIERS=duffel VOYAGENT_DUFFEL_BASE_URL=http://127.0.0.1:8090 VOYAGENT_DUFFEL_TOKEN=duffel_test_me \
        python run.py --embedded

Routes between real airports sell well. Duffel's own test routes behave as Duffel documents them; ours begin with Q and
are listed in ``inventory.ROUTES``: search for a flight to one of these, and book it.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.actors.suppliers.duffel.broken_answers import Broken, broken
from tests.actors.suppliers.duffel.inventory import (
    ROUTES,
    Refused,
)
from tests.actors.suppliers.duffel.ordering import Orders
from tests.actors.suppliers.duffel.searching import Searches


class Standin(Searches, Orders):
    """The server: its routes, and what holds for every request."""

    _runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        app = web.Application(middlewares=[self._envelope], client_max_size=1024**2)
        app.add_routes(
            [
                web.post("/air/offer_requests", self.search),
                web.get("/air/offers", self.offers),
                web.get("/air/offers/{id}", self.offer),
                web.post("/air/orders", self.order),
                web.get("/air/orders", self.orders),
                web.get("/air/orders/{id}", self.read),
                web.patch("/air/orders/{id}", self.patch),
                web.post("/air/payments", self.pay),
                web.post("/air/order_cancellations", self.quote),
                web.get("/air/order_cancellations/{id}", self.read_quote),
                web.post("/air/order_cancellations/{id}/actions/confirm", self.confirm),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _envelope(self, request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        self.log.append((request.method, request.path))
        try:
            self._admit(request)
            return self._answer(request, *await handler(request))
        except (Refused, Broken) as failure:
            return await broken(request, self.clock, failure)

    def _admit(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token.startswith("duffel_test_"):
            raise Refused(401, "authentication_error", "access_token_not_found", "The access token is not known")
        if token == "duffel_test_expired":
            raise Refused(401, "authentication_error", "expired_access_token", "The access token has expired")
        if request.headers.get("Duffel-Version") != "v2":
            raise Refused(400, "invalid_request_error", "unsupported_version", "The version is not supported")
        if request.can_read_body and request.content_type != "application/json":
            raise Refused(400, "invalid_request_error", "invalid_content_type_header", "The content type is wrong")


async def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8090)
    standin = Standin()
    print(await standin.start(parser.parse_args().port), flush=True)  # noqa: T201  # its address, for whoever runs it
    for code, text in ROUTES.items():
        print(f"  to {code}: {text}", flush=True)  # noqa: T201  # the same
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
