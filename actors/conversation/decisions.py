"""Decisions on approvals: stored with their audit events, then carried out by the passes they make due.

Part of a session's actor and changed by it alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from ...storage.conversation import approvals
from ...storage.engine.idempotency import IdempotencyKey, IdempotentReply
from ..domain.approvals import Approval, Decision
from ..domain.audit import Author
from ..foundation import metrics
from ..foundation.clock import Clock
from ..runtime.actor import Outcome
from ..runtime.reply import refuse, resolve
from .event_log import PassEnd
from .log_writer import LogWriter
from .scheduler import TurnScheduler


class Owner(Protocol):
    """The session's actor, as far as decisions need it."""

    def expire(self) -> None:
        """Expire the approvals whose deadline has passed."""

    def rearm(self) -> None:
        """Approvals may have changed: read the next deadline again."""


class Decisions:
    """Decides one session's approvals."""

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
        who: Author,
        decision: Decision,
        key: IdempotencyKey | None,
        reply: asyncio.Future[IdempotentReply[Approval]],
    ) -> None:
        """Decide one approval; its turn resumes automatically. Refusals as ``approvals.Decide``."""
        self.write(who, [decision], lambda outcome: self._resolved(outcome, reply), key=key, single=True)

    def _resolved(self, outcome: Outcome[approvals.Decided], reply: asyncio.Future[IdempotentReply[Approval]]) -> None:
        if outcome.error is not None:
            if isinstance(outcome.error, approvals.ApprovalExpired):
                self._owner.expire()
            refuse(reply, outcome.error)
            return
        decided = outcome.value
        if not decided.replayed:
            self.note(decided.made)
        resolve(reply, IdempotentReply(decided.made[0], decided.replayed))

    def write(
        self,
        who: Author,
        decisions: Sequence[Decision],
        then: Callable[[Outcome[approvals.Decided]], None],
        *,
        follow_up: str | None = None,
        single: bool = False,
        key: IdempotencyKey | None = None,
        last_event: int | None = None,
    ) -> None:
        """Store decisions with their audit events; ``then`` receives the outcome."""
        self._writing += 1

        def written(outcome: Outcome[approvals.Decided]) -> None:
            self._writing -= 1
            then(outcome)

        self._writer.step(
            approvals.Decide(
                tenant_id=self.tenant_id,
                session_id=self.session_id,
                decisions=decisions,
                by=who,
                single=single,
                follow_up=follow_up,
                key=key,
                last_event=last_event,
            ),
            written,
        )

    def note(self, made: Sequence[Approval]) -> tuple[PassEnd, ...]:
        """Schedule the passes that carry the decisions out; return their ends."""
        for approval in made:
            metrics.APPROVALS_TOTAL.labels(outcome=approval.status).inc()
        if made:
            self._owner.rearm()
        return self._scheduler.decided((approval.turn_id, approval.id) for approval in made)
