"""Offers last as long as they can be booked; in a table, where a decision rests on them, as long as it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import pytest
from redis.asyncio import Redis

from tests.manual_clock import ManualClock
from voyagent.actors.domain import ids
from voyagent.actors.domain.hotels import HotelOffer, Property, Stay
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.travel import FlightOffer, Party, Segment
from voyagent.storage.travel import offer_cache, offers
from voyagent.storage.travel.offer_cache import OfferCache

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OURS, THEIRS = ids.uuid7(), ids.uuid7()


class AgencyLike(Protocol):
    tenant_id: str
    session_id: str
    store: Any


class Servers(Protocol):
    redis: Any


def offer(**parts: Any) -> FlightOffer:
    segment = Segment(
        marketing_carrier="EK",
        flight_number="501",
        origin="BOM",
        destination="DXB",
        departs_at=NOW + timedelta(days=9),
        arrives_at=NOW + timedelta(days=9, hours=3),
        origin_zone="Asia/Kolkata",
        destination_zone="Asia/Dubai",
        cabin="economy",
    )
    usual: dict[str, Any] = {
        "id": ids.uuid7(),
        "supplier": "house",
        "supplier_ref": "r-1",
        "segments": (segment,),
        "price": Money.of("45200.5", "INR"),
        "expires_at": NOW + timedelta(minutes=20),
        "hold_possible": False,
        "party": Party(adult=1),
        "cabin": "economy",
    }
    return FlightOffer(**usual | parts)


def rate(**parts: Any) -> HotelOffer:
    usual: dict[str, Any] = {
        "id": ids.uuid7(),
        "supplier": "house",
        "supplier_ref": "r-1",
        "property": Property(id="h-1", name="Harbour Gate", city="Mumbai", country="IN", star_rating=5),
        "room": "Double room",
        "board": "BB",
        "price": Money.of("9200.5", "INR"),
        "is_refundable": True,
        "stay": Stay(check_in=date(2026, 12, 5), check_out=date(2026, 12, 7), guests=2),
        "expires_at": NOW + timedelta(minutes=20),
    }
    return HotelOffer(**usual | parts)


@pytest.fixture
async def cache(redis_url: str, clock: ManualClock) -> AsyncIterator[OfferCache]:
    opened = OfferCache.open(redis_url, clock)
    yield opened
    await opened.close()


@pytest.fixture
async def restarted(redis_url: str, clock: ManualClock) -> AsyncIterator[OfferCache]:
    """The cache of a process that has just been started: what it knows is in Redis."""
    opened = OfferCache.open(redis_url, clock)
    yield opened
    await opened.close()


async def test_an_offer_survives_a_restart_of_the_process(cache: OfferCache, restarted: OfferCache) -> None:
    kept = offer()
    await cache.keep(OURS, [kept])
    assert await restarted.find(OURS, kept.id) == kept


async def test_rates_are_kept_beside_fares_and_neither_is_taken_for_the_other(
    cache: OfferCache, restarted: OfferCache, agency: AgencyLike
) -> None:
    fare, room = offer(), rate()
    await cache.keep(OURS, [fare, room])
    for known in (cache, restarted):
        assert (await known.find(OURS, fare.id), await known.find_rate(OURS, room.id)) == (fare, room)
        assert (await known.find(OURS, room.id), await known.find_rate(OURS, fare.id)) == (None, None)
        assert await known.find_rate(THEIRS, room.id) is None
    keep = offers.Keep(tenant_id=agency.tenant_id, session_id=agency.session_id, offer=room, now=NOW)
    await agency.store.ask(keep)
    assert await agency.store.ask(offers.LoadRate(tenant_id=agency.tenant_id, id=room.id)) == room
    assert await agency.store.ask(offers.Load(tenant_id=agency.tenant_id, id=room.id)) is None


async def test_an_offer_survives_the_loss_of_all_redis_holds(cache: OfferCache, redis_url: str) -> None:
    kept = offer()
    await cache.keep(OURS, [kept])
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
    assert await cache.find(OURS, kept.id) == kept


async def test_redis_that_is_unavailable_stops_nobody(clock: ManualClock, tmp_path: Any) -> None:
    cache = OfferCache.open(f"unix://{tmp_path}/nobody.sock", clock)
    kept, unknown = offer(), ids.uuid7()
    await cache.keep(OURS, [kept])
    assert await cache.find(OURS, kept.id) == kept
    assert await cache.find(OURS, unknown) is None
    await cache.close()


async def test_redis_is_used_again_when_it_is_back(
    cache: OfferCache, restarted: OfferCache, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise ConnectionError

    lost, missed, kept = offer(), offer(), offer()
    with monkeypatch.context() as broken:
        broken.setattr("redis.asyncio.client.Pipeline.execute", away)
        await cache.keep(OURS, [lost])
    await cache.keep(OURS, [missed])
    await clock.advance(5)
    await cache.keep(OURS, [kept])
    assert [await restarted.find(OURS, each.id) for each in (lost, missed, kept)] == [None, None, kept]
    assert [await cache.find(OURS, each.id) for each in (lost, missed)] == [lost, missed]


async def test_without_redis_the_process_remembers(clock: ManualClock) -> None:
    cache = OfferCache.open(None, clock)
    kept = offer()
    await cache.keep(OURS, [kept])
    assert await cache.find(OURS, kept.id) == kept
    await cache.close()


async def test_b45_another_agency_does_not_find_it(cache: OfferCache, restarted: OfferCache) -> None:
    kept = offer()
    await cache.keep(OURS, [kept])
    assert await cache.find(THEIRS, kept.id) is None
    assert await restarted.find(THEIRS, kept.id) is None


async def test_an_expired_offer_is_known_as_such_for_a_while_and_then_forgotten(
    cache: OfferCache, clock: ManualClock
) -> None:
    kept = offer()
    await cache.keep(OURS, [kept])
    await clock.advance(29 * 60)
    found = await cache.find(OURS, kept.id)
    assert found is not None
    assert not found.alive(clock.now())
    await clock.advance(60)
    assert await cache.find(OURS, kept.id) is None


async def test_redis_forgets_by_itself(cache: OfferCache, redis_url: str) -> None:
    await cache.keep(OURS, [offer()])
    async with Redis.from_url(redis_url) as redis:
        [key] = await redis.keys("*")
        assert 29 * 60 < await redis.ttl(key) <= 30 * 60


async def test_the_process_remembers_only_so_many(clock: ManualClock) -> None:
    cache = OfferCache(None, clock, capacity=3)
    many = [offer() for _ in range(5)]
    await cache.keep(OURS, many)
    assert [await cache.find(OURS, each.id) for each in many] == [None, None, *many[2:]]


async def test_the_oldest_are_in_redis_alone(
    redis_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offer_cache, "CAPACITY_BESIDE_REDIS", 3)
    cache = OfferCache.open(redis_url, clock)
    many = [offer() for _ in range(5)]
    await cache.keep(OURS, many)
    async with Redis.from_url(redis_url) as redis:
        await redis.delete(*[f"voyagent:offer:{OURS}:{each.id}" for each in many[1:]])
    assert [await cache.find(OURS, each.id) for each in many] == [many[0], None, *many[2:]]
    await cache.close()


async def test_what_another_release_wrote_is_passed_over(cache: OfferCache, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.set(f"voyagent:offer:{OURS}:odd", '{"id": "odd", "seat": "12A"}')
    assert await cache.find(OURS, "odd") is None


async def test_an_offer_copied_to_the_table_reads_back_the_same_and_never_changes(agency: AgencyLike) -> None:
    kept = offer()

    def keep(each: FlightOffer) -> offers.Keep:
        return offers.Keep(tenant_id=agency.tenant_id, session_id=agency.session_id, offer=each, now=NOW)

    await agency.store.ask(keep(kept))
    await agency.store.ask(keep(kept.model_copy(update={"price": Money.of(1, "INR")})))
    assert await agency.store.ask(offers.Load(tenant_id=agency.tenant_id, id=kept.id)) == kept
    assert await agency.store.ask(offers.Load(tenant_id=agency.tenant_id, id="unknown")) is None


async def test_b61_a_copied_offer_is_one_agencys_own(agency: AgencyLike, other_agency: AgencyLike) -> None:
    kept = offer()
    await agency.store.ask(offers.Keep(tenant_id=agency.tenant_id, session_id=None, offer=kept, now=NOW))
    assert await other_agency.store.ask(offers.Load(tenant_id=other_agency.tenant_id, id=kept.id)) is None
