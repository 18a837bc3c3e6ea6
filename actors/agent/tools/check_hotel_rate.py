"""check_hotel_rate: the current price of a rate."""

from __future__ import annotations

from typing import Literal

from ...domain.audit import wire_time
from ...domain.hotels import Board
from ...domain.outcomes import Outcome
from ...suppliers.protocols import SupplierError
from .schema import Id, Moment, Price
from .stays import current_offer, keep
from .tool import Objection, ReadTool, ToolContext, ToolInput, ToolOutput
from .trips import payable


class RateInput(ToolInput):
    """Input of the tool."""

    rate_key: Id


class Checked(ToolOutput):
    """The current rate."""

    checked: Literal[True] = True
    rate_key: str
    price: Price
    is_refundable: bool
    board_basis: Board
    valid_until: Moment
    room: str
    cancellation: str | None
    rooms_left: int | None


class CheckHotelRate(ReadTool[RateInput]):
    """Re-prices a rate at its supplier and stores it, so that it can be booked at that price."""

    name = "check_hotel_rate"
    description = "Check what a rate_key of search_hotels costs now, on what terms, and until when it can be booked."
    Input = RateInput
    Output = Checked
    desks = frozenset({"hotels_holidays"})
    verb = "checked"
    reasons = frozenset({"capability_not_supported", "offer_not_found", "offer_expired", "sold_out"})

    async def look(self, given: RateInput, context: ToolContext) -> Outcome:
        try:
            _, offer = await current_offer(context, given.rate_key)
            payable(offer.price, "offer_not_found")
        except Objection as no:
            return self.refuse(no)
        except SupplierError as failure:
            if failure.supplier_code != "capability_not_supported":
                raise
            return self.refuse(Objection("capability_not_supported", failure.text))
        await keep(context, offer)
        return self.succeed(
            rate_key=offer.id,
            price=offer.price.text,
            is_refundable=offer.is_refundable,
            cancellation=offer.cancellation,
            board_basis=offer.board,
            room=offer.room,
            rooms_left=offer.rooms_left,
            valid_until=wire_time(offer.expires_at),
        )
