"""``/approvals``."""

from __future__ import annotations

from typing import Final

from ...actors import tenant
from ...actors.conversation import session_messages
from ...actors.domain.approvals import Decision
from ...actors.domain.errors import Unprocessable
from ...actors.domain.ids import parse_uuid
from ...actors.runtime.actor import hint
from ...storage.conversation import approvals
from ..operation import RUNTIME_UNAVAILABLE, Refusals, operation
from ..request_context import Answer, RequestContext
from ..schemas.approvals import ApprovalItem, ApprovalListQuery, ApprovalListResponse, ResolveApprovalRequest
from .sessions import sender

NO_APPROVAL: Final[Refusals] = {404: ("approval_not_found",)}


@operation(
    name="list_approvals",
    query=ApprovalListQuery,
    reply=ApprovalListResponse,
    refusals={422: ("invalid_session_id",)},
)
async def page(call: RequestContext) -> Answer:
    """List approvals, newest request first. Pending ones unless ``status`` is given."""
    query: ApprovalListQuery = call.query
    session_id = None if query.session_id is None else parse_uuid(query.session_id)
    if query.session_id is not None and session_id is None:
        raise Unprocessable("invalid_session_id")
    found = await call.storage.ask(
        approvals.Page(
            tenant_id=call.person.tenant_id,
            status=query.status,
            session_id=session_id,
            limit=query.limit,
            offset=query.offset,
            now=call.services.clock.now(),
        )
    )
    for overdue in found.overdue:  # their sessions record the expiry
        hint(call.services.root, session_messages.Wake(tenant_id=call.person.tenant_id, session_id=overdue))
    items = [ApprovalItem.of(approval) for approval in found.items]
    return Answer(ApprovalListResponse(items=items, total=found.total, limit=query.limit, offset=query.offset))


@operation(name="get_approval", reply=ApprovalItem, refusals=NO_APPROVAL)
async def read(call: RequestContext) -> Answer:
    """Retrieve an approval, with the exact tool input that will run once it is granted."""
    found = await call.storage.ask(
        approvals.Get(
            tenant_id=call.person.tenant_id,
            approval_id=call.path["approval_id"],
            now=call.services.clock.now(),
        )
    )
    return Answer(ApprovalItem.of(found))


@operation(
    name="resolve_approval_endpoint",
    body=ResolveApprovalRequest,
    sends={"granted": True, "reason": "The customer agreed"},
    reply=ApprovalItem,
    refusals={**NO_APPROVAL, **RUNTIME_UNAVAILABLE, 409: ("approval_already_resolved",)},
)
async def resolve(call: RequestContext) -> Answer:
    """Grant or reject a pending approval. Of concurrent decisions exactly one is accepted."""
    body: ResolveApprovalRequest = call.body
    done = await call.services.root.ask(
        tenant.Resolve(
            tenant_id=call.person.tenant_id,
            who=sender(call),
            decision=Decision(call.path["approval_id"], body.granted, body.reason),
            key=call.idempotency,
        )
    )
    return Answer(ApprovalItem.of(done.value)).mark_replayed(done.replayed)
