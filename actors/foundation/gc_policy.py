"""Garbage collection policy: the start-up heap is frozen, and full collections wait for a moment without turns.

A full collection blocks the event loop for about a tenth of a second with some hundred conversations, and by default
runs repeatedly while they grow. Young generations are collected as usual. Where turns never pause, garbage in cycles
bounds the wait.
"""

from __future__ import annotations

import gc

YOUNG, MIDDLE, FULL = 700, 10, 500
"""Thresholds; Python's default for the last is 10. Ours allows some 3.5 million objects between full collections."""
MIN_MIDDLE_COLLECTIONS = 5
"""Collections of the middle generation that make a full one worthwhile."""
MAX_MIDDLE_COLLECTIONS = 50
"""Those after which it waits no longer."""


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
    """Run a full collection if enough objects were allocated since the last one: more of them unless ``idle``."""
    due = MIN_MIDDLE_COLLECTIONS if idle else MAX_MIDDLE_COLLECTIONS
    if frozen() and gc.get_count()[2] >= due:
        gc.collect()
