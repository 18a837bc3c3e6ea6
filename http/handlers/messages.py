"""The two event streams of a conversation: the answer to a message, and the read-only subscription."""

from __future__ import annotations

from functools import wraps
from typing import Final

from aiohttp import web

from ...actors.accounts import actor as accounts
from ...actors.accounts.access_watch import AccessWatch
from ...actors.conversation import session_messages
from ...actors.conversation.event_log import Subscription
from ...actors.conversation.new_message import NewMessage
from ...actors.domain.errors import Forbidden, Unprocessable
from ...actors.domain.turns import MESSAGE_LIMIT
from ...actors.runtime.actor import hint
from .. import streams
from ..operation import EVENT_STREAM, RUNTIME_UNAVAILABLE, Handler, operation
from ..request_context import Answer, RequestContext
from ..schemas.sessions import EventsQuery, SendMessageRequest
from .sessions import NO_SESSION, sender, session_id

GET_STREAM_SECONDS = 3600.0

LAST_EVENT_ID: Final = {
    "Last-Event-ID": "The id of the last event received. Replays the events after it; does not start a turn."
}


def _bounded(handler: Handler) -> Handler:
    """Count the caller's open streams before the handler runs, so that a refused request has no effect."""

    @wraps(handler)
    async def hold(call: RequestContext) -> web.StreamResponse | Answer:
        with call.services.open_streams.hold(call.person):
            return await handler(call)

    return hold


@operation(
    name="send_message",
    body=SendMessageRequest,
    sends={"message": "Find me a flight from Delhi to Mumbai on 1 December"},
    media=EVENT_STREAM,
    headers=LAST_EVENT_ID,
    refusals={
        **NO_SESSION,
        403: ("api_key_not_allowed",),
        409: ("turn_in_progress", "queue_full"),
        422: ("message_required", "message_too_long"),
        429: ("too_many_streams",),
        503: ("shutting_down", "agent_runtime_unavailable"),
    },
)
@_bounded
async def send(call: RequestContext) -> web.StreamResponse:
    """Send a message, resolve approvals, or follow the running turn. Streams events until ``final``.

    A lost connection does not stop the turn. Reconnect with ``Last-Event-ID`` to replay the missed events.
    """
    body: SendMessageRequest = call.body
    if body.approvals and call.person.api_key_id is not None:
        raise Forbidden("api_key_not_allowed")
    if len(body.message) > MESSAGE_LIMIT:
        raise Unprocessable("message_too_long")
    access = await _watch(call)
    cursor = call.request.headers.get("Last-Event-ID", "").strip()
    subscription: Subscription | None
    if cursor:
        subscription = await call.services.root.ask(
            session_messages.Follow(tenant_id=call.person.tenant_id, session_id=session_id(call), cursor=cursor)
        )
    else:
        subscription = await call.services.root.ask(
            session_messages.SendMessage(
                tenant_id=call.person.tenant_id,
                session_id=session_id(call),
                message=NewMessage(
                    who=sender(call),
                    text=body.message,
                    approvals=body.approvals or {},
                    on_busy=body.on_busy,
                    key=call.idempotency,
                ),
            ),
            within=15.0,
        )
    assert subscription is not None
    return await _stream(call, subscription, access)


@operation(
    name="follow_session",
    query=EventsQuery,
    media=EVENT_STREAM,
    headers=LAST_EVENT_ID,
    refusals={**NO_SESSION, **RUNTIME_UNAVAILABLE, 429: ("too_many_streams",)},
    empty="Nothing is left to replay, with `follow=0`",
    addition=True,
)
@_bounded
async def events(call: RequestContext) -> web.StreamResponse | Answer:
    """Stream a conversation's events across turns: replay from a cursor, then live."""
    query: EventsQuery = call.query
    access = await _watch(call)
    cursor = call.request.headers.get("Last-Event-ID", "").strip() or query.last_event_id
    replay = query.follow == "0"
    subscription = await call.services.root.ask(
        session_messages.Follow(
            tenant_id=call.person.tenant_id,
            session_id=session_id(call),
            cursor=cursor or None,
            mode="replay" if replay else "live",
        )
    )
    if subscription is None:
        return Answer(status=204)
    return await _stream(call, subscription, access, lifetime=GET_STREAM_SECONDS)


async def _watch(call: RequestContext) -> AccessWatch:
    """Watch the caller's access for revocation. Done first, so that a failure here has no effect."""
    return await call.services.accounts.ask(accounts.Watch(call.person))


async def _stream(
    call: RequestContext, subscription: Subscription, access: AccessWatch, *, lifetime: float | None = None
) -> web.StreamResponse:
    services, person, conversation_id = call.services, call.person, session_id(call)

    def delivered(turn_id: str, event: int) -> None:
        hint(
            services.root,
            session_messages.Delivered(
                tenant_id=person.tenant_id,
                session_id=conversation_id,
                turn_id=turn_id,
                event=event,
                user_id=person.user_id,
            ),
        )

    return await streams.serve(
        services.streams,
        call.request,
        subscription,
        access,
        session_id=conversation_id,
        final_written=delivered,
        lifetime=lifetime,
    )
