"""Dashboard and alert rules ask for metrics that exist, with labels and values they can have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.metric_values import allowed
from voyagent.actors.foundation import metrics

FOLDER = Path(__file__).parents[1] / "deploy" / "monitoring"
RULES = (FOLDER / "alerts.yml").read_text("utf-8")
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))

LABELS: dict[str, set[str]] = {
    family.name + ("_total" if family.type == "counter" else ""): set()
    for family in metrics.REGISTRY.collect()
    if family.name.startswith("voyagent_")
}
for metric in vars(metrics).values():
    if hasattr(metric, "_labelnames"):
        (described,) = metric.describe()
        LABELS[described.name + ("_total" if described.type == "counter" else "")] = set(metric._labelnames)
OF_THE_SCRAPE = {"job", "instance", "le"}
LIBRARY = {
    "up",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_cpu_seconds_total",
}
"""Metrics of Prometheus and its client library that are used besides ours."""

USED = re.compile(r"\b((?:voyagent|process)_[a-z_]+|up)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPED = re.compile(r"by \(([^)]*)\)")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """Every query of the dashboard and of the rules."""
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])
    yield from rules()


def rules() -> list[str]:
    """The expression of every alert; one of several lines is indented deeper than what follows it."""
    return re.findall(r"expr: (?:\|\n)?((?:.+\n)(?: {10,}.+\n)*)", RULES)


def used(text: str) -> Iterator[tuple[str, str]]:
    """Each metric with its matchers; a histogram by the name of its family."""
    for name, matchers in USED.findall(text):
        yield re.sub(r"_(?:bucket|sum|count)$", "", name), matchers


EXPRESSIONS = list(expressions())


def test_the_files_are_read() -> None:
    assert len(panels()) > 40
    assert len(rules()) == RULES.count("- alert: ")
    assert sum(each.count(">") + each.count("==") for each in rules()) >= len(rules())


def test_every_metric_that_is_asked_for_exists_and_every_one_of_ours_is_asked_for() -> None:
    asked = {name for each in EXPRESSIONS for name, _ in used(each)}
    assert asked - LABELS.keys() == LIBRARY
    assert LABELS.keys() - asked == set()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_query_groups_and_matches_by_labels_that_its_metrics_have(expression: str) -> None:
    known = set().union(*(LABELS.get(name, set()) for name, _ in used(expression)))
    grouped = {label.strip() for labels in GROUPED.findall(expression) for label in labels.split(",")}
    assert grouped <= known | OF_THE_SCRAPE
    for name, matchers in used(expression):
        for label, operator, value in MATCHER.findall(matchers):
            if label in OF_THE_SCRAPE:
                continue
            assert label in LABELS[name], f"{name} has no label {label}"
            values = allowed(name.removeprefix("voyagent_"), label)
            assert values is not None
            alternatives = value.split("|") if "(" not in value else [value]
            for each in alternatives if operator in {"=~", "!~"} else [value]:
                assert any(re.fullmatch(each, known_value) for known_value in values), f"{name}: no {label} is {each}"


def test_every_alert_says_how_urgent_it_is_what_it_means_and_where_to_look() -> None:
    alerts = re.findall(r"- alert: (\w+)\n(.*?)(?=\n      - alert|\n  - name|\Z)", RULES, re.DOTALL)
    assert len(alerts) == len({name for name, _ in alerts}) > 20
    for name, text in alerts:
        assert name.startswith("Voyagent")
        assert re.search(r"severity: (page|ticket)\}", text), name
        assert re.search(r'summary: ".{10,}"', text), name
        assert re.search(r'description: ".{20,}"', text), name


def test_the_dashboard_can_be_imported() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert {each["name"] for each in DASHBOARD["templating"]["list"]} == {"datasource", "job", "instance"}
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert taken.isdisjoint(cells), panel["title"]
        taken |= cells
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["title"]
        assert panel["targets"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Debian's package prometheus")
@pytest.mark.parametrize("command", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")])
def test_promtool_accepts_the_rules_and_their_tests(command: tuple[str, ...]) -> None:
    checked = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_raised_in_their_tests() -> None:
    tests = (FOLDER / "alerts.test.yml").read_text("utf-8")
    alerts = set(re.findall(r"- alert: (\w+)", RULES))
    assert set(re.findall(r'alertname="(\w+)"', tests)) == alerts
