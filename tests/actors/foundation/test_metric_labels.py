"""Names and units of the metrics follow Prometheus' rules, and every label has a closed set of values."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from prometheus_client import Counter, Gauge, Histogram, generate_latest

from tests.metric_values import BUILD, allowed
from voyagent.actors.foundation import metrics

FORBIDDEN = {"tenant", "tenant_id", "user", "user_id", "session", "session_id", "turn", "turn_id", "id", "email", "ip"}
UNITS = ("_seconds", "_bytes", "_usd", "_info")
COUNTED = {"storage_group_commit_events", "storage_batch_operations"}
"""Histograms of counts."""
MOST_VALUES = 700
"""Series that one label alone may make: of messages and operations there are as many as classes."""
DECLARED = {
    name.lower(): value for name, value in vars(metrics).items() if isinstance(value, Counter | Gauge | Histogram)
}


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_metric_is_named_by_the_rules(name: str) -> None:
    metric = DECLARED[name]
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
    assert name.endswith("_total") == isinstance(metric, Counter)
    assert not re.search(r"_(count|sum|bucket|created)$", name)
    assert not re.search(r"milliseconds|minutes|hours|_ms\b|kilobytes|megabytes|percent", name)
    if isinstance(metric, Histogram):
        assert name.endswith("_seconds") or name in COUNTED
    for unit in UNITS:
        if unit in name:
            assert name.removesuffix("_total").endswith(unit), f"a unit comes last: {name}"
    assert metric._documentation.endswith(".")


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_every_label_has_a_closed_set_of_values_and_none_is_an_id(name: str) -> None:
    for label in DECLARED[name]._labelnames:
        assert label not in FORBIDDEN
        assert not label.endswith("_id")
        values = allowed(name, label)
        assert (values is None) == (label in BUILD)
        assert values is None or 0 < len(values) <= MOST_VALUES


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Debian's package prometheus")
def test_promtool_has_no_complaint() -> None:
    metrics.SSE_VIEWERS.set(0)
    text = b"".join(
        line + b"\n"
        for line in generate_latest(metrics.REGISTRY).splitlines()
        if b"voyagent_" in line.partition(b"{")[0]
    )
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr.decode(), checked.stdout.decode()) == (0, "", "")
