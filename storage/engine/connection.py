"""A connection of the pools: plain Python values, and the agency it serves."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg

if TYPE_CHECKING:

    class _Driver(asyncpg.Connection[asyncpg.Record]):
        """asyncpg's connection, its rows read as what the statement says they are."""

        async def fetch(self, query: str, *args: Any, **more: Any) -> list[Any]: ...
        async def fetchrow(self, query: str, *args: Any, **more: Any) -> Any: ...

else:
    _Driver = asyncpg.Connection


PROBED: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds until a connection on which nothing passes is probed, and between probes; and how many may be lost.

A firewall forgets one that is silent, most after some minutes, and tells neither end: whoever used it next would wait
for an answer until the limit of a statement.
"""


class Connection(_Driver):
    """A connection that knows which agency it serves; with ``""`` row-level security shows it no row at all.

    Ids are ``str`` and jsonb is plain Python on it. Transactions are the engine's: an operation begins none.
    """

    tenant: str | None = ""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *more: Any) -> None:
        super().__init__(protocol, transport, *more)
        line = transport.get_extra_info("socket")
        if sys.platform == "linux" and line.family in {socket.AF_INET, socket.AF_INET6}:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in PROBED.items():
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    async def serve(self, tenant: str) -> None:
        """Serve ``tenant`` from now on. To be called outside a transaction, whose rollback would undo it unseen."""
        if tenant != self.tenant:
            self.tenant = None  # unknown, should this be interrupted
            await self.fetchval("SELECT set_config('voyagent.tenant_id', $1, false)", tenant)
            self.tenant = tenant

    async def close(self, **more: Any) -> None:
        """Close it. That its server is gone, or does not answer any more, is no failure of this."""
        with suppress(OSError):  # the driver has dropped it all the same
            await super().close(**more)
