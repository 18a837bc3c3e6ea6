"""Input that a tool alone may read: which it is, how it is masked for all others, and what is told of a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.agent.tools.supplier_tool import GATED
from voyagent.actors.agent.tools.tool import InputInvalid, Tool
from voyagent.actors.domain.masking import hidden

ASHA = {"full_name": "Asha Rao"}
NUMBER = "Z1234567"


@pytest.mark.parametrize("tool", CATALOGUE.values(), ids=lambda tool: tool.name)
def test_b41_what_a_tool_alone_may_read_is_masked_for_all_others_and_waits_for_no_approval(tool: Tool[Any]) -> None:
    secret = {name for name, field in tool.Input.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert secret == tool.sensitive
    assert hidden(dict.fromkeys(secret, NUMBER)) == dict.fromkeys(secret, f"***{NUMBER[-4:]}")
    assert not (secret and isinstance(tool, GATED))


@pytest.mark.parametrize("number", ["Z12", "Z1234567890123456789X", "Z 123/45", "Zß12345", "", 12345678, ["Z1234567"]])
def test_a_passport_number_that_is_none_is_told_without_repeating_it(number: Any) -> None:
    with pytest.raises(InputInvalid) as refused:
        CATALOGUE["upsert_passenger"].parse(ASHA | {"passport_number": number})
    text = str(refused.value)
    assert "passport_number: must be the 5 to 20 letters and digits of a passport's number" in text
    assert not number or str(number) not in text


def test_equal_passengers_with_different_passports_are_not_the_same_call() -> None:
    tool = CATALOGUE["upsert_passenger"]
    one, other, again = (
        tool.likeness(tool.parse(ASHA | {"passport_number": number}))
        for number in ("Z1234567", "Z7654321", "z 1234567")
    )
    assert one == again != other
