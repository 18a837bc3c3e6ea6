"""Decisions of approvals: written with their audit events, noted, and carried out by the passes they cause.

Part of a session's actor and changed by it alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ...storage.conversation import approvals
from ...storage.engine.idempotency import Encode, IdempotencyKey, Stored
from ..domain import ids
from ..domain.approvals import Approval, Decision
from ..domain.audit import AuditEvent, Origin
from ..foundation import metrics
from ..foundation.clock import Clock
from ..runtime.actor import Outcome
from ..runtime.ref import refuse, resolve
from .event_log import PassEnd
from .log_writer import LogWriter
from .scheduler import TurnScheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """The person behind a command, as far as a session asks."""

    user_id: str
    role: str
    origin: Origin


class Owner(Protocol):
    """The session's actor, as far as decisions need it."""

    def expire(self) -> None:
        """Write down what nobody decided in time."""

    def rearm(self) -> None:
        """Approvals may have come or gone: read when the next one expires."""


class Decisions:
    """The verdicts on one session's approvals."""

    def __init__(
        self,
        owner: Owner,
        *,
        tenant_id: str,
        session_id: str,
        scheduler: TurnScheduler,
        writer: LogWriter,
        clock: Clock,
    ) -> None:
        self.tenant_id = tenant_id
        self.session_id = session_id
        self._owner = owner
        self._scheduler = scheduler
        self._writer = writer
        self._clock = clock
        self._writing = 0

    @property
    def under_way(self) -> bool:
        """Decisions are being stored."""
        return self._writing > 0

    def resolve(
        self,
        who: Who,
        decision: Decision,
        key: IdempotencyKey | None,
        encode: Encode[Approval] | None,
        reply: asyncio.Future[Approval | Stored],
    ) -> None:
        """Decide one approval; its turn is resumed by itself. Refusals as ``approvals.Decide``."""
        self.write(
            who,
            [decision],
            lambda outcome: self._resolved(outcome, reply),
            key=key,
            reply=None if encode is None else (lambda made: encode(made[0])),
            single=True,
        )

    def _resolved(self, outcome: Outcome[approvals.Decided], reply: asyncio.Future[Approval | Stored]) -> None:
        if outcome.error is not None:
            if isinstance(outcome.error, approvals.ApprovalExpired):
                self._owner.expire()
            refuse(reply, outcome.error)
            return
        decided = outcome.value
        if decided.replayed is not None:
            resolve(reply, decided.replayed)
            return
        self.note(decided.made)
        resolve(reply, decided.made[0])

    def write(
        self,
        who: Who,
        decisions: Sequence[Decision],
        then: Callable[[Outcome[approvals.Decided]], None],
        *,
        follow_up: str | None = None,
        single: bool = False,
        key: IdempotencyKey | None = None,
        reply: Encode[Sequence[Approval]] | None = None,
    ) -> None:
        """Write verdicts, and what else belongs to them; ``then`` is given what came of it."""
        entry = entry_of(who, "approval.decided", self.tenant_id, self.session_id, self._clock.now())
        entry_ids = [ids.uuid7() for _ in decisions]
        self._writing += 1

        def written(outcome: Outcome[approvals.Decided]) -> None:
            self._writing -= 1
            then(outcome)

        self._writer.step(
            approvals.Decide(
                tenant_id=self.tenant_id,
                session_id=self.session_id,
                decisions=decisions,
                user_id=who.user_id,
                role=who.role,
                single=single,
                entry=entry,
                entry_ids=entry_ids,
                follow_up=follow_up,
                key=key,
                reply=reply,
            ),
            written,
        )

    def note(self, made: Sequence[Approval]) -> tuple[PassEnd, ...]:
        """Have what was decided carried out; answers the ends of the passes it causes."""
        for each in made:
            metrics.APPROVALS_TOTAL.labels(outcome=each.status).inc()
        if made:
            self._owner.rearm()
        return self._scheduler.decided((each.turn_id, each.id) for each in made)


def entry_of(who: Who, kind: str, tenant_id: str, session_id: str, now: datetime) -> AuditEvent:
    """An audit event of a person's act on a session."""
    return AuditEvent(
        id=ids.uuid7(),
        tenant_id=tenant_id,
        created_at=now,
        kind=kind,
        status="succeeded",
        actor_kind="human",
        actor_id=who.user_id,
        inputs=who.origin.inputs(),
        entity_refs={"session_id": session_id},
    )
