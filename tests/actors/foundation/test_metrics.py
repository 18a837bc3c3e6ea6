"""The series are those of the contract, no more, no fewer, and count what they say."""

from __future__ import annotations

from math import inf

from prometheus_client import Counter, Gauge, Histogram, generate_latest

from voyagent.actors.foundation import metrics

SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]

CONTRACT: dict[str, tuple[type, tuple[str, ...]]] = {
    "api_requests_total": (Counter, ("method", "path", "status")),
    "api_request_duration_seconds": (Histogram, ("method", "path")),
    "api_requests_in_progress": (Gauge, ()),
    "api_active_sessions": (Gauge, ()),
    "api_build_info": (Gauge, ("version", "commit")),
    "actors_alive": (Gauge, ("actor",)),
    "actor_mailbox_depth": (Gauge, ("actor",)),
    "actor_mailbox_depth_max": (Gauge, ("actor",)),
    "actor_messages_total": (Counter, ("actor", "message", "outcome")),
    "actor_handling_seconds": (Histogram, ("actor",)),
    "actor_failures_total": (Counter, ("actor",)),
    "actor_restarts_total": (Counter, ("actor",)),
    "actor_escalations_total": (Counter, ("actor",)),
    "actor_passivations_total": (Counter, ("actor",)),
    "actor_mailbox_full_total": (Counter, ("actor",)),
    "actor_ask_timeouts_total": (Counter, ("actor",)),
    "dead_letters_total": (Counter, ("actor",)),
    "storage_operations_total": (Counter, ("operation", "outcome")),
    "storage_operation_duration_seconds": (Histogram, ("operation",)),
    "storage_retries_total": (Counter, ("reason",)),
    "storage_connections": (Gauge, ("state",)),
    "storage_operations_waiting": (Gauge, ()),
    "sealed_values_outdated": (Gauge, ()),
    "shards_owned": (Gauge, ()),
    "shard_moves_total": (Counter, ("move",)),
    "fence_refused_total": (Counter, ()),
    "lease_age_seconds": (Gauge, ()),
    "turns_running": (Gauge, ()),
    "approvals_pending": (Gauge, ()),
    "sse_viewers": (Gauge, ()),
    "storage_group_commit_events": (Histogram, ()),
    "storage_batch_operations": (Histogram, ()),
    "turns_total": (Counter, ("outcome",)),
    "turn_duration_seconds": (Histogram, ()),
    "turn_first_delta_seconds": (Histogram, ()),
    "model_calls_total": (Counter, ("model", "outcome")),
    "model_call_duration_seconds": (Histogram, ("model",)),
    "model_tokens_total": (Counter, ("model", "kind")),
    "model_cost_usd_total": (Counter, ("model",)),
    "model_unpriced_calls_total": (Counter, ("model",)),
    "tool_calls_total": (Counter, ("tool", "outcome")),
    "tool_call_duration_seconds": (Histogram, ("tool",)),
    "approvals_total": (Counter, ("outcome",)),
    "supplier_requests_total": (Counter, ("supplier", "outcome")),
    "supplier_items_skipped_total": (Counter, ("supplier", "reason")),
    "supplier_breaker_open": (Gauge, ("supplier",)),
    "sse_streams_total": (Counter, ("end",)),
    "sse_events_written_total": (Counter, ()),
    "sse_written_bytes_total": (Counter, ()),
    "auth_refresh_reuse_total": (Counter, ()),
    "sse_delivery_lag_seconds": (Histogram, ()),
    "loop_lag_seconds": (Histogram, ()),
    "loop_tasks": (Gauge, ()),
    "periodic_task_age_seconds": (Gauge, ("task",)),
    "periodic_task_failures_total": (Counter, ("task",)),
    "sse_replays_total": (Counter, ("source",)),
    "auth_attempts_total": (Counter, ("operation", "outcome")),
    "auth_denied_total": (Counter, ("status", "code")),
    "auth_throttled_total": (Counter, ("operation", "bucket")),
    "password_hash_seconds": (Histogram, ()),
    "password_hashes_waiting": (Gauge, ()),
    "audit_events_total": (Counter, ("kind",)),
    "audit_write_failures_total": (Counter, ()),
    "mail_letters_total": (Counter, ("kind", "outcome")),
    "mail_outbox_letters": (Gauge, ("state",)),
}


Series = Counter | Histogram | Gauge


def declared() -> dict[str, Series]:
    return {name.lower(): value for name, value in vars(metrics).items() if isinstance(value, Series)}


COUNTED = ("storage_group_commit_events", "storage_batch_operations")
"""Histograms of counts."""


def labels(metric: Series) -> tuple[str, ...]:
    return tuple(metric._labelnames)


def full_name(metric: Series) -> str:
    (family,) = metric.collect()
    return f"{family.name}_total" if isinstance(metric, Counter) else family.name


def bounds(name: str) -> list[float]:
    metric = declared()[name]
    assert isinstance(metric, Histogram)
    return [bound for bound in metric._upper_bounds if bound != inf]


def test_every_series_of_the_contract_is_declared_with_its_kind_and_labels() -> None:
    found = {name: (type(metric), labels(metric)) for name, metric in declared().items()}
    assert found == CONTRACT


def test_an_attribute_is_named_like_its_series() -> None:
    assert {full_name(metric) for metric in declared().values()} == {f"voyagent_{name}" for name in CONTRACT}


def test_buckets_are_those_of_the_contract() -> None:
    for name, (kind, _) in CONTRACT.items():
        if kind is Histogram and name not in COUNTED:
            assert set(SECONDS) <= set(bounds(name)), name
    assert bounds("api_request_duration_seconds") == SECONDS
    for name in COUNTED:
        assert bounds(name) == [2**power for power in range(11)]
    assert bounds("actor_handling_seconds")[0] == 0.00005
    assert bounds("turn_duration_seconds")[-1] == bounds("model_call_duration_seconds")[-1] == 600
    assert bounds("turn_first_delta_seconds")[-1] == bounds("tool_call_duration_seconds")[-1] == 60
    assert bounds("sse_delivery_lag_seconds")[0] == bounds("loop_lag_seconds")[0] == 0.001


def test_a_meter_is_shared_by_all_actors_of_a_class_and_reads_their_mailboxes() -> None:
    meter = metrics.ActorMeter.of("Metered")
    assert metrics.ActorMeter.of("Metered") is meter
    boxes = [Box("ab"), Box("abcd")]
    meter.mailboxes.update(boxes)
    values = {
        name: metrics.REGISTRY.get_sample_value(f"voyagent_{name}", {"actor": "Metered"})
        for name in ("actors_alive", "actor_mailbox_depth", "actor_mailbox_depth_max")
    }
    assert values == {"actors_alive": 2, "actor_mailbox_depth": 6, "actor_mailbox_depth_max": 4}
    meter.mailboxes.difference_update(boxes)
    assert metrics.REGISTRY.get_sample_value("voyagent_actor_mailbox_depth_max", {"actor": "Metered"}) == 0


class Box(str):
    """Something with a length, told from others of the same."""

    __slots__ = ()


def test_what_prometheus_reads_holds_no_series_of_creation_times() -> None:
    metrics.LOOP_LAG_SECONDS.observe(0.001)
    metrics.SSE_EVENTS_WRITTEN_TOTAL.inc()
    names = {
        line.partition("{")[0].partition(" ")[0] for line in generate_latest(metrics.REGISTRY).decode().split("\n")
    }
    assert not [name for name in names if name.startswith("voyagent_") and name.endswith("_created")]
