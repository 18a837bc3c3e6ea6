"""Approvals: a human decision required before an irreversible tool call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Status = Literal["pending", "granted", "rejected", "expired"]

MAP_LIMIT = 50
"""Entries of the ``approvals`` map of one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One approval as clients read it. ``payload`` is the exact input that will run; overdue is ``expired``."""

    id: str
    session_id: str
    turn_id: str
    tool_call_id: str
    tool_name: str
    summary: str
    requested_at: datetime
    expires_at: datetime
    status: Status
    payload: dict[str, Any]
    resolved_at: datetime | None
    resolved_by_user_id: str | None
    reason: str | None
    approver_roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """A user's decision on one approval."""

    approval_id: str
    granted: bool
    reason: str | None = None


def approval_id(turn_id: str, tool: str, use: int) -> str:
    """``ap-<turn>-<tool>``, with ``-2``, ``-3`` … for later uses of the tool in the turn."""
    return f"ap-{turn_id}-{tool}" + ("" if use == 1 else f"-{use}")
