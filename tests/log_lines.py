"""What the service logs, as it logs in production."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from voyagent.actors.foundation import log


class Written:
    """The lines written since the last look."""

    def __init__(self) -> None:
        self.stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        raw = self.stream.buffer
        assert isinstance(raw, io.BytesIO)
        text = raw.getvalue().decode()
        raw.seek(0)
        raw.truncate()
        return text

    def __call__(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@contextmanager
def as_in_production(level: str = "INFO") -> Iterator[Written]:
    """Log as in production, and read what is logged."""
    root = logging.getLogger()
    handlers, threshold, scope = root.handlers[:], root.level, log.SCOPE.get()
    written = Written()
    log.configure("production", level, stream=written.stream)
    try:
        yield written
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, threshold
        log.SCOPE.set(scope)
