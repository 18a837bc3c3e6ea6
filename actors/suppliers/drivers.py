"""Every supplier there is a driver for, and the actor of one as its agency's child."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from ...storage.engine.sealing import Sealing
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Recipient, Ref
from ..runtime.supervisor import Child, Restart
from .bsp.driver import StatementFiles, agents_of
from .credentials import Credential
from .duffel.driver import Duffel
from .house.driver import EmbeddedInventory
from .house.stays import HouseHotels
from .protocols import Capabilities, FlightSupplier, HotelSupplier, Statements
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

    flights: FlightSupplier | None = None
    hotels: HotelSupplier | None = None
    statements: Statements | None = None
    close: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplier:
    """What a supplier can do, known without an actor, and how its drivers are made."""

    flights: Capabilities | None = None
    hotels: Capabilities | None = None
    statements: Capabilities | None = None
    start: Callable[[Agency], Drivers]
    has_credentials: bool = False
    """An agency may have a token of its own."""
    is_credential: Callable[[str], bool] = bool
    """Whether a text can be such a token."""


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


def _bsp(agency: Agency) -> Drivers:
    settings = agency.settings
    numbers = Credential(
        tenant_id=agency.tenant_id,
        supplier=StatementFiles.name,
        store=agency.store,
        clock=agency.clock,
        sealing_keys=settings.sealing_keys,
        fallback=None,  # one for all agencies would show each of them the others' statements
    )
    driver = StatementFiles(settings.bsp_dir, numbers)
    return Drivers(statements=driver, close=driver.close)


SUPPLIERS: Mapping[str, Supplier] = {
    EmbeddedInventory.name: Supplier(
        flights=EmbeddedInventory.capabilities, hotels=HouseHotels.capabilities, start=_house
    ),
    Duffel.name: Supplier(flights=Duffel.capabilities, start=_duffel, has_credentials=True),
    StatementFiles.name: Supplier(
        statements=StatementFiles.capabilities,
        start=_bsp,
        has_credentials=True,
        is_credential=lambda numbers: bool(agents_of(numbers)),
    ),
}


def child(name: str, agency: Agency) -> Child:
    """A supplier as its agency's child; KeyError if there is no driver for it."""
    supplier = SUPPLIERS[name]

    def start() -> Ref:
        made = supplier.start(agency)
        return SupplierActor.start(
            name=name,
            flights=made.flights,
            hotels=made.hotels,
            statements=made.statements,
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


def enabled(settings: Settings) -> tuple[str, ...]:
    """The suppliers that are on: those listed, and the statements of a BSP where there is a folder of them."""
    listed = (name for name in settings.suppliers if name != StatementFiles.name)
    return (*listed, *(() if settings.bsp_dir is None else (StatementFiles.name,)))


def without_driver(names: Sequence[str]) -> list[str]:
    """Those of ``names`` without a driver; the start fails with any of them."""
    return [name for name in names if name not in SUPPLIERS]
