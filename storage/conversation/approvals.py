"""Approvals: list, read, decide and expire them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, and_, bindparam, case, func, or_, select, update

from ...actors.domain import audit as audits
from ...actors.domain import tool_calls as rules
from ...actors.domain.approvals import Approval, Decision
from ...actors.domain.blocks import shown
from ...actors.domain.errors import Conflict, Forbidden, NotFound, Refusal
from ...actors.domain.events import Event
from ...actors.domain.turns import Started
from ..engine import idempotency
from ..engine.operations import Query, Snapshot
from ..engine.statements import binds, statement
from ..schema.columns import Time, Uuid
from ..tables import pending_approvals, tool_calls
from .steps import SET_INPUT, Step, Written

if TYPE_CHECKING:
    from ..engine.connection import Connection

_NOW = bindparam("now", type_=Time)
IS_OVERDUE = and_(pending_approvals.c.status == "pending", pending_approvals.c.expires_at <= _NOW)
STATUS = case((IS_OVERDUE, "expired"), else_=pending_approvals.c.status)
APPROVAL = (
    *pending_approvals.c["id", "session_id", "turn_id", "tool_call_id", "tool_name", "summary", "requested_at"],
    *pending_approvals.c["expires_at", "payload", "resolved_at", "resolved_by_user_id", "reason", "approver_roles"],
    STATUS.label("status"),
)

ONE = statement(select(*APPROVAL).filter_by(**binds("tenant_id", "id")))
_SESSION_ID = bindparam("session_id", type_=Uuid)
_STATUS = bindparam("status", type_=Text)
LISTED = and_(
    pending_approvals.c.tenant_id == bindparam("tenant_id"),
    or_(_SESSION_ID.is_(None), pending_approvals.c.session_id == _SESSION_ID),
    or_(_STATUS == "all", STATUS == _STATUS),
)
PAGE = statement(
    select(*APPROVAL, func.count().over().label("total"))
    .where(LISTED)
    .order_by(pending_approvals.c.requested_at.desc(), pending_approvals.c.id.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
COUNT = statement(select(func.count()).select_from(pending_approvals).where(LISTED))
OVERDUE = statement(
    select(pending_approvals.c.session_id).distinct().filter_by(**binds("tenant_id")).where(IS_OVERDUE).limit(1000)
)


@dataclass(frozen=True, slots=True)
class Approvals:
    """One page of approvals; ``overdue`` names the sessions whose expired approvals are still to be stored."""

    items: tuple[Approval, ...]
    total: int
    overdue: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Snapshot[Approvals]):
    """Newest request first. Overdue ones read as ``expired``, whether or not the expiry has been stored."""

    status: str
    session_id: str | None
    limit: int
    offset: int
    now: datetime

    async def run(self, db: Connection) -> Approvals:
        listed = {
            "tenant_id": self.tenant_id,
            "now": self.now,
            "session_id": self.session_id,
            "status": self.status,
        }
        rows = await PAGE.fetch(db, **listed, limit=self.limit, offset=self.offset)
        total = rows[0]["total"] if rows else await COUNT.fetchval(db, **listed)
        overdue = await OVERDUE.fetch(db, tenant_id=self.tenant_id, now=self.now)
        return Approvals(tuple(approval(row) for row in rows), total, tuple(row["session_id"] for row in overdue))


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Query[Approval]):
    """One approval. Refusal: ``approval_not_found``."""

    approval_id: str
    now: datetime

    async def run(self, db: Connection) -> Approval:
        row = await ONE.fetchrow(db, tenant_id=self.tenant_id, id=self.approval_id, now=self.now)
        if row is None:
            raise NotFound("approval_not_found")
        return approval(row)


def approval(row: Mapping[str, Any]) -> Approval:
    """An approval from its row. Input stored by releases without a bound may be nested too deep for a reply."""
    fields = {name: row[name] for name in Approval.__slots__}
    return Approval(**{**fields, "payload": shown(row["payload"]), "approver_roles": tuple(row["approver_roles"])})


DECIDE = """
UPDATE pending_approvals p
   SET status = $5, resolved_at = $2, resolved_by_user_id = $6, reason = $7
  FROM tool_calls c
 WHERE p.tenant_id = $1 AND p.id = $3 AND p.session_id = $4 AND p.status = 'pending' AND p.expires_at > $2
   AND $8 = ANY (p.approver_roles)
   AND c.tenant_id = p.tenant_id AND c.id = p.tool_call_id AND c.state = 'proposed' AND c.input_hash = p.input_hash
