"""How a pass goes on: every row of `next_action`, from the calls and messages of its turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from voyagent.actors.domain.turns import Brief, LoopState, NextAction, Spoken, ToolCall, next_action

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
READ = ToolCall(
    id="r", turn_id="t", call_id="c1", tool="read_pnr", desk="ticketing_visa", input={}, effect="read", user_id="u",
    position=0, state="succeeded", reported=True,
)  # fmt: skip
PENDING = replace(READ, id="p", tool="book_flight", effect="irreversible", state="proposed", approval_id="a1")
GRANTED = replace(PENDING, id="g", state="approved", approval_id="a2", decided_at=NOON)
BOOKED = replace(GRANTED, state="succeeded", reported=True)
UNCLEAR = replace(GRANTED, state="unknown", reported=True)
DENIED = replace(PENDING, id="d", state="failed", error="denied", approval_id="a3", decided_at=NOON, reported=True)
EXPIRED = replace(DENIED, id="e", error="expired", approval_id="a4", decided_at=NOON + timedelta(minutes=1))
EARLIER = replace(EXPIRED, id="f", approval_id="a5", decided_at=NOON - timedelta(minutes=1))

ASKED = (Spoken("user", 1),)
CALLED = (*ASKED, Spoken("assistant", 2), Spoken("tool", 3))
ANSWERED = (*CALLED, Spoken("assistant", 4))
ASKED_AGAIN = (*ANSWERED, Spoken("user", 5), Spoken("tool", 6))

DESK = LoopState(desk="ticketing_visa", brief=Brief("ticketing_visa", "fly"), brief_after=2)
TWO = replace(DESK, handoffs=(Brief("accounting", "bill"),))
JUST_BRIEFED = replace(TWO, brief_after=4)


@pytest.mark.parametrize(
    ("expected", "own", "calls", "decided", "loop", "follow_up", "again"),
    [
        # a turn begins, or begins again after a crash
        ("converse", ASKED, (), (), LoopState(), False, False),
        ("converse", ASKED, (), (), LoopState(), False, True),
        # it was cut off between a result and the answer to it
        ("converse", CALLED, (READ,), (), DESK, False, True),
        ("converse", CALLED, (READ,), (READ,), DESK, False, True),
        # it was cut off after the answer of a desk: another desk, or nothing, is left
        ("next_desk", ANSWERED, (READ,), (), TWO, False, True),
        ("complete", ANSWERED, (READ,), (), DESK, False, True),
        ("converse", ANSWERED, (READ,), (), JUST_BRIEFED, False, True),
        ("converse", ANSWERED, (READ,), (READ,), TWO, False, True),
        # one of several approvals is decided: the turn waits for the others
        ("wait", CALLED, (BOOKED, PENDING), (GRANTED,), DESK, False, False),
        ("wait", CALLED, (PENDING,), (), DESK, False, True),
        ("wait", CALLED, (EXPIRED, PENDING), (EXPIRED,), DESK, False, False),
        # all are decided
        ("converse", CALLED, (BOOKED,), (GRANTED,), DESK, False, False),
        ("converse", CALLED, (DENIED,), (DENIED,), DESK, False, False),
        ("converse", CALLED, (DENIED, BOOKED), (GRANTED,), DESK, False, False),
        # the last decision is an expiry: it is told next turn, unless something was executed or may have been
        ("complete", CALLED, (EXPIRED,), (EXPIRED,), DESK, False, False),
        ("complete", CALLED, (DENIED, EXPIRED), (EXPIRED,), DESK, False, False),
        ("converse", CALLED, (EARLIER, DENIED), (DENIED,), DESK, False, False),
        ("converse", CALLED, (BOOKED, EXPIRED), (EXPIRED,), DESK, False, False),
        ("converse", CALLED, (UNCLEAR, EXPIRED), (EXPIRED,), DESK, False, False),
        ("complete", CALLED, (EXPIRED,), (), TWO, False, True),
        # a message came with the decisions
        ("converse", CALLED, (BOOKED, PENDING), (GRANTED,), DESK, True, False),
        ("converse", CALLED, (EXPIRED,), (EXPIRED,), DESK, True, False),
        # it is stored, and the pass was cut off before its answer
        ("converse", ASKED_AGAIN, (BOOKED, PENDING), (), DESK, False, True),
        ("converse", ASKED_AGAIN, (BOOKED, PENDING), (GRANTED,), DESK, False, False),
        ("wait", ASKED_AGAIN, (BOOKED, PENDING), (), DESK, False, False),
        ("wait", ASKED_AGAIN, (EXPIRED, PENDING), (EXPIRED,), DESK, False, False),
        ("complete", ASKED_AGAIN, (EXPIRED,), (EXPIRED,), DESK, False, False),
    ],
)
def test_how_a_pass_goes_on(
    expected: NextAction,
    own: tuple[Spoken, ...],
    calls: tuple[ToolCall, ...],
    decided: tuple[ToolCall, ...],
    loop: LoopState,
    *,
    follow_up: bool,
    again: bool,
) -> None:
    found = next_action(calls=calls, decided=decided, own=own, loop=loop, follow_up=follow_up, again=again)
    assert found == expected
