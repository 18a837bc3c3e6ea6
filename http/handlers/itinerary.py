"""``GET /reports/itinerary``."""

from __future__ import annotations

from ...actors.domain.errors import NotFound
from ...actors.domain.ids import parse_uuid
from ...actors.domain.itinerary import itinerary
from ...storage.accounts.settings import Load
from ...storage.travel.itinerary import Read
from ..operation import operation
from ..request_context import Answer, RequestContext
from ..schemas.itinerary import ItineraryQuery, ItineraryResponse
from .sessions import NO_SESSION


@operation(name="itinerary_report", query=ItineraryQuery, reply=ItineraryResponse, refusals=NO_SESSION)
async def report(call: RequestContext) -> Answer:
    """Report what was booked in a conversation, in the order of travel."""
    query: ItineraryQuery = call.query
    session_id = parse_uuid(query.session_id)
    if session_id is None:
        raise NotFound("session_not_found")
    tenant_id, store = call.person.tenant_id, call.services.storage
    booked = await store.ask(Read(tenant_id=tenant_id, session_id=session_id))
    settings = await store.ask(Load(tenant_id=tenant_id, now=call.services.clock.now()))
    found = itinerary(booked.items, settings.default_currency)
    return Answer(ItineraryResponse.of(tenant_id, session_id, booked, found))
