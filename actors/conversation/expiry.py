"""The expiry of a session's approvals: the next deadline, and the step that expires what is past it.

Part of the session's actor and changed by it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from ...storage.conversation import approvals
from ..foundation import log, metrics
from ..runtime.actor import Outcome, Recipient
from .approval_timer import ApprovalTimer
from .log_writer import LogWriter
from .scheduler import TurnScheduler

R = TypeVar("R")
_log = log.get(__name__)


class Owner(Protocol):
    """The session's actor, as far as expiry needs it."""

    def pipe(self, work: Coroutine[Any, Any, R], then: Callable[[Outcome[R]], None], *, name: str) -> None: ...


class ApprovalExpiry:
    """Expires approvals whose deadline has passed, and makes their turns due."""

    def __init__(
        self,
        owner: Owner,
        *,
        tenant_id: str,
        session_id: str,
        scheduler: TurnScheduler,
        writer: LogWriter,
        store: Recipient,
        timer: ApprovalTimer,
    ) -> None:
        """``timer`` calls the session's actor when a deadline passes."""
        self.tenant_id = tenant_id
        self.session_id = session_id
        self._owner = owner
        self._scheduler = scheduler
        self._writer = writer
        self._store = store
        self._timer = timer
        self._reads = 0
        self.under_way = False
        """Whether approvals are being expired."""

    def rearm(self) -> None:
        """Approvals may have changed: read the next deadline again."""
        self._reads += 1
        number = self._reads
        read = approvals.Expiries(tenant_id=self.tenant_id, session_id=self.session_id)
        self._owner.pipe(self._store.ask(read), lambda outcome: self._rearmed(number, outcome), name="rearm")

    def _rearmed(self, number: int, outcome: Outcome[tuple[Any, ...]]) -> None:
        if outcome.error is not None:
            _log.warning("approval_deadlines_read_failed", reason=str(outcome.error))
        elif number == self._reads:
            self._timer.set(outcome.value)

    def deadline_passed(self) -> bool:
        """Expire what is due; returns whether anything is."""
        due = self._timer.passed()
        if due:
            self.expire()
        return due

    def expire(self) -> None:
        """Expire approvals whose deadline has passed, and resume their turns."""
        if self.under_way:
            return
        self.under_way = True
        self._writer.step(approvals.Expire(tenant_id=self.tenant_id, session_id=self.session_id), self._expired)

    def _expired(self, outcome: Outcome[tuple[tuple[str, str], ...]]) -> None:
        self.under_way = False
        if outcome.error is not None:
            _log.warning("approval_expiry_failed", reason=str(outcome.error))
            return
        metrics.APPROVALS_TOTAL.labels(outcome="expired").inc(len(outcome.value))
        self._scheduler.expired(outcome.value)
        self.rearm()
