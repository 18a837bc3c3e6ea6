"""Every supplier there is a driver for, and the actor of one as its agency's child."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from ...storage.engine.sealing import Sealing
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Recipient, Ref
from ..runtime.supervisor import Child, Restart
from .credentials import Credential
from .duffel.driver import Duffel
from .house.driver import EmbeddedInventory
from .house.stays import HouseHotels
from .protocols import Capabilities, FlightSupplier, HotelSupplier
from .supplier import SupplierActor


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """What drivers are made from: whose orders they place, and with what."""

    tenant_id: str
    store: Recipient
    clock: Clock
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Drivers:
    """One supplier's drivers, started for one agency."""

    flights: FlightSupplier
    hotels: HotelSupplier | None = None
    close: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplier:
    """What a supplier can do, known without an actor, and how its drivers are made."""

    flights: Capabilities
    hotels: Capabilities | None = None
    start: Callable[[Agency], Drivers]
    has_credentials: bool = False
    """An agency may have a token of its own."""


def _house(agency: Agency) -> Drivers:
    made = (agency.tenant_id, agency.store, agency.clock)
    return Drivers(flights=EmbeddedInventory(*made), hotels=HouseHotels(*made))


def _duffel(agency: Agency) -> Drivers:
    settings = agency.settings
    credential = Credential(
        tenant_id=agency.tenant_id,
        supplier=Duffel.name,
        store=agency.store,
        clock=agency.clock,
        sealing_keys=settings.sealing_keys,
        fallback=settings.duffel_token,
    )
    driver = Duffel(settings.duffel_base_url, credential, agency.clock, Sealing(settings.sealing_keys))
    return Drivers(flights=driver, close=driver.close)


SUPPLIERS: Mapping[str, Supplier] = {
    EmbeddedInventory.name: Supplier(
        flights=EmbeddedInventory.capabilities, hotels=HouseHotels.capabilities, start=_house
    ),
    Duffel.name: Supplier(flights=Duffel.capabilities, start=_duffel, has_credentials=True),
}


def child(name: str, agency: Agency) -> Child:
    """A supplier as its agency's child; KeyError if there is no driver for it."""
    supplier = SUPPLIERS[name]

    def start() -> Ref:
        made = supplier.start(agency)
        return SupplierActor.start(
            driver=made.flights,
            hotels=made.hotels,
            clock=agency.clock,
            close=made.close,
            tenant_id=agency.tenant_id,
        )

    return Child(
        name=f"supplier:{name}",
        factory=start,
        restart=Restart.TRANSIENT,
        shutdown=SupplierActor.shutdown_timeout + 1,
        serves=True,
    )


def without_driver(names: Sequence[str]) -> list[str]:
    """Those of ``names`` without a driver; the start fails with any of them."""
    return [name for name in names if name not in SUPPLIERS]
