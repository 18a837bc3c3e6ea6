"""Settles supplier writes without outcome: looks each up at its supplier and stores what that confirms."""

from __future__ import annotations

from collections.abc import Callable

from ...storage.conversation import unsettled_writes
from ..domain.errors import Refusal
from ..domain.turns import ToolCall
from ..foundation import log
from ..foundation.clock import Clock
from ..runtime.actor import ActorFailed, Recipient
from .tools.catalogue import CATALOGUE
from .tools.tool import InputInvalid, SupplierTool, ToolContext

_log = log.get(__name__)

Tools = Callable[[ToolCall, str | None], ToolContext]
"""Makes the tool context of a call whose session may have been deleted."""


async def settle_writes(tenant_id: str, store: Recipient, clock: Clock, tools: Tools) -> None:
    """Settle the unsettled writes of one agency; a failure to settle one does not stop the others."""
    try:
        unsettled = await store.ask(unsettled_writes.Unsettled(tenant_id=tenant_id, now=clock.now()))
    except Refusal as refusal:
        _log.warning("unsettled_writes_read_failed", refusal=refusal.code)
        return
    for call, session_id in unsettled:
        try:
            await _settle(call, tools(call, session_id), store)
        except (Refusal, InputInvalid, ActorFailed) as failure:
            _log.warning("write_settlement_failed", tool=call.tool, call_id=call.id, reason=type(failure).__name__)


async def _settle(call: ToolCall, context: ToolContext, store: Recipient) -> None:
    tool = CATALOGUE.get(call.tool)
    if not isinstance(tool, SupplierTool):
        return
    given = tool.parse(call.input)
    found = await tool.find_previous(given, call.bound or {}, call.id, context)
    if found is None:
        return
    settle = unsettled_writes.Settle(
        tenant_id=context.tenant_id,
        call=call,
        record=tool.record(given, found, call, context),
        session_id=context.session_id,
        now=context.now,
    )
    if await store.ask(settle) is not None:
        _log.info("write_settled", tool=call.tool, call_id=call.id)
