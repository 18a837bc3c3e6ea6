"""All Prometheus series of this process, and meters of actor classes and storage operations.

Labels come from closed sets: no tenant, user, session or raw path ever becomes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import ClassVar, Protocol

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics

__all__ = ["REGISTRY", "ActorMeter", "OperationMeter"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TO_60 = (*_SECONDS, 20.0, 30.0, 60.0)
_TO_600 = (*_TO_60, 120.0, 300.0, 600.0)
_FROM_50_US = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, *_SECONDS)
_FROM_1_MS = (0.001, 0.0025, *_SECONDS)
_POWERS = tuple(float(2**power) for power in range(11))


disable_created_metrics()  # type: ignore[no-untyped-call]


def _counter(name: str, description: str, *labels: str) -> Counter:
    return Counter(f"voyagent_{name}", description, labels)


def _gauge(name: str, description: str, *labels: str) -> Gauge:
    return Gauge(f"voyagent_{name}", description, labels)


def _histogram(name: str, description: str, *labels: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
    return Histogram(f"voyagent_{name}", description, labels, buckets=buckets)


API_REQUESTS_TOTAL = _counter("api_requests_total", "Requests answered, by route template.", "method", "path", "status")
API_REQUEST_DURATION_SECONDS = _histogram(
    "api_request_duration_seconds", "Seconds to the answer; of a stream, to its first byte.", "method", "path"
)
API_REQUESTS_IN_PROGRESS = _gauge("api_requests_in_progress", "Requests being answered.")
API_ACTIVE_SESSIONS = _gauge("api_active_sessions", "Session actors alive.")
API_BUILD_INFO = _gauge("api_build_info", "Always 1; the labels say what runs.", "version", "commit")

ACTORS_ALIVE = _gauge("actors_alive", "Actors alive.", "actor")
ACTOR_MAILBOX_DEPTH = _gauge("actor_mailbox_depth", "Messages waiting in all mailboxes of the class.", "actor")
ACTOR_MAILBOX_DEPTH_MAX = _gauge("actor_mailbox_depth_max", "Messages waiting in the deepest mailbox.", "actor")
ACTOR_MESSAGES_TOTAL = _counter("actor_messages_total", "Messages handled.", "actor", "message", "outcome")
ACTOR_HANDLING_SECONDS = _histogram(
    "actor_handling_seconds", "Seconds from taking a message up to its reply.", "actor", buckets=_FROM_50_US
)
ACTOR_FAILURES_TOTAL = _counter("actor_failures_total", "Actors that ended by an error.", "actor")
ACTOR_RESTARTS_TOTAL = _counter("actor_restarts_total", "Actors started again by their supervisor.", "actor")
ACTOR_ESCALATIONS_TOTAL = _counter(
    "actor_escalations_total", "Actors beyond their restart intensity: escalated or suspended.", "actor"
)
ACTOR_PASSIVATIONS_TOTAL = _counter("actor_passivations_total", "Idle actors passivated.", "actor")
ACTOR_MAILBOX_FULL_TOTAL = _counter("actor_mailbox_full_total", "Messages refused by a full mailbox.", "actor")
ACTOR_ASK_TIMEOUTS_TOTAL = _counter("actor_ask_timeouts_total", "Asks that ran out of time.", "actor")
DEAD_LETTERS_TOTAL = _counter("dead_letters_total", "Messages nobody waits for that came too late.", "actor")

STORAGE_OPERATIONS_TOTAL = _counter("storage_operations_total", "Storage operations run.", "operation", "outcome")
STORAGE_OPERATION_DURATION_SECONDS = _histogram(
    "storage_operation_duration_seconds", "Seconds of a storage operation, waiting included.", "operation"
)
STORAGE_RETRIES_TOTAL = _counter("storage_retries_total", "Storage operations tried again.", "reason")
STORAGE_CONNECTIONS = _gauge("storage_connections", "Connections to Postgres.", "state")
STORAGE_OPERATIONS_WAITING = _gauge("storage_operations_waiting", "Storage operations waiting for their turn.")
STORAGE_GROUP_COMMIT_EVENTS = _histogram(
    "storage_group_commit_events", "Events written by one commit.", buckets=_POWERS
)
STORAGE_BATCH_OPERATIONS = _histogram(
    "storage_batch_operations", "Operations alike that ran together.", buckets=_POWERS
)

SEALED_VALUES_OUTDATED = _gauge("sealed_values_outdated", "Values that only an older key of VOYAGENT_KMS_KEY opens.")

SHARDS_OWNED = _gauge("shards_owned", "Shards of agencies that this node owns.")
SHARD_MOVES_TOTAL = _counter("shard_moves_total", "Shards claimed by this node, or lost to another.", "move")
FENCE_REFUSED_TOTAL = _counter("fence_refused_total", "Writes refused because the shard had another owner by then.")
LEASE_AGE_SECONDS = _gauge("lease_age_seconds", "Seconds since the lease was last renewed; 0 without one.")

TURNS_RUNNING = _gauge("turns_running", "Agent turns running.")
TURNS_TOTAL = _counter("turns_total", "Passes of agent turns that ended.", "outcome")
TURN_DURATION_SECONDS = _histogram("turn_duration_seconds", "Seconds of a pass.", buckets=_TO_600)
TURN_FIRST_DELTA_SECONDS = _histogram(
    "turn_first_delta_seconds", "Seconds from a message to its first words.", buckets=_TO_60
)

MODEL_CALLS_TOTAL = _counter("model_calls_total", "Calls of the model.", "model", "outcome")
MODEL_CALL_DURATION_SECONDS = _histogram(
    "model_call_duration_seconds", "Seconds of a call of the model.", "model", buckets=_TO_600
)
MODEL_TOKENS_TOTAL = _counter("model_tokens_total", "Tokens used.", "model", "kind")
MODEL_COST_USD_TOTAL = _counter("model_cost_usd_total", "Cost of the calls whose price is known.", "model")
MODEL_UNPRICED_CALLS_TOTAL = _counter("model_unpriced_calls_total", "Calls of models without a price.", "model")

TOOL_CALLS_TOTAL = _counter("tool_calls_total", "Tool calls that ended.", "tool", "outcome")
TOOL_CALL_DURATION_SECONDS = _histogram("tool_call_duration_seconds", "Seconds of a tool call.", "tool", buckets=_TO_60)
APPROVALS_PENDING = _gauge("approvals_pending", "Approvals nobody has decided yet, in active sessions.")
APPROVALS_TOTAL = _counter("approvals_total", "Approvals asked for and decided.", "outcome")
SUPPLIER_REQUESTS_TOTAL = _counter("supplier_requests_total", "Requests to suppliers.", "supplier", "outcome")
SUPPLIER_ITEMS_SKIPPED_TOTAL = _counter(
    "supplier_items_skipped_total", "Items of suppliers' answers left out, by reason.", "supplier", "reason"
)
SUPPLIER_BREAKER_OPEN = _gauge("supplier_breaker_open", "1 while the circuit breaker is open.", "supplier")

SSE_VIEWERS = _gauge("sse_viewers", "Streams open.")
SSE_STREAMS_TOTAL = _counter("sse_streams_total", "Streams that ended.", "end")
SSE_EVENTS_WRITTEN_TOTAL = _counter("sse_events_written_total", "Events written to streams.")
SSE_WRITTEN_BYTES_TOTAL = _counter("sse_written_bytes_total", "Bytes written to streams.")
SSE_DELIVERY_LAG_SECONDS = _histogram(
    "sse_delivery_lag_seconds", "Seconds from an event's append to its write.", buckets=_FROM_1_MS
)
SSE_REPLAYS_TOTAL = _counter("sse_replays_total", "Replays, by where the events came from.", "source")
PERIODIC_TASK_AGE_SECONDS = _gauge(
    "periodic_task_age_seconds", "Seconds since the last good round of a periodic task.", "task"
)
PERIODIC_TASK_FAILURES_TOTAL = _counter("periodic_task_failures_total", "Rounds of periodic tasks that failed.", "task")
LOOP_TASKS = _gauge("loop_tasks", "Tasks on the event loop, counted when the metrics are read.")
LOOP_LAG_SECONDS = _histogram("loop_lag_seconds", "Seconds the event loop was late.", buckets=_FROM_1_MS)

AUTH_ATTEMPTS_TOTAL = _counter("auth_attempts_total", "Attempts to sign in and the like.", "operation", "outcome")
AUTH_DENIED_TOTAL = _counter("auth_denied_total", "Requests denied by a guard.", "status", "code")
AUTH_THROTTLED_TOTAL = _counter("auth_throttled_total", "Attempts throttled.", "operation", "bucket")
AUTH_REFRESH_REUSE_TOTAL = _counter("auth_refresh_reuse_total", "Refresh tokens presented after their successor.")
PASSWORD_HASH_SECONDS = _histogram("password_hash_seconds", "Seconds to hash a password, waiting excluded.")
PASSWORD_HASHES_WAITING = _gauge("password_hashes_waiting", "Passwords waiting to be hashed.")

AUDIT_EVENTS_TOTAL = _counter("audit_events_total", "Audit events written.", "kind")
AUDIT_WRITE_FAILURES_TOTAL = _counter(
    "audit_write_failures_total", "Audit events of refusals that could not be written."
)
MAIL_LETTERS_TOTAL = _counter("mail_letters_total", "E-mails handled.", "kind", "outcome")
MAIL_OUTBOX_LETTERS = _gauge("mail_outbox_letters", "E-mails in the outbox.", "state")


class _Sized(Protocol):
    def __len__(self) -> int: ...


class ActorMeter:
    """The series of one class of actors, looked up once: labels cost more than counting.

    Depths are read when Prometheus asks, from the mailboxes of those alive, so that a message costs nothing for them.
    """

    _meters: ClassVar[dict[str, ActorMeter]] = {}

    @classmethod
    def of(cls, actor: str) -> ActorMeter:
        """The one meter of the class named ``actor``."""
        meter = cls._meters.get(actor)
        if meter is None:
            meter = cls._meters[actor] = cls(actor)
        return meter

    def __init__(self, actor: str) -> None:
        self.actor = actor
        self.mailboxes: set[_Sized] = set()
        self.handling_seconds = ACTOR_HANDLING_SECONDS.labels(actor)
        self.failures = ACTOR_FAILURES_TOTAL.labels(actor)
        self.restarts = ACTOR_RESTARTS_TOTAL.labels(actor)
        self.escalations = ACTOR_ESCALATIONS_TOTAL.labels(actor)
        self.passivations = ACTOR_PASSIVATIONS_TOTAL.labels(actor)
        self.mailbox_full = ACTOR_MAILBOX_FULL_TOTAL.labels(actor)
        self.ask_timeouts = ACTOR_ASK_TIMEOUTS_TOTAL.labels(actor)
        self.dead_letters = DEAD_LETTERS_TOTAL.labels(actor)
        self._handled: dict[tuple[type, str], Counter] = {}
        ACTORS_ALIVE.labels(actor).set_function(lambda: len(self.mailboxes))
        ACTOR_MAILBOX_DEPTH.labels(actor).set_function(lambda: sum(map(len, self.mailboxes)))
        ACTOR_MAILBOX_DEPTH_MAX.labels(actor).set_function(lambda: max(map(len, self.mailboxes), default=0))

    def handled(self, message: type, outcome: str, seconds: float) -> None:
        """One message of class ``message`` ended as ``reply``, ``refusal`` or ``failure``."""
        counter = self._handled.get((message, outcome))
        if counter is None:
            counter = ACTOR_MESSAGES_TOTAL.labels(self.actor, message.__name__, outcome)
            self._handled[message, outcome] = counter
        counter.inc()
        self.handling_seconds.observe(seconds)


class OperationMeter:
    """The series of one storage operation, looked up once."""

    _meters: ClassVar[dict[str, OperationMeter]] = {}

    @classmethod
    def of(cls, operation: str) -> OperationMeter:
        """The one meter of the operation."""
        meter = cls._meters.get(operation)
        if meter is None:
            meter = cls._meters[operation] = cls(operation)
        return meter

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.seconds = STORAGE_OPERATION_DURATION_SECONDS.labels(operation)
        self._ended: dict[str, Counter] = {}

    def ended(self, outcome: str, began: float) -> None:
        """It began at ``began`` of ``perf_counter`` and ended now, as ``ok``, ``refused`` or ``failed``."""
        counter = self._ended.get(outcome)
        if counter is None:
            counter = self._ended[outcome] = STORAGE_OPERATIONS_TOTAL.labels(self.operation, outcome)
        counter.inc()
        self.seconds.observe(perf_counter() - began)
