"""Offers that approvals or holds depend on, copied here to survive a restart and an empty cache."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from ...actors.domain.hotels import HotelOffer
from ...actors.domain.travel import FlightOffer
from ..conversation.sessions import ID_IF_IT_EXISTS
from ..engine.operations import Command, Query
from ..engine.statements import binds, statement
from ..tables import offers

if TYPE_CHECKING:
    from ..engine.connection import Connection

KEEP = statement(
    insert(offers)
    .values(
        **binds("id", "tenant_id", "kind", "supplier", "supplier_ref", "price", "currency", "expires_at", "data"),
        **binds("created_at"),
        session_id=ID_IF_IT_EXISTS,
    )
    .on_conflict_do_nothing(index_elements=["tenant_id", "id"])
)
LOAD = statement(select(offers.c.data).filter_by(**binds("tenant_id", "id", "kind")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Command[None]):
    """Store an offer. Offers never change, so an existing copy is kept."""

    session_id: str | None
    offer: FlightOffer | HotelOffer
    now: datetime

    async def run(self, db: Connection) -> None:
        offer = self.offer
        await KEEP.execute(
            db,
            id=offer.id,
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            kind="flight" if isinstance(offer, FlightOffer) else "hotel",
            supplier=offer.supplier,
            supplier_ref=offer.supplier_ref,
            price=offer.price.amount,
            currency=offer.price.currency,
            expires_at=offer.expires_at,
            data=offer.model_dump(mode="json"),
            created_at=self.now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Query[FlightOffer | None]):
    """The flight offer with that id, expired or not."""

    id: str

    async def run(self, db: Connection) -> FlightOffer | None:
        data = await LOAD.fetchval(db, tenant_id=self.tenant_id, id=self.id, kind="flight")
        return None if data is None else FlightOffer.model_validate(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRate(Query[HotelOffer | None]):
    """The hotel offer with that rate key, expired or not."""

    id: str

    async def run(self, db: Connection) -> HotelOffer | None:
        data = await LOAD.fetchval(db, tenant_id=self.tenant_id, id=self.id, kind="hotel")
        return None if data is None else HotelOffer.model_validate(data)
