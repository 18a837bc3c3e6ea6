"""What the embedded inventory has to sell: seats of a flight's cabin, rooms of a kind for a night.

How much there is of an item follows from its name alone. What is left of it is what the agency's orders have not taken;
a hold takes it until it expires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from ....storage.travel import house_orders
from ...domain.hotels import Stay
from ...domain.travel import Cabin, Party, Segment
from ...foundation.clock import Clock
from ...runtime.actor import Recipient
from ..protocols import SupplierError
from .rates import RoomKind, rooms_of
from .timetable import draw

SEATS: Mapping[Cabin, tuple[int, int]] = {
    "economy": (240, 120),
    "premium_economy": (28, 24),
    "business": (30, 30),
    "first": (12, 4),
}
ROOMS: Mapping[RoomKind, tuple[int, int]] = {"double": (40, 60), "suite": (10, 8)}
"""The fewest there are, and how many more there may be: always more than one order can take."""


@dataclass(frozen=True, slots=True)
class Need:
    """So many units of an item of which there are ``stock``; ``text`` names the item in a sentence."""

    item: str
    units: int
    stock: int
    text: str

    @property
    def take(self) -> house_orders.Take:
        return house_orders.Take(self.item, self.units, self.stock)


def seats(segments: Sequence[Segment], party: Party) -> tuple[Need, ...]:
    """A seat on each flight for everybody but infants, who sit on a lap."""
    return tuple(_seats(segment, party.total - party.infant) for segment in segments)


def rooms(hotel_id: str, kind: RoomKind, stay: Stay) -> tuple[Need, ...]:
    """The stay's rooms for each of its nights."""
    stock = _stock(ROOMS[kind], hotel_id, kind)
    nights = (stay.check_in + timedelta(days=night) for night in range(stay.nights))
    return tuple(Need(f"{hotel_id}/{kind}/{day}", rooms_of(stay), stock, f"{kind} rooms on {day}") for day in nights)


def _seats(segment: Segment, units: int) -> Need:
    name = f"{segment.origin}-{segment.marketing_carrier}{segment.flight_number}-{segment.destination}"
    day, cabin = segment.departs_local.date(), segment.cabin
    text = f"{cabin.replace('_', ' ')} seats on {segment.flight} of {day}"
    return Need(f"{name}/{day}/{cabin}", units, _stock(SEATS[cabin], name, cabin), text)


def _stock(room: tuple[int, int], *about: str) -> int:
    fewest, more = room
    return fewest + draw("stock", *about) % more


class Stock:
    """What one agency's orders have left."""

    def __init__(self, tenant_id: str, store: Recipient, clock: Clock) -> None:
        self._tenant_id = tenant_id
        self._store = store
        self._clock = clock

    async def left(self, needs: Iterable[Need]) -> dict[str, int]:
        """How much is left of each item."""
        stock = {need.item: need.stock for need in needs}
        sold = house_orders.Sold(tenant_id=self._tenant_id, items=tuple(stock), now=self._clock.now())
        taken = await self._store.ask(sold)
        return {item: max(0, count - taken.get(item, 0)) for item, count in stock.items()}

    async def check(self, needs: Sequence[Need]) -> int:
        """The units that are left of the scarcest item. ``sold_out`` if they are not enough."""
        left = await self.left(needs)
        for need in needs:
            if left[need.item] < need.units:
                raise sold_out(need, left[need.item])
        return min(left.values())


def sold_out(need: Need, left: int) -> SupplierError:
    """The refusal of an order that needs more than is left."""
    text = f"{'none' if not left else f'only {left}'} of the {need.text} are left, and {need.units} are needed"
    return SupplierError("conflict", f"{text}: search again", reason="sold_out")
