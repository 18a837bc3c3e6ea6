"""Denials cannot flood the audit, nor the memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tests.manual_clock import ManualClock
from voyagent.actors.accounts.denial_audit import (
    EVENTS_PER_WINDOW,
    MAX_COUNTS,
    WINDOW_SECONDS,
    DenialAudit,
    DeniedRequest,
)
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7

WHO = Principal(
    user_id=uuid7(),
    tenant_id=uuid7(),
    role=Role.VIEWER,
    email="asha@example.com",
    email_verified=True,
    full_name="Asha",
    tenant_name="Rao",
    created_at=datetime(2026, 3, 2, tzinfo=UTC),
    token_version=0,
    family_id=None,
)


def request(number: int = 0) -> DeniedRequest:
    return DeniedRequest(method="GET", path="/auth/me", origin=Origin(request_id="r", ip=f"192.0.2.{number}"))


async def test_r52_ten_thousand_denials_are_five_events_and_an_exact_number(clock: ManualClock) -> None:
    denials = DenialAudit(clock)
    events = [denials.event(WHO, request(), 403, "forbidden_role") for _ in range(10_000)]
    written = [event for event in events if event is not None]
    assert len(written) == EVENTS_PER_WINDOW
    await clock.advance(WINDOW_SECONDS)
    last = denials.event(WHO, request(), 403, "forbidden_role")
    assert last is not None
    assert last.inputs["suppressed"] == 10_000 - EVENTS_PER_WINDOW


def test_r52_an_unknown_caller_of_many_addresses_does_not_grow_the_memory(clock: ManualClock) -> None:
    denials = DenialAudit(clock)
    for number in range(MAX_COUNTS + 5_000):
        denials.event(WHO, request(number), 401, "unauthorized")
    assert len(denials._counts) == MAX_COUNTS


async def test_r52_r60_what_is_suppressed_of_one_agency_is_told_to_no_other(clock: ManualClock) -> None:
    denials, other = DenialAudit(clock), replace(WHO, user_id=uuid7(), tenant_id=uuid7())
    for _ in range(EVENTS_PER_WINDOW + 90):
        denials.event(WHO, request(), 403, "forbidden_role")

    beside = denials.event(other, request(), 403, "forbidden_role")
    await clock.advance(WINDOW_SECONDS)
    afterwards = [denials.event(who, request(), 403, "forbidden_role") for who in (other, WHO)]

    assert beside is not None
    assert [event and event.inputs.get("suppressed") for event in (beside, *afterwards)] == [None, None, 90]
