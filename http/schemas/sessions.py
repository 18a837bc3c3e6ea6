"""Requests and responses of ``/chat/sessions`` (docs/contract/business.md 2)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ...actors.domain.approvals import MAP_LIMIT
from ...storage.conversation.session_lists import Sessions
from ...storage.conversation.sessions import Summary
from ...storage.conversation.transcript import Transcript
from .shared import ADDITION, Body, LooseBody, Offset, Query, QueryInt, Reply, UtcTime


class SessionCreateRequest(Body):
    """No fields yet."""


class SessionCreateResponse(Reply):
    """The id of the new session."""

    session_id: str


class SessionListQuery(Query):
    """Page of the list of sessions."""

    limit: Annotated[Annotated[QueryInt, Field(ge=1, le=1000)], ADDITION] = 1000
    offset: Annotated[Offset, ADDITION] = 0
    q: Annotated[Annotated[str, Field(max_length=200)], ADDITION] = ""
    trips: Annotated[Annotated[QueryInt, Field(ge=0, le=1)], ADDITION] = 0


class SessionListItem(Reply):
    """A session in the list."""

    id: str
    title: str | None
    created_at: UtcTime
    message_count: int


class SessionListResponse(Reply):
    """A page of sessions, newest first."""

    sessions: list[SessionListItem]
    total: Annotated[int, ADDITION]
    limit: Annotated[int, ADDITION]
    offset: Annotated[int, ADDITION]

    @classmethod
    def of(cls, page: Sessions, query: SessionListQuery) -> SessionListResponse:
        items = [
            SessionListItem(id=item.id, title=item.title, created_at=item.created_at, message_count=item.message_count)
            for item in page.items
        ]
        return cls(sessions=items, total=page.total, limit=query.limit, offset=query.offset)


class PendingApproval(Reply):
    """A pending approval of this session."""

    approval_id: str
    tool_name: str
    summary: str
    expires_at: Annotated[UtcTime, ADDITION]


class SessionSummaryResponse(Reply):
    """A session's summary."""

    session_id: str
    tenant_id: str
    actor_id: str
    message_count: int
    pending_approvals: list[PendingApproval]
    title: str | None
    created_at: Annotated[UtcTime, ADDITION]
    last_event_id: Annotated[int, ADDITION]
    running_turn_id: Annotated[str | None, ADDITION]

    @classmethod
    def of(cls, summary: Summary) -> SessionSummaryResponse:
        pending = [
            PendingApproval(
                approval_id=approval.approval_id,
                tool_name=approval.tool_name,
                summary=approval.summary,
                expires_at=approval.expires_at,
            )
            for approval in summary.pending_approvals
        ]
        return cls(
            session_id=summary.session_id,
            tenant_id=summary.tenant_id,
            actor_id=summary.actor_id,
            message_count=summary.message_count,
            pending_approvals=pending,
            title=summary.title,
            created_at=summary.created_at,
            last_event_id=summary.last_event_id,
            running_turn_id=summary.running_turn_id,
        )


class SessionRenameRequest(Body):
    """The new title."""

    title: str = Field(min_length=1, max_length=200)


class SendMessageRequest(LooseBody):
    """A message, decisions on approvals, or both. An empty body follows the running turn."""

    message: str = ""
    approvals: Annotated[dict[str, bool], Field(max_length=MAP_LIMIT)] | None = None
    on_busy: Annotated[Literal["reject", "queue", "interrupt"], ADDITION] = "reject"


class EventsQuery(Query):
    """Where the event stream starts, and whether it stays open."""

    last_event_id: str | None = Field(default=None, max_length=64)
    follow: Literal["0", "1"] = "1"
    ticket: str | None = None
    """Replaces the bearer token. Read by the guard."""


class TicketResponse(Reply):
    """A ticket with which an ``EventSource`` can open this session's event stream, and its expiry."""

    ticket: str
    expires_at: UtcTime


class TranscriptQuery(Query):
    """Page of the transcript."""

    limit: Annotated[QueryInt, Field(ge=1, le=200)] = 50
    before: str | None = Field(default=None, max_length=64)


class TranscriptItem(Reply):
    """A message of the transcript."""

    id: str
    turn_id: str
    role: Literal["user", "assistant", "tool"]
    content: list[dict[str, Any]]
    created_at: UtcTime
    user_id: str | None


class TranscriptFailure(Reply):
    """Why a turn failed or was stopped, as its ``error`` event said."""

    turn_id: str
    error_message: str


class TranscriptResponse(Reply):
    """A page of the transcript, oldest first. The events up to ``last_event_id`` are in it."""

    items: list[TranscriptItem]
    failures: list[TranscriptFailure]
    total: int
    next_before: str | None
    last_event_id: int

    @classmethod
    def of(cls, page: Transcript) -> TranscriptResponse:
        shown = ("text", "tool_use", "tool_result")
        items = [
            TranscriptItem(
                id=message.id,
                turn_id=message.turn_id,
                role=message.role,
                content=[block for block in message.content if block["type"] in shown],
                created_at=message.created_at,
                user_id=message.user_id,
            )
            for message in page.items
        ]
        failures = [TranscriptFailure(turn_id=turn, error_message=error) for turn, error in page.errors.items()]
        return cls(
            items=items,
            failures=failures,
            total=page.total,
            next_before=page.next_before,
            last_event_id=page.last_event_id,
        )


class CancelRequest(Body):
    """The turn to cancel. Without ``turn_id``, the running one."""

    turn_id: str | None = Field(default=None, max_length=64)


class CancelResponse(Reply):
    """The turn being cancelled."""

    turn_id: str
    status: Literal["cancelling"] = "cancelling"
