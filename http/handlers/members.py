"""``/auth/members``: the members of an agency, for its admins."""

from __future__ import annotations

from ...actors.accounts.actor import ChangeMember
from ...actors.domain.identity import Role
from ...storage.accounts.members import Page
from ..operation import operation
from ..request_context import Answer, RequestContext
from ..schemas.members import MemberItem, MemberPatchRequest, MembersQuery, MembersResponse


@operation(name="list_members", query=MembersQuery, reply=MembersResponse, addition=True)
async def page(call: RequestContext) -> Answer:
    """List the agency's members, oldest first."""
    query: MembersQuery = call.query
    load = Page(tenant_id=call.person.tenant_id, limit=query.limit, offset=query.offset)
    return Answer(MembersResponse.of(await call.services.storage.ask(load), query))


@operation(
    name="change_member",
    body=MemberPatchRequest,
    sends={"role": "ticketing_lead"},
    reply=MemberItem,
    refusals={404: ("member_not_found",), 409: ("last_admin",)},
    addition=True,
)
async def change(call: RequestContext) -> Answer:
    """Change a member's role, or deactivate or reactivate the member. It takes effect on the member's next request.

    Deactivation permanently revokes the member's login sessions, API keys and pending invites.
    """
    body: MemberPatchRequest = call.body
    sent = body.model_fields_set
    changed = await call.services.accounts.ask(
        ChangeMember(
            tenant_id=call.person.tenant_id,
            user_id=call.id("user_id", missing="member_not_found"),
            role=Role(body.role) if "role" in sent else None,
            is_active=body.is_active if "is_active" in sent else None,
            by=call.person,
            origin=call.origin,
        )
    )
    return Answer(MemberItem.of(changed))
