"""Decodes server-sent events from a response's bytes (WHATWG HTML, 9.2.6): the two fields the Messages API uses.

The SDK's own decoder has no limit for an event and appends each line to a copy of those before it: one event of short
lines takes seconds a megabyte and stops the loop meanwhile (ARCHITECTURE.md, "Decisions").
"""

from __future__ import annotations

from collections.abc import Iterator

from .accumulator import LARGEST_ANSWER, MalformedStream


class Decoder:
    """Takes chunks as they arrive; returns complete events."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[tuple[str | None, str]]:
        """Name and data of each event that ends in ``chunk``. Raises ``UnicodeDecodeError`` or `MalformedStream`."""
        if b"\r" in chunk or self._after_cr:
            chunk = self._unified(chunk)
        searched = max(len(self._rest) - 1, 0)  # the end may have begun with the last byte known
        self._rest += chunk
        if self._rest.find(b"\n\n", searched) >= 0:
            *whole, self._rest = self._rest.split(b"\n\n")
            for each in whole:
                event = _event(each.decode())
                if event is not None:
                    yield event
        if len(self._rest) > LARGEST_ANSWER:
            raise MalformedStream("an event without end")

    def _unified(self, chunk: bytes) -> bytes:
        """Lines end in LF, CR LF or CR; a CR at a chunk's end may have its LF in the next."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(lines: str) -> tuple[str | None, str] | None:
    """One event; None if it has no data, which the standard says to ignore."""
    name: str | None = None
    data: list[str] = []
    for line in lines.split("\n"):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ")
    said = "\n".join(data)
    return (name or None, said) if said else None
