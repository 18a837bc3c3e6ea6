"""A call's input is the same JSON when it is read from its row, so that what was approved is what runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from voyagent.actors.agent.llm.accumulator import Accumulator
from voyagent.actors.domain.turns import fingerprint

START = {"type": "message_start", "message": {}}
OPEN = {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "a", "name": "b"}}
NUMBERS = (
    "1e16", "-1E+22", "123456789012345678.5", "1e300", "-1.7976931348623157e308", "-0.0", "0.0", "-0", "0e5", "1e2",
    "100.0", "1.50", "0.1", "1e-5", "5e-324", "1e-400", "12345678901234567890123", "9007199254740993.0",
)  # fmt: skip


def read(written: str) -> dict[str, Any]:
    """The input of a call that a model has written so."""
    answer = Accumulator()
    delta = {"type": "input_json_delta", "partial_json": written}
    for event in (START, OPEN, {"type": "content_block_delta", "index": 0, "delta": delta}):
        answer.take(None, json.dumps(event))
    answer.take(None, json.dumps({"type": "content_block_stop", "index": 0}))
    [block] = answer.blocks()
    assert answer.flaws() == {}
    return dict(block["input"])


@pytest.mark.parametrize("number", NUMBERS)
async def test_b3_a_number_is_bound_as_its_row_has_it_however_it_was_written(number: str, agency: Any) -> None:
    given = read(f'{{"bare": {number}, "inside": [{{"list": [{number}]}}]}}')
    stored = json.loads(await agency.db.fetchval("SELECT $1::text::jsonb::text", json.dumps(given)))
    assert fingerprint("create_invoice", stored, None) == fingerprint("create_invoice", given, None)
    assert given["bare"] == pytest.approx(float(number))
