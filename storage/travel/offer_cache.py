"""Caches search results a little longer than they can be booked: in the process, and in Redis to outlive it.

Redis may be unavailable at any time; offers found since the start are in the process as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ...actors.domain.hotels import HotelOffer
from ...actors.domain.travel import FlightOffer
from ...actors.foundation import log
from ...actors.foundation.clock import Clock
from ..engine.redis import RedisClient, RedisUnavailable

Offer = FlightOffer | HotelOffer

CAPACITY: Final = 10_000
"""Offers kept in the process, some 1 KB each, if there is no Redis."""
CAPACITY_BESIDE_REDIS: Final = 2_000
"""Offers kept in the process, too, to be found while Redis is unavailable: those of the last hundred searches."""
REDIS_TIMEOUT: Final = 0.5
"""Seconds for connecting to Redis and for its replies."""
OPEN_FOR: Final = 5.0
"""Seconds without requests to Redis after it failed, so that not every search waits for it."""

AFTERLIFE: Final = timedelta(minutes=10)
"""How long an expired offer is kept, so that it is reported as expired and not as unknown."""

_stored: TypeAdapter[Offer] = TypeAdapter(Offer)
_log = log.get(__name__)
_unavailable_throttle = log.LogThrottle(first=3, pause=300.0)


class OfferCache:
    """Offers by agency and id."""

    def __init__(self, redis: RedisClient | None, clock: Clock, *, capacity: int | None = None) -> None:
        self._redis = redis
        self._clock = clock
        self._capacity = capacity or (CAPACITY if redis is None else CAPACITY_BESIDE_REDIS)
        self._here: OrderedDict[tuple[str, str], tuple[datetime, str]] = OrderedDict()
        """When an offer expires, and the offer as JSON: a sixth of what its objects take."""

    @classmethod
    def open(cls, redis_url: str | None, clock: Clock) -> OfferCache:
        """With Redis if there is a URL; nothing is connected before it is used."""
        if redis_url is None:
            return cls(None, clock)
        return cls(RedisClient(redis_url, timeout=REDIS_TIMEOUT, pause=OPEN_FOR, clock=clock), clock)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.close()

    async def keep(self, tenant_id: str, offers: Sequence[Offer]) -> None:
        """Cache the offers of one agency."""
        now = self._clock.now()
        stored = {offer.id: (offer.expires_at, offer.model_dump_json()) for offer in offers}
        for offer_id, each in stored.items():
            self._here[tenant_id, offer_id] = each
        while self._here and (
            len(self._here) > self._capacity or _is_evictable(next(iter(self._here.values()))[0], now)
        ):
            self._here.popitem(last=False)
        if self._redis is None or not offers or self._redis.is_suspended:
            return
        try:
            async with self._redis.use() as redis, redis.pipeline(transaction=False) as pipe:
                for offer_id, (expires_at, text) in stored.items():
                    pipe.set(_key(tenant_id, offer_id), text, px=expires_at + AFTERLIFE - now)
                await pipe.execute()
        except RedisUnavailable as error:
            _log_failure(error)

    async def find(self, tenant_id: str, offer_id: str) -> FlightOffer | None:
        """The agency's fare with that id, if it is cached; it may have expired."""
        offer = await self._find(tenant_id, offer_id)
        return offer if isinstance(offer, FlightOffer) else None

    async def find_rate(self, tenant_id: str, rate_key: str) -> HotelOffer | None:
        """The agency's hotel rate with that key, if it is cached; it may have expired."""
        offer = await self._find(tenant_id, rate_key)
        return offer if isinstance(offer, HotelOffer) else None

    async def _find(self, tenant_id: str, offer_id: str) -> Offer | None:
        here = self._here.get((tenant_id, offer_id))
        offer = await self._ask_redis(tenant_id, offer_id) if here is None else _stored.validate_json(here[1])
        return None if offer is None or _is_evictable(offer.expires_at, self._clock.now()) else offer

    async def _ask_redis(self, tenant_id: str, offer_id: str) -> Offer | None:
        if self._redis is None or self._redis.is_suspended:
            return None
        try:
            async with self._redis.use() as redis:
                stored = await redis.get(_key(tenant_id, offer_id))
        except RedisUnavailable as error:
            _log_failure(error)
            return None
        try:
            return None if stored is None else _stored.validate_json(stored)
        except ValidationError:
            _log.warning("cached_offer_decode_failed", offer_id=offer_id)  # another release wrote it
            return None


def _log_failure(error: RedisUnavailable) -> None:
    if _unavailable_throttle.allows():
        _log.warning("offer_cache_redis_failed", reason=str(error))


def _is_evictable(expires_at: datetime, now: datetime) -> bool:
    return expires_at <= now - AFTERLIFE


def _key(tenant_id: str, offer_id: str) -> str:
    return f"voyagent:offer:{tenant_id}:{offer_id}"
