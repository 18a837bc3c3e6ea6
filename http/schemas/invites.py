"""Requests and responses of invites (docs/contract/identity.md 4 and 9.15 to 9.19)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from ...storage.accounts.invites import Found, Invite, Invited
from .accounts import Email, FullName, NewPassword
from .members import known_role
from .shared import Body, Closed, Query, Token, UtcTime


class CreateInviteRequest(Body):
    """The invitee's e-mail address and role."""

    email: Email
    role: Annotated[str, Field(max_length=32), AfterValidator(known_role)] = "agent"


class InviteSummary(Closed):
    """An invite. ``status`` is ``expired`` once a pending invite is past ``expires_at``."""

    id: str
    tenant_id: str
    email: str
    role: str
    status: str
    expires_at: UtcTime
    created_at: UtcTime
    accepted_at: UtcTime | None
    revoked_at: UtcTime | None
    invited_by_user_id: str

    @classmethod
    def of(cls, invite: Invite) -> InviteSummary:
        return cls(
            id=invite.id,
            tenant_id=invite.tenant_id,
            email=invite.email,
            role=invite.role,
            status=invite.status,
            expires_at=invite.expires_at,
            created_at=invite.created_at,
            accepted_at=invite.accepted_at,
            revoked_at=invite.revoked_at,
            invited_by_user_id=invite.invited_by_user_id,
        )


class CreateInviteResponse(Closed):
    """The invite, and a link to hand over. An e-mail with a different link is sent to the invitee."""

    invite: InviteSummary
    invite_link: str

    @classmethod
    def of(cls, invited: Invited) -> CreateInviteResponse:
        return cls(invite=InviteSummary.of(invited.invite), invite_link=invited.link)


class RevokeInviteResponse(Closed):
    """The revoked invite."""

    invite: InviteSummary


class InvitesQuery(Query):
    """Optional filter by status. An unknown status is rejected by the handler: that error is a 400."""

    status: str | None = None


class ListInvitesResponse(Closed):
    """Invites, newest first."""

    items: list[InviteSummary]


class InviteLookupQuery(Query):
    """The token of an invite, from its e-mail or its link."""

    token: Token


class InviteLookupResponse(Closed):
    """What the invitee sees before accepting."""

    email: str
    role: str
    tenant_name: str
    inviter_email: str
    expires_at: UtcTime

    @classmethod
    def of(cls, found: Found) -> InviteLookupResponse:
        return cls(
            email=found.email,
            role=found.role,
            tenant_name=found.tenant_name,
            inviter_email=found.inviter_email,
            expires_at=found.expires_at,
        )


class AcceptInviteRequest(Body):
    """The token of an invite, from its e-mail or its link, and the new member's name and password."""

    token: Token
    password: NewPassword
    full_name: FullName
