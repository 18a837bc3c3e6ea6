"""The lines of a conversation's events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.events import Event, frame, words

AT = datetime(2026, 11, 29, tzinfo=UTC)
SESSION = "0193f5a0-0000-7000-8000-00000000000a"


@given(
    st.text(st.characters(codec="utf-8")),
    st.timedeltas(timedelta(0), timedelta(days=30_000)),
    st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
def test_the_form_written_out_for_words_is_the_form_of_every_event(text: str, since: timedelta, zone: timezone) -> None:
    at = datetime(2000, 1, 1, tzinfo=zone) + since
    event = Event(kind="text_delta", turn_id="t-000000000001", text=text)
    assert words(event.turn_id, text, SESSION, at) == event.data(SESSION, at)


@given(text=st.text(alphabet='a\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029é"\\😀'))
def test_a_frame_has_the_same_lines_to_readers_of_every_standard(text: str) -> None:
    event = Event(kind="text_delta", turn_id="t", text=text)
    for data in (event.data("s", AT), words("t", text, "s", AT)):
        lines = frame(data, 7).decode().splitlines()
        assert [line.partition(":")[0] for line in lines] == ["id", "event", "data", ""]
        assert json.loads(lines[2][len("data: ") :])["text"] == text
