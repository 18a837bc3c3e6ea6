"""Downloads, as tests look at them: how soon they begin, how much they hold in memory, and when they have ended."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from tests.figures import gauged
from voyagent.actors.foundation import metrics

if TYPE_CHECKING:
    from tests.service.conftest import Person

FLAT = 8 * 1024 * 1024
"""Bytes of Python objects at most above those before, whatever the length of the file."""


async def ended(held: float) -> None:
    """Wait until the service has let the request go: ``held`` were in progress before it."""
    async with asyncio.timeout(10):
        while gauged(metrics.API_REQUESTS_IN_PROGRESS) > held:  # noqa: ASYNC110  # nothing tells of its end
            await asyncio.sleep(0.05)


async def soonest(who: Person, url: str, opening: bytes) -> float:
    """Seconds until the first piece of a download came, the least of three."""
    took: list[float] = []
    for _ in range(3):
        began = perf_counter()
        async with who.http.get(url, headers=who.headers) as response:
            assert (await response.content.readany()).startswith(opening)
            took.append(perf_counter() - began)
    return min(took)


class Memory:
    """Bytes of Python objects at most above those before."""

    peak = 0


@contextmanager
def measured() -> Iterator[Memory]:
    """Measure what is held in memory meanwhile, by the service in this process, too."""
    memory = Memory()
    gc.collect()
    tracemalloc.start()
    try:
        yield memory
        _, memory.peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
