"""``GET /reports/tally/ledgers`` and ``GET /reports/tally/vouchers``: the books for TallyPrime."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from aiohttp import web

from ...actors.accounts.actor import Watch
from ...actors.domain.errors import Unprocessable
from ...actors.domain.tally import CLOSING, Ledgers, masters_of_parties, opening
from ...actors.runtime.actor import Recipient
from ...storage.accounts.settings import Load
from ...storage.vouchers import Begin, Extent
from ..download import Download
from ..operation import operation
from ..request_context import RequestContext
from ..schemas.tally import TallyQuery
from ..tally_export import masters, vouchers

OTHERS: Final = "X-Voyagent-Other-Currencies"
"""The header that names what the file leaves out: further currencies of its days."""
_EXAMPLE: Final = (
    opening("All Masters") + masters_of_parties([("customer", "A & B Tours")], Ledgers((), frozenset())) + CLOSING
)
_FILE: Final[dict[str, Any]] = {
    "query": TallyQuery,
    "reply": {"type": "string"},
    "media": "application/xml",
    "reply_headers": ("Disposition", "OtherCurrencies"),
    "refusals": {422: ("from must be on or before to",)},
    "addition": True,
}
"""What both operations have in common."""


@operation(name="export_tally_ledgers", example=_EXAMPLE.decode(), **_FILE)
async def export_ledgers(call: RequestContext) -> web.StreamResponse:
    """Download the ledgers that vouchers of these days name, as masters for TallyPrime. Import them first."""
    return await _send(call, "ledgers", masters)


@operation(name="export_tally_vouchers", example=(opening("Vouchers") + CLOSING).decode(), **_FILE)
async def export_vouchers(call: RequestContext) -> web.StreamResponse:
    """Download the journals of these days in one currency as vouchers for TallyPrime, by entry date."""
    return await _send(call, "vouchers", vouchers)


async def _send(
    call: RequestContext, what: str, pieces: Callable[[Recipient, str, Extent], AsyncGenerator[bytes, None]]
) -> web.StreamResponse:
    query: TallyQuery = call.query
    if query.from_ > query.to:
        raise Unprocessable("from must be on or before to")
    access = await call.services.accounts.ask(Watch(call.person))
    tenant_id, store, now = call.person.tenant_id, call.storage, call.services.clock.now()
    settings = await store.ask(Load(tenant_id=tenant_id, now=now))
    currency = query.currency or settings.default_currency
    extent = await store.ask(Begin(tenant_id=tenant_id, first=query.from_, last=query.to, currency=currency))
    download = Download(pieces(store, tenant_id, extent), call.services.settings.sse_stall_seconds, access)
    name = f"voyagent-tally-{what}-{tenant_id[:8]}-{currency}-{query.from_}-{query.to}.xml"
    return await download.send(call.request, name, "application/xml", {OTHERS: ", ".join(extent.others)})
