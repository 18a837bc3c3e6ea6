"""Threads for work that would hold up the event loop: files, and long computations.

They are the service's own. The event loop's are left to the look-ups of names by the libraries: where a name server
does not answer, each of these holds its thread for half a minute, and there are few.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_THREADS: Final = ThreadPoolExecutor(4, thread_name_prefix="work")


async def in_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What ``work`` returns or raises, run in a thread with the context of the caller. It ends if nobody waits, too."""
    within = partial(contextvars.copy_context().run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, within)
