"""Outcomes of tool calls: the state each leaves its call in, and its JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from voyagent.actors.domain.outcomes import (
    NOT_PERMITTED,
    Failed,
    InvalidInput,
    Outcome,
    Refused,
    Rejected,
    Succeeded,
    Unknown,
)
from voyagent.actors.domain.tool_calls import Closing, Context, audit_of_result, close, denial, result_events
from voyagent.actors.domain.transcript import tool_result
from voyagent.actors.domain.turns import ToolCall, TurnError

AT = Context("t-1", "s-1", datetime(2026, 11, 29, tzinfo=UTC))
CALL = ToolCall(
    id="c-1",
    turn_id="u-1",
    call_id="toolu_1",
    tool="book_flight",
    desk="ticketing_visa",
    input={},
    effect="irreversible",
    user_id="p-1",
    position=0,
    driver="house",
)
DENIED = "The person who asked for this may not act any more."

TABLE: list[tuple[Outcome, str, bool, str | None, dict[str, Any]]] = [
    (Succeeded({"voided": False, "reason": "none"}), "succeeded", False, None, {"voided": False, "reason": "none"}),
    (Succeeded({"error": "of the supplier"}), "succeeded", False, None, {"error": "of the supplier"}),
    (
        Refused("ticketed", "fare_expired", "Search again."),
        "failed",
        False,
        "fare_expired",
        {"ticketed": False, "reason": "fare_expired", "detail": "Search again."},
    ),
    (Failed("timeout", "no answer"), "failed", True, "timeout: no answer", {"error": "timeout: no answer"}),
    (
        Failed("outcome_unknown", "by name"),
        "failed",
        True,
        "outcome_unknown: by name",
        {"error": "outcome_unknown: by name"},
    ),
    (NOT_PERMITTED, "failed", True, "permission_denied", {"error": "permission_denied", "detail": DENIED}),
    (
        InvalidInput("book_flight", "fare_id: missing"),
        "failed",
        True,
        "Input validation failed for 'book_flight': fare_id: missing",
        {"error": "Input validation failed for 'book_flight': fare_id: missing"},
    ),
    (
        Rejected("book_flight", "too dear"),
        "failed",
        True,
        "Approval denied for tool 'book_flight'.",
        {"error": "Approval denied for tool 'book_flight'.", "reason": "too dear"},
    ),
    (
        Unknown("ask the supplier"),
        "unknown",
        True,
        "outcome_unknown: ask the supplier",
        {"error": "outcome_unknown: ask the supplier"},
    ),
]


@pytest.mark.parametrize(("outcome", "state", "is_error", "error", "output"), TABLE, ids=lambda value: str(value)[:40])
def test_an_outcome_has_a_state_an_error_and_its_json(
    outcome: Outcome, state: str, is_error: bool, error: str | None, output: dict[str, Any]
) -> None:
    assert (outcome.state, outcome.is_error, outcome.error, outcome.to_output()) == (state, is_error, error, output)
    block = tool_result("toolu_1", "book_flight", outcome)
    assert (block["is_error"], block["output"]) == (is_error, output)
    (event,) = result_events(CALL, outcome)
    assert event.tool_output == output


@pytest.mark.parametrize("outcome", [row[0] for row in TABLE], ids=lambda value: str(value)[:40])
def test_an_executed_call_is_audited_by_its_outcome_s_type(outcome: Outcome) -> None:
    (end,) = audit_of_result(CALL, outcome, AT, starts=False)
    expected = "succeeded" if isinstance(outcome, Succeeded) else "failed"
    assert end.status == ("rejected" if outcome == NOT_PERMITTED else expected)
    assert end.outputs == outcome.to_output()
    assert end.error == outcome.error
    assert audit_of_result(replace(CALL, effect="read"), outcome, AT, starts=False) == []
    without_driver = audit_of_result(replace(CALL, driver=None), outcome, AT, starts=False)
    assert [entry.status for entry in without_driver] == (["rejected"] if outcome == NOT_PERMITTED else [])


@pytest.mark.parametrize(
    ("state", "error", "outcome"),
    [
        ("proposed", None, None),
        ("approved", None, None),
        ("executing", None, None),
        ("failed", "expired", Failed("approval_expired", "nobody decided 'book_flight' in time")),
        ("failed", "rejected", Rejected("book_flight", "too dear")),
        ("failed", "withdrawn", Failed("withdrawn", "the call will not run")),
        ("failed", None, Failed("withdrawn", "the call will not run")),
    ],
)
def test_a_denied_call_has_its_denial_as_outcome(state: Any, error: str | None, outcome: Outcome | None) -> None:
    assert denial(replace(CALL, state=state, error=error, reason="too dear")) == outcome


CANCELLED = Closing(TurnError("turn_cancelled", "stopped by a person"), "cancelled", None)


@pytest.mark.parametrize(
    ("call", "outcome", "audited"),
    [
        (replace(CALL, state="executing"), Unknown, [("book_flight", "failed")]),
        (CALL, Failed, []),
        (replace(CALL, approval_id="a-1", state="approved"), Failed, [("book_flight", "rejected")]),
        (
            replace(CALL, approval_id="a-1"),
            Failed,
            [("approval.rejected", "succeeded"), ("book_flight", "rejected")],
        ),
        (replace(CALL, approval_id="a-1", state="failed", error="rejected"), Rejected, [("book_flight", "rejected")]),
    ],
)
def test_a_call_closed_with_its_turn_is_unknown_only_if_it_was_under_way(
    call: ToolCall, outcome: type[Outcome], audited: list[tuple[str, str]]
) -> None:
    closed = close(call, CANCELLED, AT)
    assert type(closed.outcome) is outcome
    assert [(entry.kind, entry.status) for entry in closed.audit_events] == audited
    if type(closed.outcome) is Failed:
        assert closed.outcome.to_output() == {"error": "turn_cancelled: stopped by a person"}
