"""Tool calls: each call's row from ``proposed`` to its outcome, and the approval it may need in between.

A call's row is locked before the call is executed or decided, so each of these happens once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ...actors.domain import audit as audits
from ...actors.domain import ids
from ...actors.domain import tool_calls as rules
from ...actors.domain.outcomes import NOT_PERMITTED, Failed, Outcome
from ...actors.domain.transcript import tool_result
from ...actors.domain.turns import GRANT_LIFE, ApprovalAsk, ToolCall
from .. import audit
from ..engine.operations import Command, Operation, Query
from .steps import Step, TranscriptMessage, Written, add_message

if TYPE_CHECKING:
    from ..engine.pool import Connection

CALLS = """
SELECT c.id, c.turn_id, c.call_id, c.tool, c.desk, c.input, c.effect, c.user_id, c.position, c.state, c.bound,
       c.approval_id, c.decided_by, c.decided_at, p.reason, c.error, c.output, c.driver,
       EXISTS (SELECT FROM messages m WHERE m.tenant_id = c.tenant_id AND m.session_id = c.session_id
                                        AND m.tool_call_id = c.id) AS reported
  FROM tool_calls c LEFT JOIN pending_approvals p ON p.tenant_id = c.tenant_id AND p.id = c.approval_id
 WHERE c.tenant_id = $1 AND c.turn_id = $2 ORDER BY c.created_at, c.position
"""


async def calls_of(db: Connection, tenant_id: str | None, turn_id: str) -> tuple[ToolCall, ...]:
    """The calls of one turn in the order they were asked for."""
    return tuple(ToolCall(**row) for row in await db.fetch(CALLS, tenant_id, turn_id))


INSERT_CALL = """
INSERT INTO tool_calls (id, tenant_id, session_id, turn_id, call_id, tool, desk, input, input_hash, bound, effect,
                        state, user_id, approval_id, position, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'proposed', $12, $13, $14, $15)
"""


async def propose(db: Connection, step: Step[Any], call: ToolCall) -> None:
    """Insert a tool call that the model asks for."""
    await db.execute(
        INSERT_CALL,
        call.id,
        step.tenant_id,
        step.session_id,
        call.turn_id,
        call.call_id,
        call.tool,
        call.desk or "orchestrator",
        call.input,
        call.input_hash,
        call.bound,
        call.effect,
        call.user_id,
        call.approval_id,
        call.position,
        step.now,
    )


INSERT_APPROVAL = """
INSERT INTO pending_approvals (id, tenant_id, session_id, turn_id, tool_call_id, tool_name, summary, payload, bound,
                               input_hash, approver_roles, requested_at, expires_at, status)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'pending')
"""


async def ask(db: Connection, step: Step[Any], asked: ApprovalAsk) -> None:
    """Store an approval request before it is published."""
    call = asked.call
    await db.execute(
        INSERT_APPROVAL,
        asked.id,
        step.tenant_id,
        step.session_id,
        call.turn_id,
        call.id,
        call.tool,
        asked.summary,
        call.input,
        call.bound,
        call.input_hash,
        list(asked.approver_roles),
        step.now,
        asked.expires_at,
    )


WITHDRAW = """
UPDATE pending_approvals SET status = 'rejected', resolved_at = $3, resolved_by_user_id = $4, reason = $5
 WHERE tenant_id = $1 AND id = $2 AND status = 'pending'
"""
DROP = """
UPDATE tool_calls SET state = 'failed', error = $3, ended_at = $4
 WHERE tenant_id = $1 AND id = $2 AND state IN ('proposed', 'approved')
"""


async def withdraw(db: Connection, step: Step[Any], call: ToolCall, by: audits.Author | None, reason: str) -> None:
    """Withdraw an undecided call and its approval."""
    await db.execute(WITHDRAW, step.tenant_id, call.approval_id, step.now, by and by.user_id, reason)
    await drop(db, step, call, "withdrawn")


async def drop(db: Connection, step: Step[Any], call: ToolCall, why: str) -> None:
    """End a call that will not run."""
    await db.execute(DROP, step.tenant_id, call.id, why, step.now)


LOSE = """
UPDATE tool_calls SET state = 'unknown', output = $3, error = 'outcome_unknown', ended_at = $4
 WHERE tenant_id = $1 AND id = $2 AND state = 'executing'
"""


async def lose(db: Connection, step: Step[Any], call: ToolCall, outcome: Outcome) -> None:
    """End a call whose outcome is unknown; it never runs again."""
    await db.execute(LOSE, step.tenant_id, call.id, outcome.to_output(), step.now)


FINISH = """
UPDATE tool_calls SET state = $3, output = $4, error = $5, driver = $6, started_at = coalesce(started_at, $7),
                      ended_at = $7
 WHERE tenant_id = $1 AND id = $2 AND state NOT IN ('succeeded', 'failed', 'unknown')
"""


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
    await db.execute(
        FINISH,
        step.tenant_id,
        call.id,
        outcome.state,
        outcome.to_output(),
        outcome.error,
        call.driver,
        step.now,
    )
    block = tool_result(call.call_id, call.tool, outcome)
    await add_message(db, step, step.message_id, call.turn_id, TranscriptMessage("tool", [block], tool_call_id=call.id))
    events = rules.result_events(call, outcome)
    return await step.write(db, outcome, events, rules.audit_of_result(call, outcome, step.at, starts=starts))


LOCK_CALL = """
SELECT c.state, c.approval_id, c.decided_at, c.input_hash, p.status, p.input_hash AS approved_hash,
       (SELECT u.is_active AND u.role <> 'viewer' FROM users u WHERE u.tenant_id = c.tenant_id AND u.id = c.user_id)
           AS user_active
  FROM tool_calls c LEFT JOIN pending_approvals p ON p.tenant_id = c.tenant_id AND p.id = c.approval_id
 WHERE c.tenant_id = $1 AND c.id = $2 FOR NO KEY UPDATE OF c
