"""Requests and responses of ``/auth/members`` (docs/contract/identity.md 10)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from ...actors.domain.identity import Role
from ...storage.accounts.members import Member, Members
from .shared import UNSENT, Body, Paging, Reply, UtcTime, coded


def known_role(name: str) -> str:
    """``name`` if it is one of the five roles; else ``invalid_role``."""
    if name not in frozenset(Role):
        raise coded("invalid_role")
    return name


RoleName = Annotated[
    str, Field(max_length=32), AfterValidator(known_role), WithJsonSchema({"type": "string", "enum": [*Role]})
]
"""One of the five roles."""


class MembersQuery(Paging):
    """Page of the list of members."""


class MemberPatchRequest(Body):
    """A new role, or activation or deactivation. Omitted fields are kept."""

    role: RoleName = Field(default=UNSENT)
    is_active: bool = Field(default=UNSENT)


class MemberItem(Reply):
    """A member of the agency."""

    id: str
    email: str
    full_name: str | None
    role: str
    is_active: bool
    email_verified: bool
    totp_enabled: bool
    last_login_at: UtcTime | None
    created_at: UtcTime

    @classmethod
    def of(cls, member: Member) -> MemberItem:
        return cls(
            id=member.id,
            email=member.email,
            full_name=member.full_name,
            role=member.role,
            is_active=member.is_active,
            email_verified=member.email_verified,
            totp_enabled=member.totp_enabled,
            last_login_at=member.last_login_at,
            created_at=member.created_at,
        )


class MembersResponse(Reply):
    """A page of members, oldest first."""

    items: list[MemberItem]
    total: int
    limit: int
    offset: int

    @classmethod
    def of(cls, page: Members, query: MembersQuery) -> MembersResponse:
        items = [MemberItem.of(member) for member in page.items]
        return cls(items=items, total=page.total, limit=query.limit, offset=query.offset)
