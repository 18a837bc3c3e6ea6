"""When garbage is collected: what a start leaves is spared for good, and full collections wait for a quiet moment.

A full collection stops the loop for as long as it takes to go through all that lives, a tenth of a second with some
hundred conversations, and by itself it comes again and again while they grow. Young objects are collected as ever.
"""

from __future__ import annotations

import gc

YOUNG, MIDDLE, FULL = 700, 10, 500
"""Python's thresholds; the last stands at 10 by itself. At ours some 3.5 million objects may pile up between two."""
WORTH_IT = 5
"""Collections of the middle generation after which a full one may find something."""


def freeze() -> None:
    """The start is over: what is there is there to stay. For a process that does nothing but serve."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, FULL)


def frozen() -> bool:
    """Whether this process has been settled."""
    return gc.get_threshold() == (YOUNG, MIDDLE, FULL)


def postpone() -> None:
    """What has been loaded since is there to stay, too. Stops nothing."""
    if frozen():
        gc.freeze()


def collect_if_idle() -> None:
    """A quiet moment: collect all, if enough has happened since the last time."""
    if frozen() and gc.get_count()[2] >= WORTH_IT:
        gc.collect()
