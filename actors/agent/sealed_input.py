"""Sensitive input of tool calls: masked wherever it is shown, sealed in the call's row, read by the tool alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...storage.engine.sealing import Sealing
from ..domain.masking import hidden
from ..domain.turns import ToolCall
from .tools.tool import Tool


def revealed(tool: Tool[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The model's input as the tool reads it: masked, but for the tool's own sensitive fields."""
    return {**hidden(given), **_sensitive(tool, given)}


def seal(tool: Tool[Any], given: Mapping[str, Any], call_id: str, sealing: Sealing) -> bytes | None:
    """The sensitive fields of an input, sealed to the row of their call; None if there are none. ``NoKey``."""
    found = _sensitive(tool, given)
    if not found:
        return None
    if not sealing.ids:
        raise NoKey
    return sealing.seal(json.dumps(found).encode(), **_place(call_id))


class NoKey(Exception):
    """Nothing sensitive is taken where nothing can be sealed: no key is configured."""


def opened(call: ToolCall, sealing: Sealing) -> dict[str, Any]:
    """A stored call's input as the tool reads it. Raises ``NotOpened``."""
    if call.input_sealed is None:
        return call.input
    return {**call.input, **json.loads(sealing.open(call.input_sealed, **_place(call.id)))}


def _sensitive(tool: Tool[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in tool.sensitive if given.get(name) is not None}


def _place(call_id: str) -> dict[str, str]:
    return {"table": "tool_calls", "column": "input_sealed", "row": call_id}
