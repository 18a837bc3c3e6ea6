"""What an intake knows of the last message: whether the answer has reached its sender."""

from __future__ import annotations

from typing import Any

import pytest

from voyagent.actors.conversation.intake import Accepted, MessageIntake
from voyagent.actors.conversation.scheduler import Turn

ASHA, RAVI = "asha", "ravi"


@pytest.mark.parametrize(
    ("turn_id", "event", "user_id", "delivered"),
    [
        ("t-1", 7, ASHA, True),
        ("t-1", 9, ASHA, True),
        ("t-1", 6, ASHA, False),
        ("t-1", 9, RAVI, False),
        ("t-0", 9, ASHA, False),
    ],
    ids=["its final", "a later one", "of an earlier pass", "to somebody else", "of another turn"],
)
def test_a_turn_is_delivered_by_a_final_of_its_pass_to_its_sender(
    turn_id: str, event: int, user_id: str, delivered: bool
) -> None:
    unused: Any = None
    intake = MessageIntake(
        unused,
        tenant_id="",
        session_id="",
        scheduler=unused,
        passes=unused,
        writer=unused,
        decisions=unused,
        subscriptions=unused,
        quota=unused,
        services=unused,
    )
    turn = Turn(id="t-1", user_id=ASHA, state="completed", pass_event=7)
    intake.latest = Accepted(turn=turn, user_id=ASHA, text_hash=b"")
    intake.delivered(turn_id, event, user_id)
    assert turn.delivered is delivered
