"""Reading what was counted."""

from __future__ import annotations

from prometheus_client import Counter


def counted(counter: Counter, *labels: str) -> float:
    """What a counter with these labels has come to."""
    child = counter.labels(*labels) if labels else counter
    [value] = [
        sample.value for family in child.collect() for sample in family.samples if sample.name.endswith("_total")
    ]
    return float(value)
