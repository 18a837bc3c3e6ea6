"""Requests and responses of ``/approvals`` (docs/contract/business.md 5)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ...actors.domain.approvals import Approval
from .shared import ADDITION, Body, Closed, Offset, Query, QueryInt, UtcTime


class ApprovalListQuery(Query):
    """Filter and page of the list of approvals."""

    status: Literal["pending", "granted", "rejected", "expired", "all"] = "pending"
    session_id: str | None = None
    limit: Annotated[QueryInt, Field(ge=1, le=500)] = 50
    offset: Offset = 0


class ApprovalItem(Closed):
    """An approval. ``payload`` is the exact tool input that will run."""

    id: str
    session_id: str
    tool_name: str
    summary: str
    requested_at: UtcTime
    expires_at: UtcTime | None
    status: str
    payload: dict[str, Any]
    resolved_at: UtcTime | None
    resolved_by_user_id: str | None
    reason: Annotated[str | None, ADDITION]

    @classmethod
    def of(cls, approval: Approval) -> ApprovalItem:
        return cls(
            id=approval.id,
            session_id=approval.session_id,
            tool_name=approval.tool_name,
            summary=approval.summary,
            requested_at=approval.requested_at,
            expires_at=approval.expires_at,
            status=approval.status,
            payload=approval.payload,
            resolved_at=approval.resolved_at,
            resolved_by_user_id=approval.resolved_by_user_id,
            reason=approval.reason,
        )


class ApprovalListResponse(Closed):
    """A page of approvals, newest request first."""

    items: list[ApprovalItem]
    total: int
    limit: int
    offset: int


class ResolveApprovalRequest(Body):
    """The decision on an approval."""

    granted: bool
    reason: str | None = Field(default=None, max_length=1024)