RETURNING p.id
"""
"""Text: all that guards a decision is to be read in one place, as the database runs it."""
MARK_CALL = statement(
    update(tool_calls)
    .filter_by(**binds("tenant_id", "approval_id"), state="proposed")
    .values(**binds("state", "decided_by", "decided_at", "error", "ended_at"))
)


class ApprovalExpired(Conflict):
    """409 ``approval_already_resolved`` of an expired approval: its expiry may still have to be stored."""


@dataclass(frozen=True, slots=True)
class Decided:
    """The result of a map of decisions: those made now, and those refused, with their error codes.

    A decision on an unknown approval, or equal to the recorded verdict, is in neither. ``replayed``: the key was used
    before, and nothing is written; ``made`` is then what was made of a ``single`` decision.
    """

    made: tuple[Approval, ...]
    refused: Mapping[str, Refusal]
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide(Step[Decided]):
    """Decide approvals of a session: approval, tool call and audit in one transaction, each by one conditional update.

    With ``single`` a refusal is raised instead of collected, and an equal verdict is refused as well. Under ``key`` is
    stored the approval of a ``single`` decision, else what the message has started, with ``last_event``.
    """

    decisions: Sequence[Decision]
    by: audits.Author
    single: bool
    key: idempotency.IdempotencyKey | None = None
    last_event: int | None = None
    """The newest event when the decisions were sent."""
    follow_up: str | None = None
    """Text of a follow-up message; the resumed pass adds it to the transcript after the results."""

    async def run(self, db: Connection) -> Written[Decided]:
        earlier = None if self.key is None else await self._claim(db, self.key)
        if earlier is not None:
            return Written(earlier, ())
        made: list[Approval] = []
        refused: dict[str, Refusal] = {}
        audit_events: list[audits.AuditEvent] = []
        for decision in self.decisions:
            try:
                decided = await self._decide(db, decision)
            except Refusal as refusal:
                if self.single:
                    raise
                refused[decision.approval_id] = refusal
                continue
            if decided is not None:
                made.append(decided)
                audit_events.append(self._audit_event(decided))
        if self.follow_up is not None and made:
            follow_up = {"follow_up": self.follow_up, "user_id": self.by.user_id, "at": self.now.isoformat()}
            await SET_INPUT.execute(db, tenant_id=self.tenant_id, turn_id=made[-1].turn_id, input=follow_up)
        if self.key is not None and made:
            await self._keep(db, self.key, made)
        return await self.write(db, Decided(tuple(made), refused), (), audit_events)

    async def _claim(self, db: Connection, key: idempotency.IdempotencyKey) -> Decided | None:
        """What was decided under ``key`` before; else the key is locked."""
        if self.single:
            approval = await idempotency.claim(db, key, Approval, self.now)
            return None if approval is None else Decided((approval.value,), {}, replayed=True)
        started = await idempotency.claim(db, key, Started, self.now)
        return None if started is None else Decided((), {}, replayed=True)

    async def _keep(self, db: Connection, key: idempotency.IdempotencyKey, made: Sequence[Approval]) -> None:
        if self.single:
            await idempotency.keep(db, key, Approval, made[0], self.now)
            return
        turn_ids = tuple(dict.fromkeys(each.turn_id for each in made))
        await idempotency.keep(db, key, Started, Started(turn_ids, self.last_event), self.now)

    async def _decide(self, db: Connection, decision: Decision) -> Approval | None:
        verdict = "granted" if decision.granted else "rejected"
        row = await db.fetchrow(
            DECIDE,
            self.tenant_id,
            self.now,
            decision.approval_id,
            self.session_id,
            verdict,
            self.by.user_id,
            decision.reason,
            self.by.role,
        )
        if row is None:
            await self._refuse(db, decision, verdict)
            return None
        await MARK_CALL.execute(
            db,
            tenant_id=self.tenant_id,
            approval_id=decision.approval_id,
            state="approved" if decision.granted else "failed",
            decided_by=self.by.user_id,
            decided_at=self.now,
            error=None if decision.granted else "rejected",
            ended_at=None if decision.granted else self.now,
        )
        return approval(await ONE.fetchrow(db, tenant_id=self.tenant_id, id=decision.approval_id, now=self.now))

    async def _refuse(self, db: Connection, decision: Decision, verdict: str) -> None:
        row = await ONE.fetchrow(db, tenant_id=self.tenant_id, id=decision.approval_id, now=self.now)
        if row is None or row["session_id"] != self.session_id:
            if self.single:
                raise NotFound("approval_not_found")
            return
        if not self.single and row["status"] == verdict:
            return
        if self.by.role not in row["approver_roles"]:
            raise Forbidden("forbidden_role")
        raise (ApprovalExpired if row["status"] == "expired" else Conflict)("approval_already_resolved")

    def _audit_event(self, decided: Approval) -> audits.AuditEvent:
        about = {
            "approval_id": decided.id,
            "session_id": decided.session_id,
            "tool_name": decided.tool_name,
            "reason": decided.reason,
        }
        refs = {"approval_id": decided.id, "tool_call_id": decided.tool_call_id}
        return rules.audit_of_act(f"approval.{decided.status}", self.by, about, refs, self.at)


EXPIRES = statement(
    select(pending_approvals.c.expires_at).filter_by(**binds("tenant_id", "session_id"), status="pending")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiries(Query[tuple[datetime, ...]]):
    """When the undecided approvals of a session expire."""

    session_id: str

    async def run(self, db: Connection) -> tuple[datetime, ...]:
        rows = await EXPIRES.fetch(db, tenant_id=self.tenant_id, session_id=self.session_id)
        return tuple(row["expires_at"] for row in rows)


PENDING = statement(select(func.count()).select_from(pending_approvals).filter_by(status="pending"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending(Query[int]):
    """The number of undecided approvals of all agencies."""

    async def run(self, db: Connection) -> int:
        return int(await PENDING.fetchval(db))


EXPIRE = statement(
    update(pending_approvals)
    .filter_by(**binds("tenant_id", "session_id"))
    .where(IS_OVERDUE)
    .values(status="expired", resolved_at=_NOW)
    .returning(*pending_approvals.c["id", "tool_call_id", "tool_name", "turn_id"])
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire(Step[tuple[tuple[str, str], ...]]):
    """Expire every overdue approval of the session. Returns (turn, approval) of each."""

    async def run(self, db: Connection) -> Written[tuple[tuple[str, str], ...]]:
        rows = await EXPIRE.fetch(db, tenant_id=self.tenant_id, session_id=self.session_id, now=self.now)
        for row in rows:
            await MARK_CALL.execute(
                db,
                tenant_id=self.tenant_id,
                approval_id=row["id"],
                state="failed",
                decided_by=None,
                decided_at=self.now,
                error="expired",
                ended_at=self.now,
            )
        audit_events = [self._audit_event(row) for row in rows]
        events: tuple[Event, ...] = ()
        return await self.write(db, tuple((row["turn_id"], row["id"]) for row in rows), events, audit_events)

    def _audit_event(self, row: Mapping[str, Any]) -> audits.AuditEvent:
        about = {"approval_id": row["id"], "session_id": self.session_id, "tool_name": row["tool_name"]}
        refs = {"approval_id": row["id"], "tool_call_id": row["tool_call_id"]}
        return rules.audit_of_act("approval.expired", None, about, refs, self.at)
