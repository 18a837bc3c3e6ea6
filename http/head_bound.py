"""A bound for the whole head of a request: aiohttp bounds each header and their number, which together are 2 MiB."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import StreamReader
from aiohttp.http_exceptions import BadHttpMessage

MAX_HEAD: Final = 64 * 1024
"""Bytes of a head that are kept while the rest of it is awaited."""

TOO_MUCH: Final = "Too many headers"
"""What aiohttp calls a head of too many lines."""


class HeadBound:
    """The parser of one connection, which takes no more of a head than that."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._head = 0
        self._body: StreamReader | None = None

    def feed_data(self, data: bytes) -> tuple[Any, bool, bytes]:
        """Parse ``data``. Raises BadHttpMessage if a head has too much of it."""
        in_body = self._body is not None and not self._body.is_eof()
        messages, upgraded, tail = self._parser.feed_data(data)
        if messages:
            last = messages[-1][1]
            self._head, self._body = 0, None if last.is_eof() else last
        elif not in_body:
            self._head += len(data)
            if self._head > MAX_HEAD:
                raise BadHttpMessage(TOO_MUCH)
        return messages, upgraded, tail

    def __getattr__(self, name: str) -> Any:
        """Everything else of the parser."""
        return getattr(self._parser, name)
