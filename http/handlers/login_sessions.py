"""``/auth/sessions``: the caller's login sessions."""

from __future__ import annotations

from ...actors.accounts.actor import RevokeSession
from ...storage.accounts.sign_outs import ListLoginSessions
from ..operation import operation
from ..request_context import Answer, RequestContext
from ..schemas.login_sessions import SignedInSession, SignedInSessionsResponse


@operation(name="list_own_sessions", reply=SignedInSessionsResponse, addition=True)
async def page(call: RequestContext) -> Answer:
    """List the caller's active login sessions, most recently used first."""
    person = call.person
    sessions = await call.services.storage.ask(
        ListLoginSessions(tenant_id=person.tenant_id, user_id=person.user_id, now=call.services.clock.now())
    )
    items = [SignedInSession.of(session, person.family_id) for session in sessions]
    return Answer(SignedInSessionsResponse(items=items))


@operation(name="revoke_own_session", refusals={404: ("session_not_found",)}, addition=True)
async def revoke(call: RequestContext) -> Answer:
    """Revoke one of the caller's login sessions and its tokens, immediately. Revoking it again has no effect."""
    done = await call.services.accounts.ask(
        RevokeSession(
            principal=call.person,
            session_id=call.id("session_id", missing="session_not_found"),
            origin=call.origin,
            key=call.idempotency,
        )
    )
    return Answer().mark_replayed(done.replayed)
