"""Garbage collection policy: the start-up heap is frozen, and full collections run only when no turn does.

A full collection blocks the event loop for about a tenth of a second with some hundred conversations, and by default
runs repeatedly while they grow. Young generations are collected as usual.
"""

from __future__ import annotations

import gc

YOUNG, MIDDLE, FULL = 700, 10, 500
"""Thresholds; Python's default for the last is 10. Ours allows some 3.5 million objects between full collections."""
MIN_MIDDLE_COLLECTIONS = 5
"""Collections of the middle generation that make a full one worthwhile."""


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


def collect_if_idle() -> None:
    """Run a full collection if enough objects were allocated since the last one."""
    if frozen() and gc.get_count()[2] >= MIN_MIDDLE_COLLECTIONS:
        gc.collect()
