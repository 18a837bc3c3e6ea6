"""``/audit``."""

from __future__ import annotations

from datetime import UTC
from typing import Any, Final

from aiohttp import hdrs, web

from ...actors.accounts.actor import Watch
from ...actors.domain.days import end_of, start_of
from ...actors.domain.errors import Unprocessable
from ...actors.domain.ids import parse_uuid
from ...actors.domain.spreadsheets import lines
from ...actors.foundation import log
from ...actors.foundation.threads import in_thread
from ...actors.signed_heads import HeadFile, NotSigned
from ...storage.audit_chain import Verify
from ...storage.audit_lists import BeginExport, Filters, Page
from ..agency_zone import agency_zone
from ..audit_export import HEADER, pieces
from ..download import Download
from ..examples import UUID
from ..operation import operation
from ..request_context import Answer, RequestContext
from ..schemas.audit import (
    AuditExportQuery,
    AuditFilters,
    AuditListQuery,
    AuditListResponse,
    AuditVerifyQuery,
    AuditVerifyResponse,
)
from .sessions import sender

NO_UUID: Final = {422: ("invalid_actor_id",)}
EXAMPLE: Final = lines(
    [
        HEADER,
        (
            "2026-11-23T10:15:02.114209Z",
            "auth.sign_in",
            "user",
            UUID,
            "asha@example.com",
            "ok",
            "auth.sign_in (succeeded)",
            '{"inputs":{"method":"password"},"outputs":{},"entity_refs":{}}',
        ),
    ]
).decode()
"""A file with one event."""
_log = log.get(__name__)
VERIFY_SECONDS: Final = 60.0
"""For the most rows that one request may have checked, on a busy machine."""


@operation(name="list_audit_events", query=AuditListQuery, reply=AuditListResponse, refusals=NO_UUID)
async def page(call: RequestContext) -> Answer:
    """List the agency's audit events, newest first."""
    query: AuditListQuery = call.query
    filters = await _filters(call, query)
    one = Page(tenant_id=call.person.tenant_id, filters=filters, limit=query.limit, offset=query.offset)
    return Answer(AuditListResponse.of(await call.storage.ask(one), query))


@operation(
    name="export_audit_csv",
    query=AuditExportQuery,
    reply={"type": "string"},
    media="text/csv",
    example=EXAMPLE,
    reply_headers=("Disposition",),
    refusals={**NO_UUID, 400: ("export_too_large",)},
)
async def export(call: RequestContext) -> web.StreamResponse:
    """Download the agency's audit events as CSV, newest first, at most 100,000. The export itself is audited."""
    query: AuditExportQuery = call.query
    access = await call.services.accounts.ask(Watch(call.person))
    now, tenant_id = call.services.clock.now(), call.person.tenant_id
    begin = BeginExport(
        tenant_id=tenant_id,
        filters=await _filters(call, query),
        asked=_asked(query),
        author=None if call.request.method == hdrs.METH_HEAD else sender(call),
        now=now,
    )
    extent = await call.storage.ask(begin)
    name = f"voyagent-audit-{tenant_id[:8]}-{now:%Y-%m-%d}.csv"
    rows = pieces(call.storage, tenant_id, extent, byte_order_mark=query.bom == 1)
    download = Download(rows, call.services.settings.sse_stall_seconds, access)
    return await download.send(call.request, name, "text/csv; charset=utf-8")


@operation(name="verify_audit_chain", query=AuditVerifyQuery, reply=AuditVerifyResponse, addition=True)
async def verify(call: RequestContext) -> Answer:
    """Recompute the agency's audit chain and name the first row that is missing or not what it was.

    The chain is compared with its head in the database, and with the head that was signed last and is kept apart.
    """
    query: AuditVerifyQuery = call.query
    tenant_id, settings = call.person.tenant_id, call.services.settings
    heads = HeadFile(settings.data_dir, settings.sealing_keys)
    try:
        signed = (await in_thread(heads.read)).get(tenant_id)
    except (NotSigned, OSError) as unreadable:
        _log.error("audit_heads_not_read", reason=f"{type(unreadable).__name__}: {unreadable}")
        signed, readable = None, False
    else:
        readable = True
    check = Verify(tenant_id=tenant_id, from_seq=query.from_seq, limit=query.limit, signed=signed)
    verdict = await call.storage.ask(check, within=VERIFY_SECONDS)
    return Answer(AuditVerifyResponse.of(verdict, signed, readable=readable))


async def _filters(call: RequestContext, query: AuditFilters) -> Filters:
    """Unprocessable ``invalid_actor_id``."""
    actor_id = None if query.actor_id is None else parse_uuid(query.actor_id)
    if query.actor_id is not None and actor_id is None:
        raise Unprocessable("invalid_actor_id")
    days = UTC if query.tz == "utc" or not (query.from_ or query.to) else await agency_zone(call)
    return Filters(
        actor_id=actor_id,
        kinds=query.kinds,
        created_from=start_of(query.from_, days) if query.from_ else None,
        created_before=end_of(query.to, days) if query.to else None,
    )


def _asked(query: AuditFilters) -> dict[str, Any]:
    """The filters as they were asked for, for the audit event of an export."""
    given = {
        "actor_id": query.actor_id,
        "kind": None if query.kinds is None else list(query.kinds),
        "from": query.from_ and query.from_.isoformat(),
        "to": query.to and query.to.isoformat(),
        "tz": query.tz if query.tz != "utc" else None,
    }
    return {name: value for name, value in given.items() if value is not None}
