"""The series are those of the contract, no more, no fewer, and count what they say."""

from __future__ import annotations

import pytest
from prometheus_client import Gauge, generate_latest

from voyagent.actors import metrics
from voyagent.actors.tallies import Counters, Histograms

SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]

CONTRACT: dict[str, tuple[type, tuple[str, ...]]] = {
    "api_requests_total": (Counters, ("method", "path", "status")),
    "api_request_duration_seconds": (Histograms, ("method", "path")),
    "api_requests_in_progress": (Gauge, ()),
    "api_active_sessions": (Gauge, ()),
    "api_build_info": (Gauge, ("version", "commit")),
    "actors_alive": (Gauge, ("actor",)),
    "actor_mailbox_depth": (Gauge, ("actor",)),
    "actor_mailbox_depth_max": (Gauge, ("actor",)),
    "actor_messages_total": (Counters, ("actor", "message", "outcome")),
    "actor_handling_seconds": (Histograms, ("actor",)),
    "actor_failures_total": (Counters, ("actor",)),
    "actor_restarts_total": (Counters, ("actor",)),
    "actor_escalations_total": (Counters, ("actor",)),
    "actor_passivations_total": (Counters, ("actor",)),
    "actor_mailbox_full_total": (Counters, ("actor",)),
    "actor_ask_timeouts_total": (Counters, ("actor",)),
    "dead_letters_total": (Counters, ("actor",)),
    "storage_operations_total": (Counters, ("operation", "outcome")),
    "storage_operation_duration_seconds": (Histograms, ("operation",)),
    "storage_retries_total": (Counters, ("reason",)),
    "storage_connections": (Gauge, ("state",)),
    "storage_operations_waiting": (Gauge, ()),
    "turns_running": (Gauge, ()),
    "approvals_pending": (Gauge, ()),
    "sse_viewers": (Gauge, ()),
    "storage_group_commit_events": (Histograms, ()),
    "turns_total": (Counters, ("outcome",)),
    "turn_duration_seconds": (Histograms, ()),
    "turn_first_delta_seconds": (Histograms, ()),
    "model_calls_total": (Counters, ("model", "outcome")),
    "model_call_duration_seconds": (Histograms, ("model",)),
    "model_tokens_total": (Counters, ("model", "kind")),
    "model_cost_usd_total": (Counters, ("model",)),
    "model_unpriced_calls_total": (Counters, ("model",)),
    "tool_calls_total": (Counters, ("tool", "outcome")),
    "tool_call_duration_seconds": (Histograms, ("tool",)),
    "approvals_total": (Counters, ("outcome",)),
    "supplier_requests_total": (Counters, ("supplier", "outcome")),
    "supplier_breaker_open": (Gauge, ("supplier",)),
    "sse_streams_total": (Counters, ("end",)),
    "sse_events_written_total": (Counters, ()),
    "sse_written_bytes_total": (Counters, ()),
    "auth_refresh_reuse_total": (Counters, ()),
    "sse_delivery_lag_seconds": (Histograms, ()),
    "loop_lag_seconds": (Histograms, ()),
    "sse_replays_total": (Counters, ("source",)),
    "auth_attempts_total": (Counters, ("operation", "outcome")),
    "auth_denied_total": (Counters, ("status", "code")),
    "auth_throttled_total": (Counters, ("operation", "bucket")),
    "password_hash_seconds": (Histograms, ()),
    "password_hashes_waiting": (Gauge, ()),
    "audit_events_total": (Counters, ("kind",)),
    "audit_write_failures_total": (Counters, ()),
    "mail_letters_total": (Counters, ("kind", "outcome")),
    "mail_outbox_letters": (Gauge, ("state",)),
}


Series = Counters | Histograms | Gauge


def declared() -> dict[str, Series]:
    return {name.lower(): value for name, value in vars(metrics).items() if isinstance(value, Series)}


def labels(metric: Series) -> tuple[str, ...]:
    return tuple(metric._labelnames) if isinstance(metric, Gauge) else metric.label_names


def full_name(metric: Series) -> str:
    (family,) = metric.collect()
    return f"{family.name}_total" if isinstance(metric, Counters) else family.name


def bounds(name: str) -> list[float]:
    metric = declared()[name]
    assert isinstance(metric, Histograms)
    return list(metric.bounds)


def test_every_series_of_the_contract_is_declared_with_its_kind_and_labels() -> None:
    found = {name: (type(metric), labels(metric)) for name, metric in declared().items()}
    assert found == CONTRACT


def test_an_attribute_is_named_like_its_series() -> None:
    assert {full_name(metric) for metric in declared().values()} == {f"voyagent_{name}" for name in CONTRACT}


def test_buckets_are_those_of_the_contract() -> None:
    for name, (kind, _) in CONTRACT.items():
        if kind is Histograms and name != "storage_group_commit_events":
            assert set(SECONDS) <= set(bounds(name)), name
    assert bounds("api_request_duration_seconds") == SECONDS
    assert bounds("storage_group_commit_events") == [2**power for power in range(11)]
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


def test_what_prometheus_reads_is_what_was_counted() -> None:
    family = Histograms("tests_sizes", "Sizes.", ("of",), (1, 2.5))
    for figure in (0, 1, 1.5, 2.5, 99):
        family.labels("a").observe(figure)
    counters = Counters("tests_counted_total", "Counted.", ("of", "how"))
    counters.labels("a", 'x"\n').inc()
    counters.labels(how='x"\n', of="a").inc(2)
    lone = Counters("tests_lone_total", "Alone.", ())
    try:
        shown = generate_latest(metrics.REGISTRY).decode().split("\n")
        assert [line for line in shown if line.startswith("tests_")] == [
            'tests_sizes_bucket{le="1.0",of="a"} 2.0',
            'tests_sizes_bucket{le="2.5",of="a"} 4.0',
            'tests_sizes_bucket{le="+Inf",of="a"} 5.0',
            'tests_sizes_count{of="a"} 5.0',
            'tests_sizes_sum{of="a"} 104.0',
            'tests_counted_total{how="x\\"\\n",of="a"} 3.0',
            "tests_lone_total 0.0",
        ]
        assert "# TYPE tests_sizes histogram" in shown
        with pytest.raises(ValueError, match="labels"):
            counters.labels("a")
    finally:
        for series in (family, counters, lone):
            metrics.REGISTRY.unregister(series)
