"""``/chat/sessions`` but for its streams."""

from __future__ import annotations

from pydantic import BaseModel

from ...actors.accounts.actor import IssueTicket
from ...actors.conversation import session
from ...actors.domain.ids import parse_uuid, uuid7
from ...storage.conversation import sessions
from ...storage.engine.idempotency import Once, Replayed, Stored
from ..request_context import Answer, RequestContext
from ..schemas.sessions import (
    CancelRequest,
    CancelResponse,
    SessionCreateResponse,
    SessionListQuery,
    SessionListResponse,
    SessionSummaryResponse,
    TicketResponse,
    TranscriptQuery,
    TranscriptResponse,
)


def session_id(call: RequestContext) -> str:
    """The session named in the path. Refusal: ``session_not_found`` for what is no id."""
    return call.id("session_id", missing="session_not_found")


def who(call: RequestContext) -> session.Who:
    """The person behind the call, as a session asks."""
    principal = call.person
    return session.Who(user_id=principal.user_id, role=str(principal.role), origin=call.origin)


async def create(call: RequestContext) -> Answer:
    """Open a conversation."""
    call.services.new_sessions.count(call.person)
    new, now, store = uuid7(), call.services.clock.now(), call.services.storage
    make = sessions.Create(tenant_id=call.person.tenant_id, session_id=new, user_id=call.person.user_id, now=now)
    if call.idempotency is None:
        return _created(await store.ask(make))
    done = await store.ask(Once(tenant_id=make.tenant_id, key=call.idempotency, command=make, reply=_stored, now=now))
    return again(done.answer) if isinstance(done, Replayed) else _created(done.value)


def _created(new: str) -> Answer:
    return Answer(SessionCreateResponse(session_id=new), headers={"Location": f"/chat/sessions/{new}"})


def _stored(new: str) -> Stored:
    return stored(201, _created(new))


def stored(status: int, answer: Answer) -> Stored:
    """An answer as it is kept under an ``Idempotency-Key``."""
    assert isinstance(answer.body, BaseModel)
    return Stored(status, answer.body.model_dump_json().encode(), dict(answer.headers))


def again(kept: Stored) -> Answer:
    """The answer that was given before."""
    media = {"Content-Type": "application/json"} if kept.body else {}
    headers = {**media, **kept.headers, "Idempotency-Replayed": "true"}
    return Answer(kept.body, kept.status, headers)


async def page(call: RequestContext) -> Answer:
    """The agency's conversations, newest first."""
    query: SessionListQuery = call.query
    found = await call.services.storage.ask(
        sessions.Page(tenant_id=call.person.tenant_id, limit=query.limit, offset=query.offset)
    )
    return Answer(SessionListResponse.of(found, query))


async def read(call: RequestContext) -> Answer:
    """A conversation at a glance, with the approvals that wait in it."""
    found = await call.services.storage.ask(
        sessions.Read(tenant_id=call.person.tenant_id, session_id=session_id(call), now=call.services.clock.now())
    )
    return Answer(SessionSummaryResponse.of(found))


async def rename(call: RequestContext) -> Answer:
    """Give a conversation another title."""
    renamed = await call.services.root.ask(
        session.Rename(
            tenant_id=call.person.tenant_id,
            session_id=session_id(call),
            who=who(call),
            title=call.body.title,
        )
    )
    return Answer(SessionSummaryResponse.of(renamed))


async def delete(call: RequestContext) -> Answer:
    """Remove a conversation. What was booked in it stays.

    A running turn is cancelled first and awaited for 8 s.
    """
    await call.services.root.ask(
        session.Delete(tenant_id=call.person.tenant_id, session_id=session_id(call), who=who(call)),
        within=session.DELETE_TIMEOUT + 7,
    )
    return Answer()


async def cancel(call: RequestContext) -> Answer:
    """Cancel the running turn. Completed work is kept.

    With ``turn_id`` in the body only that turn is cancelled: 409 ``no_turn_running`` if another one runs by then.
    """
    body: CancelRequest | None = call.body
    turn_id = await call.services.root.ask(
        session.Cancel(
            tenant_id=call.person.tenant_id,
            session_id=session_id(call),
            who=who(call),
            turn_id=None if body is None else body.turn_id,
        )
    )
    return Answer(CancelResponse(turn_id=turn_id))


async def ticket(call: RequestContext) -> Answer:
    """A ticket for this conversation's stream, for browsers: it goes in the address, as ``ticket``.

    It is good for an hour and dies with the sign-in or key it was asked for with.
    """
    services, own = call.services, session_id(call)
    now = services.clock.now()
    await services.storage.ask(sessions.Read(tenant_id=call.person.tenant_id, session_id=own, now=now))
    issued = await services.accounts.ask(IssueTicket(principal=call.person, session_id=own))
    body = TicketResponse(ticket=issued.ticket, expires_at=issued.expires_at)
    return Answer(body, headers={"Cache-Control": "no-store"})


async def transcript(call: RequestContext) -> Answer:
    """The transcript: the newest messages older than ``before``, oldest first."""
    query: TranscriptQuery = call.query
    before = None if query.before is None else parse_uuid(query.before) or NO_MESSAGE
    found = await call.services.storage.ask(
        sessions.Messages(
            tenant_id=call.person.tenant_id, session_id=session_id(call), limit=query.limit, before=before
        )
    )
    return Answer(TranscriptResponse.of(found))


NO_MESSAGE = "00000000-0000-0000-0000-000000000000"
"""What a malformed message id stands for: no message there is."""
