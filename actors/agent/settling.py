"""Supplier writes that ended without an outcome: the supplier is asked again, and what it confirms is written down."""

from __future__ import annotations

from collections.abc import Callable

from ...storage import ledger
from .. import log
from ..clock import Clock
from ..domain.errors import Refusal
from ..domain.turns import Call
from ..runtime import ActorFailed, Asks
from .tools.catalogue import CATALOGUE
from .tools.tool import InputInvalid, Order, ToolContext

_log = log.get(__name__)

Tools = Callable[[Call, str | None], ToolContext]
"""The tools' way to the world, for a call of a session that may be gone."""


async def settle_writes(tenant_id: str, store: Asks, clock: Clock, tools: Tools) -> None:
    """Settle what can be settled of one agency; one that cannot is no reason to leave out the others."""
    try:
        lost = await store.ask(ledger.Lost(tenant_id=tenant_id, now=clock.now()))
    except Refusal as refusal:
        _log.warning("lost_writes_not_read", refusal=refusal.code)
        return
    for call, session_id in lost:
        try:
            await _settle(call, tools(call, session_id), store)
        except (Refusal, InputInvalid, ActorFailed) as failure:
            _log.warning("lost_write_not_settled", tool=call.tool, call_id=call.id, reason=type(failure).__name__)


async def _settle(call: Call, context: ToolContext, store: Asks) -> None:
    tool = CATALOGUE.get(call.tool)
    if not isinstance(tool, Order):
        return
    given = tool.parse(call.input)
    found = await tool.earlier(given, call.bound or {}, call.id, context)
    if found is None:
        return
    settle = ledger.Settle(
        tenant_id=context.tenant_id,
        call=call,
        record=tool.record(given, found, call, context),
        session_id=context.session_id,
        now=context.now,
    )
    if await store.ask(settle) is not None:
        _log.info("lost_write_settled", tool=call.tool, call_id=call.id)
