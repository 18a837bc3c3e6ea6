"""Translates Postgres errors: violated constraints become refusals, connection errors a 503.

A constraint enforces a rule that a race could get past. One that is not named here protects against defects:
violating it is an internal error, not a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import asyncpg

from ...actors.domain.errors import Conflict, InternalError, NotFound, Refusal, Unavailable, Unprocessable
from ...actors.foundation import metrics

CONSTRAINTS: Mapping[str, Callable[[], Refusal]] = {
    "uq_users_email": lambda: Conflict("email_already_registered"),
    "uq_invites_email_pending": lambda: Conflict("invite_already_exists"),
    "ck_tenant_settings_rate_limit_per_hour": lambda: Unprocessable("rate_limit_hour_below_minute"),
    "uq_turns_running": lambda: Conflict("turn_in_progress"),
    "fk_enquiries_session_id": lambda: Unprocessable("session_not_found"),
    "fk_turns_session_id": lambda: NotFound("session_not_found"),
    "fk_messages_session_id": lambda: NotFound("session_not_found"),
    "fk_session_events_session_id": lambda: NotFound("session_not_found"),
    "fk_pending_approvals_session_id": lambda: NotFound("session_not_found"),
}
"""Constraint name -> refusal."""


FENCED: Final = "VY001"
"""Raised by ``voyagent_fence``."""


class OperationFailed(InternalError):
    """500 ``internal_error``: an operation met a defect and was rolled back."""

    def __init__(self) -> None:
        super().__init__("internal_error")


class StorageUnavailable(Unavailable):
    """503 ``storage_unavailable``: the database cannot be reached, or does not answer in time."""

    def __init__(self) -> None:
        super().__init__("storage_unavailable")


class LostShard(Unavailable):
    """503 ``not_ready``: another node owns the agency's shard by now, so this write was refused. Never retried."""

    def __init__(self) -> None:
        super().__init__("not_ready")


class CommitLost(StorageUnavailable):
    """503 ``storage_unavailable``: the connection broke during COMMIT. Not retried: it may have been committed."""


def refusal(error: BaseException) -> Refusal | None:
    """The refusal a lost shard or a broken constraint stands for; ``None`` if it is a defect."""
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate == FENCED:
        metrics.FENCE_REFUSED_TOTAL.inc()
        return LostShard()
    if not isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return None
    make = CONSTRAINTS.get(error.constraint_name or "")
    return None if make is None else make()


def is_connection_error(error: BaseException) -> bool:
    """Whether the error is about the connection or the server, not about what was asked of it.

    A killed backend shows in many ways, so callers add: or the connection is closed.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in _CONNECTION_CLASSES or state in _CONNECTION_STATES
    return isinstance(error, OSError | asyncpg.InternalClientError)


def is_timeout(error: BaseException) -> bool:
    """Whether a time limit was exceeded, the server's or the driver's: an immediate retry would take as long."""
    return isinstance(error, TimeoutError) or getattr(error, "sqlstate", None) in _TIMEOUT_STATES


_CONNECTION_CLASSES = frozenset({"08", "53", "57", "58"})
"""Classes: connection exception, insufficient resources, operator intervention, system error."""
_CONNECTION_STATES = frozenset({"25006"})
"""Read-only: a standby after a failover, or a full disk. Another connection may succeed."""
_TIMEOUT_STATES = frozenset({"57014", "55P03", "25P03", "25P04"})
"""The limits on statements, locks, idling in a transaction and transactions."""


def is_held(error: BaseException) -> bool:
    """Whether a lock timed out; the connection stays usable."""
    return isinstance(error, asyncpg.LockNotAvailableError)


def retry_reason(error: BaseException) -> Literal["serialization", "deadlock"] | None:
    """Why a transaction that was rolled back may succeed if it is run again."""
    if isinstance(error, asyncpg.DeadlockDetectedError):
        return "deadlock"
    # a plan kept from before a migration: the driver has forgotten it by now
    if isinstance(error, asyncpg.SerializationError | asyncpg.InvalidCachedStatementError):
        return "serialization"
    return None
