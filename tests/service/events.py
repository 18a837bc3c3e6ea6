"""What streams told, and what holds of every log."""

from __future__ import annotations

from typing import Any


def kinds(events: list[Any]) -> list[str]:
    return [event.kind for event in events]


def words(events: list[Any]) -> str:
    return "".join(event.data["text"] for event in events if event.kind == "text_delta")


def errors(events: list[Any]) -> list[str]:
    return [event.data["error_message"] for event in events if event.kind == "error"]


def asked(events: list[Any]) -> list[str]:
    """The approvals that were asked for."""
    return [event.data["approval_id"] for event in events if event.kind == "approval_request"]


def whole(events: list[Any]) -> None:
    """A log as it has to be: no gap, no repeat, and every pass with its one ``final``."""
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert kinds(events)[-1] == "final"
    assert all(event.data["error_message"] for event in events if event.kind == "error")
