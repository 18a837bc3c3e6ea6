"""A connection of the pools: plain Python values, and the agency it serves."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:

    class _Driver(asyncpg.Connection[asyncpg.Record]):
        """asyncpg's connection, its rows read as what the statement says they are."""

        async def fetch(self, query: str, *args: Any, **more: Any) -> list[Any]: ...
        async def fetchrow(self, query: str, *args: Any, **more: Any) -> Any: ...

else:
    _Driver = asyncpg.Connection


class Connection(_Driver):
    """A connection that knows which agency it serves; with ``""`` row-level security shows it no row at all.

    Ids are ``str`` and jsonb is plain Python on it. Transactions are the engine's: an operation begins none.
    """

    tenant: str | None = ""

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
