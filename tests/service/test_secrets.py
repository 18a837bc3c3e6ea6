"""What is planted must not be found again: not in the stream, the transcript, the audit, the log, or any table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.rehearsal import ToolUse, Turn
from tests.service import at_rest

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

PASSPORT = "Z81726354"
RIGHT = {"full_name": "Asha Rao", "passport_number": PASSPORT, "passport_expiry": "2031-01-01"}
WRONG = RIGHT | {"documents": [{"visa_number": PASSPORT}]}


@pytest.mark.parametrize(
    ("desk", "written"), [(True, RIGHT), (True, WRONG), (False, RIGHT)], ids=["saved", "refused", "orchestrator"]
)
async def test_b41_a_planted_passport_number_is_found_nowhere(
    desk: bool,
    written: dict[str, Any],
    asha: Person,
    running: Running,
    admin: Admin,
    redis_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    handoff: tuple[Any, ...] = (Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": "save"})),) if desk else ()
    running.rehearsal.play(*handoff, Turn(ToolUse("upsert_passenger", written)), Turn("Tried."))
    session = await asha.session()
    events = await asha.say(session, "save her passport")
    asked = next(event.data["tool_input"] for event in events if event.data["tool_name"] == "upsert_passenger")
    assert asked["passport_number"] == "***6354"
    assert events[-2].data["text"].endswith(".")
    streamed = b"".join(event.raw for event in [*events, *await asha.replay(session)]).decode()
    transcript = str(await asha.get(f"/chat/sessions/{session}/messages"))
    later = str(running.rehearsal.requests[-1].body)
    outputs = [event.data["tool_output"] for event in events if event.kind == "tool_result"]
    assert [output.get("saved") for output in outputs] == ([True] if desk and written == RIGHT else [None] * desk)
    assert await admin.value("SELECT count(*) FROM passengers") == await admin.value(
        "SELECT count(*) FROM passengers WHERE passport_sealed IS NOT NULL"
    )
    assert await admin.value("SELECT count(*) FROM tool_calls WHERE input_sealed IS NOT NULL") == 0
    told = capfd.readouterr()
    for kept in (streamed, transcript, later, told.out, told.err):
        assert PASSPORT not in kept
    dump = await at_rest.rows(admin.db)
    assert session in dump
    assert not at_rest.is_in(dump, PASSPORT)
    assert PASSPORT not in await at_rest.values(redis_url)
