"""The shapes of ``/auth/invites`` and ``/auth/accept-invite`` (identity 4 and 9.15 to 9.19)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from ...actors.accounts.invites import Invited
from ...storage.accounts.invites import Found, Invite
from .accounts import Email, FullName, NewPassword
from .members import known_role
from .proofs import Closed, Token
from .shared import Body, Query, UtcTime


class CreateInviteRequest(Body):
    """Whom to invite, and as what."""

    email: Email
    role: Annotated[str, Field(max_length=32), AfterValidator(known_role)] = "agent"


class InviteSummary(Closed):
    """An invite. A pending one that has lapsed is ``expired``."""

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
    """The invite, and a link to hand over. A letter with a link of its own is on its way."""

    invite: InviteSummary
    invite_link: str

    @classmethod
    def of(cls, invited: Invited) -> CreateInviteResponse:
        return cls(invite=InviteSummary.of(invited.invite), invite_link=invited.link)


class RevokeInviteResponse(Closed):
    """The invite as it is now."""

    invite: InviteSummary


class InvitesQuery(Query):
    """Only those of one status, or all. Whether there is such a status is asked later: that refusal is a 400."""

    status: str | None = None


class ListInvitesResponse(Closed):
    """Invites, newest first."""

    items: list[InviteSummary]


class InviteLookupQuery(Query):
    """Either token of an invite."""

    token: Token


class InviteLookupResponse(Closed):
    """What the invitee needs to know before they join."""

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
    """Either token of an invite, and who joins."""

    token: Token
    password: NewPassword
    full_name: FullName
