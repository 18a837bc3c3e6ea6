"""Every operation, sent a planted text wherever it takes one: no log line has it, and no label of a metric."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.log_lines import Written, as_in_production
from tests.metric_values import allowed
from voyagent.actors.foundation.metrics import REGISTRY
from voyagent.http.openapi import document
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from tests.service.conftest import Person, Running
    from voyagent.http.route import Route

PLANTED: Final = "Qz7planted9Xw"
"""Looks like no secret, so that only leaving it out keeps it out."""
OURS = document(ROUTES, "test")
KEPT = {
    *("role", "status", "timezone", "default_currency", "budget_currency", "on_busy", "locale", "from", "to", "as_of"),
    *("budget_amount", "session_id"),
}
"""Fields and parameters whose value has to be one of few, so that the operation goes on."""
LAST = {"/chat/sessions/{session_id}": 1, "/auth/change-password": 2, "/auth/sign-out": 3}
"""What would keep other operations from going on."""
DEVELOPMENT = {"email_written"}
"""While developing the log is where e-mails are delivered to."""
STREAMS = ("/chat/sessions/{session_id}/messages", "/chat/sessions/{session_id}/events")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def planted(name: str, value: Any) -> Any:
    """The example with the planted text in every place that takes any."""
    if isinstance(value, dict):
        return {key: planted(key, each) for key, each in value.items()}
    if isinstance(value, list):
        return [planted(name, each) for each in value]
    if not isinstance(value, str) or name in KEPT:
        return value
    if "email" in name:
        return f"{PLANTED}@example.com"
    return f"{PLANTED} long enough 1" if "password" in name else PLANTED


@dataclass
class Everything:
    """What was logged and counted while every operation was called."""

    lines: list[dict[str, Any]]
    before: Samples
    after: Samples
    answered: dict[str, int]


def samples() -> Samples:
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in REGISTRY.collect()
        if family.name.startswith("voyagent_")
        for each in family.samples
    }


async def call(asha: Person, route: Route, ids: dict[str, str], bearer: str) -> int:
    told = OURS["paths"][route.path][route.method.lower()]
    path = route.path.format(**{name: ids.get(name, PLANTED) for name in route.parameters})
    query = [
        (each["name"], str(planted(each["name"], each["example"])))
        for each in told["parameters"]
        if each["in"] == "query" and not isinstance(each["example"], int | list)
    ]
    if route.path in STREAMS and route.method == "GET":
        query = [("follow", "0")]
    headers = {
        "Authorization": f"Bearer {bearer}",
        "Idempotency-Key": PLANTED,
        "X-Voyagent-Tenant": PLANTED,
        "X-Voyagent-Metrics-Token": PLANTED,
        "User-Agent": PLANTED,
        "Cookie": f"a={PLANTED}",
    }
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    sent = {} if body is None else {"json": planted("", body)}
    async with asha.http.request(route.method, asha.url + path, params=query, headers=headers, **sent) as answer:
        await answer.read()
        return answer.status


async def malformed(asha: Person, route: Route) -> None:
    """Bodies that are refused, and quote nothing."""
    headers = {"Authorization": f"Bearer {asha.token}", "Content-Type": "application/json"}
    path = route.path.replace("{", "").replace("}", "")
    for body in (f'{{"{PLANTED}": ', json.dumps({PLANTED: PLANTED})):
        async with asha.http.request(route.method, asha.url + path, data=body, headers=headers) as answer:
            await answer.read()


@pytest.fixture
def production() -> Iterator[Written]:
    """What is logged. Comes before the service, whose middleware keeps its logger."""
    with as_in_production("DEBUG") as written:
        yield written


@pytest.fixture
async def everything(production: Written, asha: Person, running: Running) -> Everything:
    ids = {"session_id": await asha.session()}
    _, made = await asha.call("POST", "/enquiries", json={"customer_name": "Ravi Menon"})
    ids["enquiry_id"] = made["id"]
    before, answered = samples(), {}
    for route in sorted(ROUTES, key=lambda route: LAST.get(route.path, 0)):
        await call(asha, route, {}, PLANTED)
        answered[f"{route.method} {route.path}"] = await call(asha, route, ids, asha.token)
        if route.method in {"POST", "PATCH"}:
            await malformed(asha, route)
    for method, path in (("GET", f"/{PLANTED}"), ("BREW", "/health"), ("PUT", f"/auth/{PLANTED}")):
        async with running.http.request(method, running.url + path) as answer:
            assert answer.status in {400, 404, 405}
    return Everything(production(), before, samples(), answered)


async def test_no_planted_text_is_logged_and_no_label_has_a_value_of_a_clients(everything: Everything) -> None:
    lines = [line for line in everything.lines if line["event"] not in DEVELOPMENT]
    assert sum(line["event"] == "request" for line in lines) > 2 * len(ROUTES)
    assert [line for line in lines if PLANTED.lower() in str(line).lower()] == []
    succeeded = [operation for operation, status in everything.answered.items() if status < 300]
    assert len(succeeded) > 30, everything.answered
    assert not [operation for operation, status in everything.answered.items() if status >= 500]

    changed = [key for key, value in everything.after.items() if everything.before.get(key) != value]
    assert len(changed) > 200
    foreign = set()
    for name, labels in changed:
        metric = re.sub(r"_(?:bucket|sum|count)$", "", name.removeprefix("voyagent_"))
        for label, value in labels:
            values = None if label == "le" else allowed(metric, label)
            if values is not None and value not in values:
                foreign.add((metric, label, value))
    assert foreign == set()
