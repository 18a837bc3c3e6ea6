"""``/auth/invites`` and ``/auth/accept-invite``."""

from __future__ import annotations

from ...actors.accounts.actor import AcceptInvite, CreateInvite, LookUpInvite, RevokeInvite
from ...actors.domain.errors import BadRequest
from ...actors.domain.identity import Role
from ...storage.accounts.invites import All
from ..examples import UUID
from ..operation import OBJECT, THROTTLED, operation
from ..request_context import Answer, RequestContext
from ..schemas.accounts import AuthResponse
from ..schemas.invites import (
    AcceptInviteRequest,
    CreateInviteRequest,
    CreateInviteResponse,
    InviteLookupQuery,
    InviteLookupResponse,
    InvitesQuery,
    InviteSummary,
    ListInvitesResponse,
    RevokeInviteResponse,
)

STATUSES = frozenset({"pending", "accepted", "revoked", "expired"})


@operation(
    name="create_invite",
    body=CreateInviteRequest,
    sends={"email": "ravi@example.com", "role": "agent"},
    reply=CreateInviteResponse,
    refusals={**THROTTLED, 409: ("email_already_registered", "invite_already_exists")},
)
async def create(call: RequestContext) -> Answer:
    """Invite a person to the agency by e-mail. Returns a link that can be handed over instead.

    Accepting by e-mail verifies the invitee's address, accepting by the returned link does not. Both are valid for
    seven days.
    """
    body: CreateInviteRequest = call.body
    done = await call.services.accounts.ask(
        CreateInvite(
            principal=call.person,
            email=body.email,
            role=Role(body.role),
            origin=call.origin,
            key=call.idempotency,
        )
    )
    return Answer(CreateInviteResponse.of(done.value)).mark_replayed(done.replayed)


@operation(
    name="list_invites",
    query=InvitesQuery,
    reply=ListInvitesResponse,
    refusals={400: ("invalid_status",)},
)
async def page(call: RequestContext) -> Answer:
    """List the agency's invites, newest first, optionally filtered by ``status``."""
    query: InvitesQuery = call.query
    if query.status is not None and query.status not in STATUSES:
        raise BadRequest("invalid_status")
    now = call.services.clock.now()
    found = await call.services.storage.ask(All(tenant_id=call.person.tenant_id, status=query.status, now=now))
    return Answer(ListInvitesResponse(items=[InviteSummary.of(invite) for invite in found]))


@operation(
    name="revoke_invite",
    reply=OBJECT,
    refusals={404: ("invite_not_found",), 409: ("invite_not_pending",)},
    example={"invite": {"id": UUID, "email": "ravi@example.com", "role": "agent", "status": "revoked"}},
)
async def revoke(call: RequestContext) -> Answer:
    """Revoke a pending invite. Its e-mail and its link stop working."""
    done = await call.services.accounts.ask(
        RevokeInvite(
            principal=call.person,
            invite_id=call.id("invite_id", missing="invite_not_found"),
            origin=call.origin,
            key=call.idempotency,
        )
    )
    return Answer(RevokeInviteResponse(invite=InviteSummary.of(done.value))).mark_replayed(done.replayed)


@operation(
    name="lookup_invite",
    query=InviteLookupQuery,
    reply=InviteLookupResponse,
    refusals={400: ("invite_not_pending", "invite_expired"), 404: ("invite_not_found",)},
)
async def lookup(call: RequestContext) -> Answer:
    """Look up an invite by its token: the inviter, the agency, the invitee's e-mail and role.

    The invite is not changed.
    """
    query: InviteLookupQuery = call.query
    found = await call.services.accounts.ask(LookUpInvite(token=query.token, origin=call.origin))
    return Answer(InviteLookupResponse.of(found))


@operation(
    name="accept_invite",
    body=AcceptInviteRequest,
    reply=AuthResponse,
    refusals={
        400: ("password_too_weak", "invite_not_pending", "invite_expired"),
        404: ("invite_not_found",),
        409: ("email_already_registered",),
    },
)
async def accept(call: RequestContext) -> Answer:
    """Accept an invite and create the member's account. Returns tokens.

    The token from the e-mail also verifies the address.
    """
    body: AcceptInviteRequest = call.body
    signed_in = await call.services.accounts.ask(
        AcceptInvite(token=body.token, password=body.password, full_name=body.full_name, origin=call.origin)
    )
    return Answer(AuthResponse.of(signed_in))
