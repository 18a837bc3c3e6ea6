"""Reading what was counted."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from voyagent.actors.foundation.metrics import REGISTRY


def counted(counter: Counter, *labels: str) -> float:
    """What a counter with these labels has come to."""
    child = counter.labels(*labels) if labels else counter
    [value] = [
        sample.value for family in child.collect() for sample in family.samples if sample.name.endswith("_total")
    ]
    return float(value)


def gauged(gauge: Gauge, *labels: str) -> float:
    """What a gauge with these labels shows."""
    child = gauge.labels(*labels) if labels else gauge
    [family] = child.collect()
    [shown] = family.samples
    return float(shown.value)


def sample(name: str, **labels: str) -> float:
    """The value of a series of ours by its name, 0 while nobody has touched it."""
    return REGISTRY.get_sample_value(f"voyagent_{name}", labels) or 0.0
