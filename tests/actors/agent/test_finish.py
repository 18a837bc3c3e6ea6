"""The step that ends a pass."""

from __future__ import annotations

import pytest

from tests.actors.agent.stand import Stand
from voyagent.actors.agent import finish
from voyagent.actors.agent.pass_state import PassState
from voyagent.actors.domain.audit import Author, Origin
from voyagent.actors.domain.tool_calls import Closing
from voyagent.actors.domain.turns import TurnError

CANCELLED = TurnError("turn_cancelled", "stopped by a person")
BROKEN = TurnError("model_unavailable", "please try again")
ASHA = Author("asha", "agent", Origin("r-1"))


@pytest.mark.parametrize(
    ("state", "error", "by", "close", "kinds"),
    [
        ("completed", None, None, None, ["final"]),
        ("waiting", None, None, None, ["final"]),
        ("failed", BROKEN, None, Closing(BROKEN, "model_unavailable", None), ["error", "final"]),
        ("cancelled", CANCELLED, ASHA, Closing(CANCELLED, "cancelled", ASHA), ["error", "final"]),
        ("waiting", BROKEN, None, None, ["error", "final"]),
    ],
)
async def test_a_pass_ends_with_one_final_and_closes_its_calls_only_where_the_turn_ends_for_good(
    state: str, error: TurnError | None, by: Author | None, close: Closing | None, kinds: list[str]
) -> None:
    stand = Stand()
    end = finish.ending(PassState(stand.task, stand.ports), state, error, keep_pending_approvals=False, by=by)
    assert end.close == close
    assert [event.kind for event in end.events] == kinds
    assert end.ending.error == error


async def test_the_text_of_an_answer_that_was_not_finished_is_kept() -> None:
    stand = Stand()
    work = PassState(stand.task, stand.ports)
    work.partial = ["One", " two"]
    await stand.clock.advance(1.5)
    end = finish.ending(work, "cancelled", CANCELLED, keep_pending_approvals=False, by=None)
    assert end.partial == "One two"
    assert end.ending.ran_ms == 1500


async def test_without_text_there_is_none_to_keep() -> None:
    stand = Stand()
    end = finish.ending(PassState(stand.task, stand.ports), "failed", BROKEN, keep_pending_approvals=True, by=None)
    assert end.partial is None
    assert end.keep_pending_approvals
