"""How much Python code a call runs, counted: the same on every machine, however busy it is."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Effort:
    """Lines of Python that were run. What C code does within one of them is not seen."""

    lines = 0


@contextmanager
def counted() -> Iterator[Effort]:
    """Count the lines that are run within, in this thread, but for those of finalizers that a collection would run."""
    effort, before, collects = Effort(), sys.gettrace(), gc.isenabled()

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        effort.lines += event == "line"
        return trace

    gc.disable()
    sys.settrace(trace)
    try:
        yield effort
    finally:
        sys.settrace(before)
        if collects:
            gc.enable()
