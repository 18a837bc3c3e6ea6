"""Tool calls: each call's row from ``proposed`` to its outcome, and the approval it may need in between.

A call's row is locked before the call is executed or decided, so each of these happens once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, insert, select, update

from ...actors.domain import audit as audits
from ...actors.domain import tool_calls as rules
from ...actors.domain.outcomes import NOT_PERMITTED, Failed, Outcome
from ...actors.domain.transcript import tool_result
from ...actors.domain.turns import GRANT_LIFE, ApprovalAsk, ToolCall
from ..engine.operations import Operation
from ..engine.statements import Rows, binds, statement
from ..schema.columns import Time
from ..tables import messages, pending_approvals, tool_calls, users
from .steps import Step, TranscriptMessage, Written, add_message

if TYPE_CHECKING:
    from ..engine.connection import Connection

MAY_ACT = and_(users.c.is_active, users.c.role != "viewer")
"""A user may act: active, and not a viewer."""
CALL = (
    *tool_calls.c["id", "turn_id", "call_id", "tool", "desk", "input", "effect", "user_id", "position", "state"],
    *tool_calls.c["bound", "approval_id", "decided_by", "decided_at", "error", "output", "driver", "input_sealed"],
)
"""The columns of a ``domain.turns.ToolCall``."""
THIS_CALL = and_(tool_calls.c.tenant_id == bindparam("tenant_id"), tool_calls.c.id == bindparam("id"))
_ITS_APPROVAL = and_(
    pending_approvals.c.tenant_id == tool_calls.c.tenant_id, pending_approvals.c.id == tool_calls.c.approval_id
)
_WITH_APPROVAL = tool_calls.outerjoin(pending_approvals, _ITS_APPROVAL)
_REPORTED = (
    select(messages.c.id)
    .where(
        messages.c.tenant_id == tool_calls.c.tenant_id,
        messages.c.session_id == tool_calls.c.session_id,
        messages.c.tool_call_id == tool_calls.c.id,
    )
    .exists()
)
_OF_TURN = (
    select(*CALL, pending_approvals.c.reason, _REPORTED.label("reported"))
    .select_from(_WITH_APPROVAL)
    .where(tool_calls.c.tenant_id == bindparam("tenant_id"), tool_calls.c.turn_id == bindparam("turn_id"))
    .order_by(tool_calls.c.created_at, tool_calls.c.position)
)
CALLS = statement(_OF_TURN)
CALLS_OF_TURN = Rows(_OF_TURN)


async def calls_of(db: Connection, tenant_id: str | None, turn_id: str) -> tuple[ToolCall, ...]:
    """The calls of one turn in the order they were asked for."""
    return tuple(ToolCall(**row) for row in await CALLS.fetch(db, tenant_id=tenant_id, turn_id=turn_id))


INSERT_CALL = statement(
    insert(tool_calls).values(
        **binds("id", "tenant_id", "session_id", "turn_id", "call_id", "tool", "desk", "input", "input_hash", "bound"),
        **binds("effect", "user_id", "approval_id", "position", "created_at", "input_sealed"),
        state="proposed",
    )
)


async def propose(db: Connection, step: Step[Any], call: ToolCall) -> None:
    """Insert a tool call that the model asks for."""
    await INSERT_CALL.execute(
        db,
        id=call.id,
        tenant_id=step.tenant_id,
        session_id=step.session_id,
        turn_id=call.turn_id,
        call_id=call.call_id,
        tool=call.tool,
        desk=call.desk or "orchestrator",
        input=call.input,
        input_hash=call.input_hash,
        bound=call.bound,
        effect=call.effect,
        user_id=call.user_id,
        approval_id=call.approval_id,
        position=call.position,
        created_at=step.now,
        input_sealed=call.input_sealed,
    )


INSERT_APPROVAL = statement(
    insert(pending_approvals).values(
        **binds("id", "tenant_id", "session_id", "turn_id", "tool_call_id", "tool_name", "summary", "payload", "bound"),
        **binds("input_hash", "approver_roles", "requested_at", "expires_at"),
        status="pending",
    )
)


async def request_approval(db: Connection, step: Step[Any], asked: ApprovalAsk) -> None:
    """Store an approval request before it is published."""
    call = asked.call
    await INSERT_APPROVAL.execute(
        db,
        id=asked.id,
        tenant_id=step.tenant_id,
        session_id=step.session_id,
        turn_id=call.turn_id,
        tool_call_id=call.id,
        tool_name=call.tool,
        summary=asked.summary,
        payload=call.input,
        bound=call.bound,
        input_hash=call.input_hash,
        approver_roles=list(asked.approver_roles),
        requested_at=step.now,
        expires_at=asked.expires_at,
    )


WITHDRAW = statement(
    update(pending_approvals)
    .filter_by(**binds("tenant_id", "id"), status="pending")
    .values(status="rejected", **binds("resolved_at", "resolved_by_user_id", "reason"))
)
CLOSE = statement(
    update(tool_calls)
    .where(THIS_CALL, tool_calls.c.state.in_(("proposed", "approved")))
    .values(state="failed", input_sealed=None, **binds("error", "ended_at"))
)


async def withdraw(db: Connection, step: Step[Any], call: ToolCall, by: audits.Author | None, reason: str) -> None:
    """Withdraw an undecided call and its approval."""
    await WITHDRAW.execute(
        db,
        tenant_id=step.tenant_id,
        id=call.approval_id,
        resolved_at=step.now,
        resolved_by_user_id=by and by.user_id,
        reason=reason,
    )
    await close(db, step, call, "withdrawn")


async def close(db: Connection, step: Step[Any], call: ToolCall, error: str) -> None:
    """End a call that will not run."""
    await CLOSE.execute(db, tenant_id=step.tenant_id, id=call.id, error=error, ended_at=step.now)


MARK_UNKNOWN = statement(
    update(tool_calls)
    .where(THIS_CALL, tool_calls.c.state == "executing")
    .values(state="unknown", error="outcome_unknown", **binds("output", "ended_at"))
)


async def mark_unknown(db: Connection, step: Step[Any], call: ToolCall, outcome: Outcome) -> None:
    """End a call whose outcome is unknown; it never runs again."""
    await MARK_UNKNOWN.execute(db, tenant_id=step.tenant_id, id=call.id, output=outcome.to_output(), ended_at=step.now)


FINISH = statement(
    update(tool_calls)
    .where(THIS_CALL, tool_calls.c.state.not_in(("succeeded", "failed", "unknown")))
    .values(
        **binds("state", "output", "error", "driver"),
        input_sealed=None,
        started_at=func.coalesce(tool_calls.c.started_at, bindparam("now", type_=Time)),
        ended_at=bindparam("now"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Step[Outcome]):
    """Store a call's outcome in its row, the transcript, the audit and the event log, and return it.

    ``result`` is the outcome, or the tool's own write (a booking, for example) in the same transaction, which returns
    it.
    """

    call: ToolCall
    message_id: str
    result: Outcome | Operation[Outcome]

    async def run(self, db: Connection) -> Written[Outcome]:
        outcome = await self.result.run(db) if isinstance(self.result, Operation) else self.result
        return await conclude(db, self, outcome, starts=False)


async def conclude(db: Connection, step: Result | Perform, outcome: Outcome, *, starts: bool) -> Written[Outcome]:
    """Store a call's outcome: row, transcript message, events and audit events."""
    call = step.call
    await FINISH.execute(
        db,
        tenant_id=step.tenant_id,
        id=call.id,
        state=outcome.state,
        output=outcome.to_output(),
        error=outcome.error,
        driver=call.driver,
        now=step.now,
    )
    block = tool_result(call.call_id, call.tool, outcome)
    await add_message(db, step, step.message_id, call.turn_id, TranscriptMessage("tool", [block], tool_call_id=call.id))
    events = rules.result_events(call, outcome)
    return await step.write(db, outcome, events, rules.audit_of_result(call, outcome, step.at, starts=starts))