"""


async def objection(db: Connection, call: ToolCall, tenant_id: str | None, now: datetime) -> Failed | None:
    """Why a locked call may not run now, or None. Read in the transaction that runs it."""
    row = await db.fetchrow(LOCK_CALL, tenant_id, call.id)
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


EXECUTING = """
UPDATE tool_calls SET state = 'executing', driver = $3, started_at = $4
 WHERE tenant_id = $1 AND id = $2 AND state IN ('proposed', 'approved') RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Begun:
    """Whether a supplier's write may begin.

    ``refused`` is the refusal. ``again``: the write has begun before, so its outcome is looked up first.
    """

    refused: Failed | None = None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Step[Begun]):
    """Before a supplier's write: set the tool call to ``executing`` and audit ``started``, once."""

    call: ToolCall
    driver: str

    async def run(self, db: Connection) -> Written[Begun]:
        refused = await objection(db, self.call, self.tenant_id, self.now)
        if await db.fetchval(IS_EXECUTING, self.tenant_id, self.call.id):
            return Written(Begun(again=True), ())
        if refused is not None:
            return Written(Begun(refused), ())
        await db.execute(EXECUTING, self.tenant_id, self.call.id, self.driver, self.now)
        return await self.write(db, Begun(), (), [rules.audit_event(self.call, "started", self.at)])


IS_EXECUTING = "SELECT state = 'executing' FROM tool_calls WHERE tenant_id = $1 AND id = $2"

SETTLE_WITHIN = timedelta(hours=24)
"""How long a write without outcome is looked up; after that the agency has to ask the supplier."""
OFTEN_WITHIN = timedelta(minutes=10)
SELDOM_MINUTES = 15

LOST = """
 c.driver IS NOT NULL AND c.started_at > $1
   AND (c.started_at > $2 OR mod(extract(epoch FROM $3::timestamptz - c.started_at)::int / 60, $4::int) = 0)
   AND (c.state = 'unknown' OR c.state = 'executing' AND NOT EXISTS (
        SELECT FROM turns t WHERE t.tenant_id = c.tenant_id AND t.id = c.turn_id
                              AND t.state IN ('queued', 'running', 'waiting')))
"""
AGENCIES_TO_SETTLE = (
    f"SELECT DISTINCT c.tenant_id FROM tool_calls c WHERE c.state IN ('unknown', 'executing') AND {LOST}"  # noqa: S608  # our own words
)


def _within(now: datetime) -> tuple[datetime, datetime, datetime, int]:
    return now - SETTLE_WITHIN, now - OFTEN_WITHIN, now, SELDOM_MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class WithLost(Query[list[str]]):
    """Agencies with supplier writes that no turn is executing and whose outcome is due to be looked up."""

    now: datetime

    async def run(self, db: Connection) -> list[str]:
        return [row["tenant_id"] for row in await db.fetch(AGENCIES_TO_SETTLE, *_within(self.now))]


LOST_WRITES = f"""
SELECT c.id, c.turn_id, c.call_id, c.tool, c.desk, c.input, c.effect, c.user_id, c.position, c.state, c.bound,
       c.approval_id, c.decided_by, c.decided_at, c.error, c.output, c.driver, c.session_id
  FROM tool_calls c WHERE c.tenant_id = $5 AND c.state IN ('unknown', 'executing') AND {LOST} ORDER BY c.id LIMIT 100
"""  # noqa: S608  # our own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(Query[list[tuple[ToolCall, str | None]]]):
    """Supplier writes without outcome of one agency, each with its session if that still exists."""

    now: datetime

    async def run(self, db: Connection) -> list[tuple[ToolCall, str | None]]:
        rows = [dict(row) for row in await db.fetch(LOST_WRITES, *_within(self.now), self.tenant_id)]
        sessions = [row.pop("session_id") for row in rows]
        return [(ToolCall(**row), session) for row, session in zip(rows, sessions, strict=True)]


LOCK_LOST = "SELECT state FROM tool_calls WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE"
SETTLE = "UPDATE tool_calls SET state = $3, output = $4, error = $5, ended_at = $6 WHERE tenant_id = $1 AND id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Command[Outcome | None]):
    """Store the outcome a supplier confirms for a lost write. None if it has been stored meanwhile.

    The transcript keeps what was reported at the time; tool call, audit and our own tables have the outcome.
    """

    call: ToolCall
    record: Operation[Outcome]
    session_id: str | None
    now: datetime

    async def run(self, db: Connection) -> Outcome | None:
        if await db.fetchval(LOCK_LOST, self.tenant_id, self.call.id) not in ("unknown", "executing"):
            return None
        outcome = await self.record.run(db)
        if outcome.state == "unknown":  # recorded, but its output does not fit its schema: nothing new to report
            return None
        output = outcome.to_output()
        await db.execute(SETTLE, self.tenant_id, self.call.id, outcome.state, output, outcome.error, self.now)
        at = rules.Context(self.tenant_id or "", self.session_id, self.now, ids.uuid7)
        await audit.append(db, [rules.audit_of_outcome(self.call, outcome, at)])
        return outcome
