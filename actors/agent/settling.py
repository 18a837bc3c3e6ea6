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
from .tools.supplier_tool import SupplierTool
from .tools.tool import InputInvalid, ToolContext

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
        tool = CATALOGUE.get(call.tool)
        if not isinstance(tool, SupplierTool):
            continue
        try:
            context = tools(call, session_id)
            await tool.settle(call, context.session_id, context)
        except (Refusal, InputInvalid, ActorFailed) as failure:
            _log.warning("write_settlement_failed", tool=call.tool, call_id=call.id, reason=type(failure).__name__)
        except Exception as defect:  # noqa: BLE001  # it is met again each minute, and must not end the agency each time
            _log.error("write_settlement_failed", tool=call.tool, call_id=call.id, exc_info=defect)
