"""Holds that end at their deadline (T25)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import NOON
from voyagent.actors.domain import ids
from voyagent.storage.travel import bookings, expired_holds


async def held(agency: Any, hours: float, status: str = "tentative") -> str:
    booking = await agency.store.ask(
        bookings.Record(
            tenant_id=agency.tenant_id,
            id=ids.uuid7(),
            session_id=None,
            tool_call_id=await agency.call("hold_flight"),
            kind="flight",
            supplier="duffel",
            supplier_ref=f"ord_{ids.uuid7()}",
            locator="RZ0001",
            status=status,
            offer_id=None,
            cost=Decimal(100),
            currency="GBP",
            hold_expires_at=NOON + timedelta(hours=hours),
            data={},
            passengers=(),
            now=NOON,
        )
    )
    return str(booking.id)


async def test_t25_a_hold_expires_at_its_deadline_once_and_is_audited(agency: Any, other_agency: Any) -> None:
    due, later = await held(agency, 72), await held(agency, 73)
    paid = await held(agency, 72, "confirmed")
    now = NOON + timedelta(hours=72)
    before = now - timedelta(microseconds=1)
    assert await agency.store.ask(expired_holds.AgenciesWithExpired(now=before)) == []
    assert await agency.store.ask(expired_holds.AgenciesWithExpired(now=now)) == [agency.tenant_id]
    assert await agency.store.ask(expired_holds.Expire(tenant_id=other_agency.tenant_id, now=now)) == 0
    counts = [await agency.store.ask(expired_holds.Expire(tenant_id=agency.tenant_id, now=now)) for _ in range(3)]
    assert counts == [1, 0, 0]
    states = [
        (await agency.store.ask(bookings.Load(tenant_id=agency.tenant_id, id=each))).status
        for each in (due, later, paid)
    ]
    assert states == ["cancelled", "tentative", "confirmed"]
    events = await agency.db.fetch("SELECT kind, actor_kind, entity_refs FROM audit_events")
    assert [(row["kind"], row["actor_kind"], due in str(row["entity_refs"])) for row in events] == [
        ("booking.lapsed", "system", True)
    ]


@pytest.mark.parametrize("same_order", [True, False])
async def test_a_payment_that_is_confirmed_after_the_deadline_is_recorded(agency: Any, same_order: bool) -> None:
    hold = await held(agency, 72)
    now = NOON + timedelta(hours=72)
    await agency.store.ask(expired_holds.Expire(tenant_id=agency.tenant_id, now=now))
    ref = (await agency.store.ask(bookings.Load(tenant_id=agency.tenant_id, id=hold))).supplier_ref
    confirmed = await agency.store.ask(
        bookings.Confirm(
            tenant_id=agency.tenant_id,
            id=hold,
            new_id=ids.uuid7(),
            tool_call_id=await agency.call("book_flight"),
            status="ticketed",
            supplier_ref=ref if same_order else "ord_other",
            locator="RZ0001",
            cost=Decimal(100),
            currency="GBP",
            data={},
            now=now,
        )
    )
    assert (confirmed.status, confirmed.id == hold) == ("ticketed", same_order)
