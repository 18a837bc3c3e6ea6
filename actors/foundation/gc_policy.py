"""Garbage collection policy: the start-up heap is frozen, and full collections wait for a moment without turns.

A full collection blocks the event loop for about a tenth of a second with some hundred conversations, and by default
runs repeatedly while they grow. Young generations are collected as usual. Where turns never pause, garbage in cycles
bounds the wait.

Each full collection is followed by ``malloc_trim(3)``: asyncio takes 256 KiB of the heap for each read of a socket and
gives most of it back at once, which leaves free pages between whatever is allocated meanwhile, and glibc by itself
returns to the system only what is free at the heap's end. Without it a process under constant work grew by 6 MB a
minute while no more memory was in use; with it the call takes 1 to 7 ms.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

YOUNG, MIDDLE, FULL = 700, 10, 500
"""Thresholds; Python's default for the last is 10. Ours allows some 3.5 million objects between full collections."""
MIN_MIDDLE_COLLECTIONS = 5
"""Collections of the middle generation that make a full one worthwhile."""
MAX_MIDDLE_COLLECTIONS = 50
"""Those after which it waits no longer."""
_trim: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's; other C libraries have none."""


def freeze() -> None:
    """Freeze the start-up heap (``gc.freeze``) and raise the threshold of full collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, FULL)


def frozen() -> bool:
    """Whether ``freeze`` was called in this process."""
    return gc.get_threshold() == (YOUNG, MIDDLE, FULL)


def postpone() -> None:
    """Freeze what has been loaded since ``freeze``. Does not block."""
    if frozen():
        gc.freeze()


def collect_if_due(*, idle: bool) -> None:
    """Collect fully and trim the heap if enough was allocated since the last time: more of it unless ``idle``."""
    due = MIN_MIDDLE_COLLECTIONS if idle else MAX_MIDDLE_COLLECTIONS
    if frozen() and gc.get_count()[2] >= due:
        gc.collect()
        if _trim is not None:
            _trim(0)
