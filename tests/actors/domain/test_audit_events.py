"""Audit events by who acts: their actor, and where the request came from among their inputs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from voyagent.actors.domain.audit import GENESIS, AuditEvent, Origin, chained, unchained

NOW = datetime(2026, 11, 29, tzinfo=UTC)
ORIGIN = Origin("r-1", ip="192.0.2.7", user_agent="tests", via="api_key", api_key_id="k-1")
COMMON = {"request_id": "r-1", "ip": "192.0.2.7", "user_agent": "tests", "via": "api_key", "api_key_id": "k-1"}


def test_a_persons_act_has_the_person_and_the_requests_origin() -> None:
    event = AuditEvent.by_person(
        "auth.sign_up", "t-1", "u-1", ORIGIN, NOW, inputs={"email": "a"}, refs={"user_id": "u"}
    )
    assert (event.kind, event.tenant_id, event.created_at, event.status) == ("auth.sign_up", "t-1", NOW, "succeeded")
    assert (event.actor_kind, event.actor_id) == ("human", "u-1")
    assert event.inputs == {**COMMON, "email": "a"}
    assert event.entity_refs == {"user_id": "u"}
    assert AuditEvent.by_person("auth.denied", "t-1", "u-1", ORIGIN, NOW, status="rejected").status == "rejected"


def test_an_act_of_the_system_has_no_actor_and_an_origin_only_if_a_request_caused_it() -> None:
    caused = AuditEvent.by_system("auth.throttled", "t-1", NOW, origin=ORIGIN, status="rejected", inputs={"n": 1})
    assert (caused.actor_kind, caused.actor_id, caused.status) == ("system", None, "rejected")
    assert caused.inputs == {**COMMON, "n": 1}
    assert AuditEvent.by_system("approval.expired", "t-1", NOW, inputs={"n": 1}).inputs == {"n": 1}


def test_an_act_of_the_agent_has_the_user_it_acts_for_and_no_origin() -> None:
    event = AuditEvent.by_agent(
        "book_flight", "t-1", "u-1", NOW, status="started", inputs={"n": 1}, refs={}, approval_required=True
    )
    assert (event.actor_kind, event.actor_id, event.status) == ("agent", "u-1", "started")
    assert (event.inputs, event.approval_required) == ({"n": 1}, True)


def test_every_event_has_an_id_of_its_own() -> None:
    made = [AuditEvent.by_system("approval.expired", "t-1", NOW) for _ in range(100)]
    assert len({event.id for event in made}) == 100


def test_every_event_has_canonical_json() -> None:
    agents = AuditEvent.by_agent("t", "t-1", "u-1", NOW, status="failed", inputs={}, refs={}, approval_required=False)
    for event in (AuditEvent.by_person("a", "t-1", "u-1", ORIGIN, NOW), AuditEvent.by_system("a", "t-1", NOW), agents):
        assert len(chained(event, 1, GENESIS)) == 64


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"prev_hash": "", "seq": 0},
        {"a": '"prev_hash":"","seq":0', "z": {"prev_hash": "", "seq": 0, "status": "x"}},
        {"z": ['","prev_hash":"","seq":0,"', None, True, 7]},
    ],
)
def test_an_event_is_cut_where_its_place_in_the_chain_belongs_whatever_it_contains(inputs: dict[str, Any]) -> None:
    event = replace(
        AuditEvent.by_system("a.b", "t-1", NOW, inputs=inputs, refs={"x": '"prev_hash":"","seq":0'}),
        outputs=inputs,
        error='{"prev_hash":"","seq":0}',
    )
    before, after = unchained(event)
    placed = f'{before}"prev_hash":"{GENESIS}","seq":7{after}'
    assert hashlib.sha256(placed.encode()).hexdigest() == chained(event, 7, GENESIS)