_USER_ACTIVE = (
    select(MAY_ACT)
    .where(users.c.tenant_id == tool_calls.c.tenant_id, users.c.id == tool_calls.c.user_id)
    .scalar_subquery()
)
LOCK_CALL = statement(
    select(
        *tool_calls.c["state", "approval_id", "decided_at", "input_hash"],
        pending_approvals.c.status,
        pending_approvals.c.input_hash.label("approved_hash"),
        _USER_ACTIVE.label("user_active"),
    )
    .select_from(_WITH_APPROVAL)
    .where(THIS_CALL)
    .with_for_update(key_share=True, of=tool_calls)
)


async def objection(db: Connection, call: ToolCall, tenant_id: str | None, now: datetime) -> Failed | None:
    """Why a locked call may not run now, or None. Read in the transaction that runs it."""
    row = await LOCK_CALL.fetchrow(db, tenant_id=tenant_id, id=call.id)
    if row is None or row["state"] in ("succeeded", "failed", "unknown"):
        raise AlreadyDone(call.id)
    if not row["user_active"]:
        return NOT_PERMITTED
    if row["approval_id"] is None:
        return None
    if row["status"] != "granted" or row["approved_hash"] != call.input_hash or row["input_hash"] != call.input_hash:
        return Failed("changed_since_approval", "this is not what was approved")
    if row["state"] == "approved" and now - row["decided_at"] > GRANT_LIFE:
        return Failed("approval_stale", "the approval was given too long ago")
    return None


