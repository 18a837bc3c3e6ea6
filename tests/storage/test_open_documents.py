"""The documents of random books one by one: they add up to the agings of any day, and pages neither skip nor repeat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any

import asyncpg
import pytest

from tests.ledgers import Ledger
from voyagent.actors.database import StorageActor
from voyagent.actors.domain.aging import BUCKETS, CONTROL_ACCOUNTS, Aging, OpenDocument, Subledger
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.runtime.ref import Ref
from voyagent.storage.open_documents import Page

FIRST, FOREVER = date(2027, 12, 1), date(2099, 12, 31)
LEDGERS = 20
LIMIT = 3


@pytest.fixture
async def store(database: Any) -> AsyncIterator[Ref]:
    actor = StorageActor.start(database.url, size=4)
    yield actor
    await actor.stop_and_wait(5.0)


async def listed(ledger: Ledger, side: Subledger, as_of: date, **filters: str | None) -> list[OpenDocument]:
    """All pages, a few documents each."""
    chosen = {"bucket": None, "currency": None, "party": None, **filters}
    window = {"tenant_id": ledger.tenant_id, "side": side, "first": FIRST, "last": FOREVER, "as_of": as_of}
    found: list[OpenDocument] = []
    while True:
        page = await ledger.store.ask(Page(**window, **chosen, limit=LIMIT, offset=len(found)))
        found += page.items
        assert len(found) <= page.total
        if len(page.items) < LIMIT:
            assert len(found) == page.total
            return found


def added(documents: list[OpenDocument]) -> tuple[int, Decimal]:
    return len(documents), sum((each.outstanding for each in documents), Decimal(0))


async def check(ledger: Ledger, side: Subledger, as_of: date, aging: Aging) -> None:
    """Each figure of one currency is the sum of what is listed for it."""
    for bucket in aging.buckets:
        own = await listed(ledger, side, as_of, bucket=bucket.name, currency=aging.currency)
        assert added(own) == (bucket.count, bucket.amount)
        assert {each.bucket for each in own} <= {bucket.name}
        assert [each.due_date for each in own] == sorted(each.due_date for each in own)
    for party in aging.top:
        own = await listed(ledger, side, as_of, party=party.name, currency=aging.currency)
        assert added(own)[1] == party.amount


async def test_listed_documents_add_up_to_the_aging_of_any_day(store: Ref, admin: asyncpg.Connection) -> None:
    for seed in range(LEDGERS):
        tenant_id, now = uuid7(), datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        await admin.execute("INSERT INTO tenants (id, display_name, created_at) VALUES ($1, 'Rao', $2)", tenant_id, now)
        ledger = Ledger(store, tenant_id, Random(seed), today=FIRST, earliest=FIRST)
        await ledger.pass_days(12)
        for side in CONTROL_ACCOUNTS:
            for as_of in {ledger.today, ledger.day(FIRST)}:
                everything = await listed(ledger, side, as_of)
                model = {(each.id, each.outstanding(as_of)) for each in ledger.open(side, as_of)}
                assert {(each.id, each.outstanding) for each in everything} == model, seed
                assert len(everything) == len(model)
                for aging in await ledger.aging(side, as_of, FIRST, FOREVER):
                    await check(ledger, side, as_of, aging)


def test_every_bucket_is_reached_by_its_days() -> None:
    ages = {-5: 0, 0: 0, 30: 0, 31: 1, 60: 1, 61: 2, 90: 2, 91: 3, 900: 3}
    for age, place in ages.items():
        document = OpenDocument(
            id="", number="", reference=None, party_name="", issue_date=FIRST, due_date=FIRST, age=age, currency="INR",
            total=Decimal(1), outstanding=Decimal(1), session_id=None,
        )  # fmt: skip
        assert document.bucket == BUCKETS[place]
