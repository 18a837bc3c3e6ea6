"""Writing to a client that reads slowly, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fcntl import ioctl
from struct import unpack
from termios import TIOCOUTQ

from aiohttp import web

from ..actors.foundation import log

CHECKS = 8
"""How often within the stall timeout it is checked whether the client received something."""

_log = log.get(__name__)


def unsent(request: web.Request) -> int:
    """Bytes written that the client has not acknowledged; 0 for a closed connection."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return 0
    (in_kernel,) = unpack("i", ioctl(transport.get_extra_info("socket"), TIOCOUTQ, bytes(4)))
    return transport.get_write_buffer_size() + int(in_kernel)


@asynccontextmanager
async def stall_timeout(request: web.Request, seconds: float, event: str) -> AsyncIterator[None]:
    """Abort the connection if the client receives nothing for ``seconds``, and log ``event``. A slow one is waited for.

    Raises ConnectionResetError. A close would wait for the client.
    """
    try:
        async with asyncio.timeout(None) as limit:
            watcher = asyncio.get_running_loop().create_task(_expire(request, limit, seconds))
            try:
                yield
            finally:
                watcher.cancel()
    except TimeoutError:
        _log.info(event, seconds=seconds)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client stalled") from None


async def _expire(request: web.Request, limit: asyncio.Timeout, seconds: float) -> None:
    """End the timeout once the client acknowledged nothing in ``CHECKS`` checks, which only the unsent bytes show.

    Checks are counted, not time: while this process is suspended or busy, it sends nothing that could be acknowledged.
    """
    left, idle = unsent(request), 0
    while idle < CHECKS:
        await asyncio.sleep(seconds / CHECKS)
        now = unsent(request)
        idle = 0 if now < left else idle + 1
        left = now
    limit.reschedule(asyncio.get_running_loop().time())
