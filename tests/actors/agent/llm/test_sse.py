"""A stream split anywhere, with any line ends, decodes to the same events."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from anthropic._streaming import SSEDecoder
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.agent.llm import sse
from voyagent.actors.agent.llm.accumulator import LARGEST_ANSWER, MalformedStream

FIELDS = st.sampled_from(["event", "data", ""])
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)
LINES = st.builds(lambda field, space, value: f"{field}:{space}{value}", FIELDS, st.sampled_from(["", " "]), VALUES)
EVENTS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=5)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def heard(stream: bytes, cuts: list[int]) -> list[tuple[str | None, str]]:
    decoder = sse.Decoder()
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [stream[first:last] for first, last in pairwise(places)]
    return [event for chunk in chunks for event in decoder.feed(chunk)]


@given(EVENTS, ENDS, st.lists(st.integers(0, 10_000), max_size=6))
def test_it_decodes_what_the_sdks_decoder_decodes_however_the_bytes_arrive(
    events: list[list[str]], end: str, cuts: list[int]
) -> None:
    stream = "".join(end.join(lines) + end + end for lines in events).encode()
    theirs: list[Any] = list(SSEDecoder().iter_bytes(iter([stream])))
    assert heard(stream, cuts) == [(each.event or None, each.data) for each in theirs if each.data]


def test_what_was_whole_before_the_garbage_is_decoded() -> None:
    events = sse.Decoder().feed(b"data: a\n\ndata: \xff\n\n")
    assert next(events) == (None, "a")
    with pytest.raises(UnicodeDecodeError):
        next(events)


def test_an_event_without_end_is_not_waited_for() -> None:
    decoder = sse.Decoder()
    assert list(decoder.feed(b"x" * LARGEST_ANSWER)) == []
    with pytest.raises(MalformedStream, match="without end"):
        list(decoder.feed(b"x"))


@pytest.mark.parametrize(("piece", "size"), [(b":\n", 64 * 1024), (b"x" * 16, 16)], ids=["short lines", "short chunks"])
def test_an_event_without_end_costs_the_time_of_its_bytes(piece: bytes, size: int) -> None:
    """Two megabytes of it: with a copy of all that is known a line or a chunk it would be minutes."""
    decoder, chunk, began = sse.Decoder(), piece * (size // len(piece)), time.process_time()
    for _ in range(LARGEST_ANSWER // 2 // size):
        assert list(decoder.feed(chunk)) == []
    assert time.process_time() - began < 3
