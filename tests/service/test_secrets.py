"""What is planted must not be found again: not in the stream, the transcript, the audit, the log, or any table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.rehearsal import ToolUse, Turn

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

PASSPORT = "Z81726354"
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
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
    for row in await admin.db.fetch(TABLES):
        table = row["table_name"]
        assert await admin.value(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%{PASSPORT}%'") == 0, table
