"""What a block of a model's answer must be like, so that a later request may carry it (the Messages API's rules)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}")

NAME_LIMIT = 64
"""Characters of a tool's name; the API takes 128, its elder versions and most that speak its protocol 64."""

DEEPEST = 32
"""Levels of objects and lists in a tool's input. No tool needs more than five; encoders give up at some hundred."""


SHOWN_LEVELS = 128
"""Levels of stored JSON that a page shows: its encoder gives up at 255, and some clients' decoders earlier."""


def tool_name(given: object) -> str:
    """The name of a tool as a request may carry it. One that has to be mended is never that of a tool there is."""
    if isinstance(given, str) and _NAME.fullmatch(given):
        return given
    mended = _NO_NAME.sub("_", given).strip("_") if isinstance(given, str) else ""
    return f"unknown_{mended or 'tool'}"[:NAME_LIMIT]


def sound_id(given: object) -> bool:
    """Whether a call's id may be stored and sent again as it is."""
    return isinstance(given, str) and _CALL_ID.fullmatch(given) is not None


def too_deep(value: object) -> bool:
    """Whether JSON is nested deeper than `DEEPEST`."""
    level, depth = [value], 0
    while level:
        nested = [each for each in level if isinstance(each, dict | list)]
        if nested and depth == DEEPEST:
            return True
        depth += 1
        level = [part for each in nested for part in (each.values() if isinstance(each, dict) else each)]
    return False


def shown(value: Any, levels: int = SHOWN_LEVELS) -> Any:
    """Stored JSON as a page shows it: objects and lists nested deeper than ``levels`` are null."""
    match value:
        case dict():
            return {key: shown(part, levels - 1) for key, part in value.items()} if levels else None
        case list():
            return [shown(part, levels - 1) for part in value] if levels else None
    return value


def readable(block: Mapping[str, Any]) -> dict[str, Any] | None:
    """An assistant's block without what the API does not know; None if it would refuse the whole of it.

    A call keeps its id, which only its request as a whole can judge.
    """
    match block.get("type"):
        case "text":
            text = block.get("text")
            return {"type": "text", "text": text} if isinstance(text, str) and text.strip() else None
        case "thinking":
            thought, signature = block.get("thinking"), block.get("signature")
            if not isinstance(thought, str) or not isinstance(signature, str) or not signature:
                return None
            return {"type": "thinking", "thinking": thought, "signature": signature}
        case "redacted_thinking":
            data = block.get("data")
            return {"type": "redacted_thinking", "data": data} if isinstance(data, str) and data else None
        case "tool_use":
            given = block.get("input")
            kept = given if isinstance(given, dict) and not too_deep(given) else {}
            return {"type": "tool_use", "id": block.get("id"), "name": tool_name(block.get("name")), "input": kept}
    return None
