"""The state of a session changes in the task of its actor, while it handles a message, and nowhere else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voyagent.actors.agent.rehearsed.server import Gate, Turn
from voyagent.actors.conversation.decisions import Decisions
from voyagent.actors.conversation.event_log import EventLog, PassEnd
from voyagent.actors.conversation.intake import MessageIntake, _Intake
from voyagent.actors.conversation.log_writer import LogWriter
from voyagent.actors.conversation.passes import PassRunner
from voyagent.actors.conversation.scheduler import Run, TurnScheduler
from voyagent.actors.conversation.scheduler import Turn as ScheduledTurn
from voyagent.actors.conversation.session import SessionActor

from .test_approvals import ask_for_booking, resolve

STATE = [
    SessionActor,
    TurnScheduler,
    ScheduledTurn,
    Run,
    PassEnd,
    MessageIntake,
    _Intake,
    Decisions,
    PassRunner,
    LogWriter,
    EventLog,
]


async def test_no_state_of_a_session_is_written_outside_its_receive(
    asha: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: set[str] = set()
    outside: set[str] = set()

    def instrument(owner: type) -> None:
        original = owner.__setattr__

        def checked(self: Any, name: str, value: Any) -> None:
            task = asyncio.current_task()
            written.add(f"{owner.__name__}.{name}")
            being_made = not hasattr(self, name)
            if not being_made and (task is None or task.get_name() != SessionActor.__name__):
                outside.add(f"{owner.__name__}.{name} by {task and task.get_name()}")
            original(self, name, value)

        monkeypatch.setattr(owner, "__setattr__", checked)

    for owner in STATE:
        instrument(owner)
    session, events = await ask_for_booking(asha, running, times=2)
    first, second = (event.data["approval_id"] for event in events if event.kind == "approval_request")
    gate = Gate()
    running.rehearsal.play(Turn("slow", gate=gate), *[Turn("fine")] * 8)
    chat = await asha.post(session, {"message": "meanwhile"})
    await gate.waiting()
    queued = await asha.post(session, {"message": "later", "on_busy": "queue"}, **{"Idempotency-Key": "k"})
    urgent = await asha.post(session, {"message": "no", "on_busy": "interrupt", "approvals": {first: True}})
    await gate.open()
    for stream in (chat, queued, urgent):
        await stream.all()
    await resolve(asha, second, granted=False)
    await asha.replay(session)
    await asha.call("PATCH", f"/chat/sessions/{session}", json={"title": "Dubai"})
    assert (await asha.call("DELETE", f"/chat/sessions/{session}"))[0] == 204
    assert {"TurnScheduler.current", "LogWriter.last", "_Intake.storing", "SessionActor.deletion"} <= written
    assert not outside
