"""``/chat/sessions``, except its event streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ...actors.accounts.actor import IssueTicket
from ...actors.conversation import deletion, session_messages
from ...actors.domain.audit import Author
from ...actors.domain.ids import parse_uuid, uuid7
from ...actors.foundation import log
from ...storage.conversation import session_lists, sessions
from ...storage.conversation import transcript as transcripts
from ...storage.engine.idempotency import Earlier, IdempotentReply, Once
from ..operation import RUNTIME_UNAVAILABLE, Refusals, operation
from ..request_context import Answer, RequestContext
from ..schemas.sessions import (
    CancelRequest,
    CancelResponse,
    SessionCreateRequest,
    SessionCreateResponse,
    SessionListQuery,
    SessionListResponse,
    SessionRenameRequest,
    SessionSummaryResponse,
    TicketResponse,
    TranscriptQuery,
    TranscriptResponse,
)

R = TypeVar("R")

NO_SESSION: Final[Refusals] = {404: ("session_not_found",)}


def session_id(call: RequestContext) -> str:
    """The session id in the path. NotFound ``session_not_found`` if it is malformed."""
    found = call.id("session_id", missing="session_not_found")
    log.bind(session=found)
    return found


def sender(call: RequestContext) -> Author:
    """The caller, as messages to a session name it."""
    principal = call.person
    return Author(user_id=principal.user_id, role=str(principal.role), origin=call.origin)


async def counted(call: RequestContext, once: Once[R], created: Callable[[R], bool]) -> IdempotentReply[R]:
    """Execute a command that may create a conversation; against the quota counts what was ``created`` now.

    So a request that is repeated under its key is answered whatever the quota is. Throttled ``too_many_sessions``.
    """
    store = call.storage
    if once.key is not None:
        earlier = await store.ask(Earlier(tenant_id=once.tenant_id, key=once.key, reply=once.reply, now=once.now))
        if earlier is not None:
            return earlier
    with call.services.new_sessions.count(call.person) as count:
        done = await store.ask(once)
        count.created = not done.replayed and created(done.value)
    return done


@operation(
    name="create_session",
    body=SessionCreateRequest,
    body_required=False,
    reply=SessionCreateResponse,
    refusals={429: ("too_many_sessions",)},
    reply_headers=("Location",),
)
async def create(call: RequestContext) -> Answer:
    """Create a conversation."""
    new, now = uuid7(), call.services.clock.now()
    make = sessions.Create(tenant_id=call.person.tenant_id, session_id=new, user_id=call.person.user_id, now=now)
    once = Once(tenant_id=make.tenant_id, key=call.idempotency, command=make, reply=str, now=now)
    done = await counted(call, once, lambda session: session == new)
    created = Answer(SessionCreateResponse(session_id=done.value), headers={"Location": f"/chat/sessions/{done.value}"})
    return created.mark_replayed(done.replayed)


@operation(name="list_sessions", query=SessionListQuery, reply=SessionListResponse)
async def page(call: RequestContext) -> Answer:
    """List the agency's conversations, newest first; with ``q`` those whose title contains it."""
    query: SessionListQuery = call.query
    found = await call.storage.ask(
        session_lists.Page(
            tenant_id=call.person.tenant_id,
            limit=query.limit,
            offset=query.offset,
            q=query.q.strip(),
            trips=query.trips == 1,
        )
    )
    return Answer(SessionListResponse.of(found, query))


@operation(name="get_session", reply=SessionSummaryResponse, refusals=NO_SESSION)
async def read(call: RequestContext) -> Answer:
    """Retrieve a conversation's summary, with its pending approvals."""
    found = await call.storage.ask(
        sessions.Read(tenant_id=call.person.tenant_id, session_id=session_id(call), now=call.services.clock.now())
    )
    return Answer(SessionSummaryResponse.of(found))


@operation(
    name="rename_session",
    body=SessionRenameRequest,
    reply=SessionSummaryResponse,
    refusals={**NO_SESSION, **RUNTIME_UNAVAILABLE, 422: ("title_empty",)},
)
async def rename(call: RequestContext) -> Answer:
    """Rename a conversation."""
    renamed = await call.services.root.ask(
        session_messages.Rename(
            tenant_id=call.person.tenant_id,
            session_id=session_id(call),
            who=sender(call),
            title=call.body.title,
        )
    )
    return Answer(SessionSummaryResponse.of(renamed))


@operation(name="delete_session", refusals={**NO_SESSION, **RUNTIME_UNAVAILABLE, 409: ("turn_in_progress",)})
async def delete(call: RequestContext) -> Answer:
    """Delete a conversation. Bookings made in it are kept.

    A running turn is cancelled first: 409 ``turn_in_progress`` if it has not ended within 8 seconds.
    """
    await call.services.root.ask(
        session_messages.Delete(tenant_id=call.person.tenant_id, session_id=session_id(call), who=sender(call)),
        within=deletion.DELETE_TIMEOUT + 7,
    )
    return Answer()


@operation(
    name="cancel_turn",
    body=CancelRequest,
    body_required=False,
    reply=CancelResponse,
    refusals={**NO_SESSION, **RUNTIME_UNAVAILABLE, 409: ("no_turn_running",)},
    addition=True,
)
async def cancel(call: RequestContext) -> Answer:
    """Cancel the running turn. Completed work is kept.

    With ``turn_id`` in the body only that turn is cancelled: 409 ``no_turn_running`` if it is not the running one.
    """
    body: CancelRequest | None = call.body
    turn_id = await call.services.root.ask(
        session_messages.Cancel(
            tenant_id=call.person.tenant_id,
            session_id=session_id(call),
            who=sender(call),
            turn_id=None if body is None else body.turn_id,
        )
    )
    return Answer(CancelResponse(turn_id=turn_id))


@operation(name="stream_ticket", reply=TicketResponse, refusals=NO_SESSION, addition=True)
async def ticket(call: RequestContext) -> Answer:
    """Create a ticket for this conversation's event stream, for browsers: pass it as the query parameter ``ticket``.

    It expires after an hour, and earlier if the login session or API key that created it is revoked.
    """
    services, conversation_id = call.services, session_id(call)
    now = services.clock.now()
    await call.storage.ask(sessions.Read(tenant_id=call.person.tenant_id, session_id=conversation_id, now=now))
    issued = await services.accounts.ask(IssueTicket(principal=call.person, session_id=conversation_id))
    body = TicketResponse(ticket=issued.ticket, expires_at=issued.expires_at)
    return Answer(body, headers={"Cache-Control": "no-store"})


@operation(
    name="list_messages",
    query=TranscriptQuery,
    reply=TranscriptResponse,
    refusals={**NO_SESSION, 422: ("invalid_before",)},
    addition=True,
)
async def transcript(call: RequestContext) -> Answer:
    """List the newest messages older than ``before``, oldest first.

    An event stream opened with ``last_event_id`` goes on where the newest page ends: no word is missing or there twice.
    """
    query: TranscriptQuery = call.query
    before = None if query.before is None else parse_uuid(query.before) or NO_MESSAGE
    found = await call.storage.ask(
        transcripts.Page(tenant_id=call.person.tenant_id, session_id=session_id(call), limit=query.limit, before=before)
    )
    return Answer(TranscriptResponse.of(found))


NO_MESSAGE = "00000000-0000-0000-0000-000000000000"
"""Stands in for a malformed message id: no message has it."""
