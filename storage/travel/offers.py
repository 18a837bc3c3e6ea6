"""Offers that approvals or holds depend on, copied here to survive a restart and an empty cache."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ...actors.domain.hotels import HotelOffer
from ...actors.domain.travel import FlightOffer
from ..engine.operations import Command, Query

if TYPE_CHECKING:
    from ..engine.pool import Connection

KEEP = """
INSERT INTO offers (id, tenant_id, session_id, kind, supplier, supplier_ref, price, currency, expires_at, data,
                    created_at)
VALUES ($1, $2, (SELECT id FROM sessions WHERE tenant_id = $2 AND id = $3), $11, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id, id) DO NOTHING
"""
LOAD = "SELECT data FROM offers WHERE tenant_id = $1 AND id = $2 AND kind = $3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Command[None]):
    """Store an offer. Offers never change, so an existing copy is kept."""

    session_id: str | None
    offer: FlightOffer | HotelOffer
    now: datetime

    async def run(self, db: Connection) -> None:
        offer = self.offer
        await db.execute(
            KEEP,
            offer.id,
            self.tenant_id,
            self.session_id,
            offer.supplier,
            offer.supplier_ref,
            offer.price.amount,
            offer.price.currency,
            offer.expires_at,
            offer.model_dump(mode="json"),
            self.now,
            "flight" if isinstance(offer, FlightOffer) else "hotel",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Query[FlightOffer | None]):
    """The flight offer with that id, expired or not."""

    id: str

    async def run(self, db: Connection) -> FlightOffer | None:
        data = await db.fetchval(LOAD, self.tenant_id, self.id, "flight")
        return None if data is None else FlightOffer.model_validate(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRate(Query[HotelOffer | None]):
    """The hotel offer with that rate key, expired or not."""

    id: str

    async def run(self, db: Connection) -> HotelOffer | None:
        data = await db.fetchval(LOAD, self.tenant_id, self.id, "hotel")
        return None if data is None else HotelOffer.model_validate(data)