class AlreadyDone(Exception):
    """The call has its outcome already; it must not be executed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perform(Step[Outcome]):
    """Run a tool on our own tables: effect, tool call, transcript, audit and events in one transaction.

    ``bind`` recomputes what the approver was shown; if it differs, the call fails instead of running.
    """

    call: ToolCall
    message_id: str
    plan: Operation[Outcome]
    bind: Operation[Any] | None = None

    async def run(self, db: Connection) -> Written[Outcome]:
        refused = await objection(db, self.call, self.tenant_id, self.now)
        if refused is None and self.bind is not None:
            gate = await self.bind.run(db)
            if getattr(gate, "bound", None) != self.call.bound:
                refused = Failed("changed_since_approval", "what was approved has changed; ask again")
        outcome = await self.plan.run(db) if refused is None else refused
        return await conclude(db, self, outcome, starts=True)


EXECUTING = statement(
    update(tool_calls)
    .where(THIS_CALL, tool_calls.c.state.in_(("proposed", "approved")))
    .values(state="executing", **binds("driver", "started_at"))
)
IS_EXECUTING = statement(select(tool_calls.c.state == "executing").where(THIS_CALL))


@dataclass(frozen=True, slots=True)
class Begun:
    """Whether a supplier's write may begin.

    ``refused`` is the refusal. ``begun_before``: its outcome is looked up first.
    """

    refused: Failed | None = None
    begun_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Step[Begun]):
    """Before a supplier's write: set the tool call to ``executing`` and audit ``started``, once."""

    call: ToolCall
    driver: str

    async def run(self, db: Connection) -> Written[Begun]:
        refused = await objection(db, self.call, self.tenant_id, self.now)
        call = {"tenant_id": self.tenant_id, "id": self.call.id}
        if await IS_EXECUTING.fetchval(db, **call):
            return Written(Begun(begun_before=True), ())
        if refused is not None:
            return Written(Begun(refused), ())
        await EXECUTING.execute(db, **call, driver=self.driver, started_at=self.now)
        return await self.write(db, Begun(), (), [rules.audit_event(self.call, "started", self.at)])
