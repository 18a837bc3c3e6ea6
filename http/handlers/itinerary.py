"""``GET /reports/itinerary``."""

from __future__ import annotations

from ...actors.domain.errors import NotFound
from ...actors.domain.identity import Role
from ...actors.domain.ids import parse_uuid
from ...actors.domain.itinerary import itinerary
from ...actors.foundation import log
from ...storage.accounts.settings import Load
from ...storage.engine.sealing import NotOpened, Sealing
from ...storage.travel.itinerary import Read, Traveller
from ...storage.travel.passports import LAST, number_of
from ..operation import operation
from ..request_context import Answer, RequestContext
from ..schemas.itinerary import ItineraryQuery, ItineraryResponse
from .sessions import NO_SESSION

_log = log.get(__name__)

WHOLE = frozenset({Role.AGENCY_ADMIN, Role.TICKETING_LEAD})
"""Roles that are told passport numbers as a whole (business 8.2)."""


@operation(name="itinerary_report", query=ItineraryQuery, reply=ItineraryResponse, refusals=NO_SESSION)
async def report(call: RequestContext) -> Answer:
    """Report what was booked in a conversation, in the order of travel."""
    query: ItineraryQuery = call.query
    session_id = parse_uuid(query.session_id)
    if session_id is None:
        raise NotFound("session_not_found")
    log.bind(session=session_id)
    tenant_id, store = call.person.tenant_id, call.storage
    booked = await store.ask(Read(tenant_id=tenant_id, session_id=session_id))
    settings = await store.ask(Load(tenant_id=tenant_id, now=call.services.clock.now()))
    found = itinerary(booked.items, settings.default_currency)
    passports = _Passports(Sealing(call.services.settings.sealing_keys), whole=call.person.role in WHOLE)
    return Answer(ItineraryResponse.of(tenant_id, session_id, booked, found, passports))


class _Passports:
    """What a caller is told of a traveller's passport number: all of it, or its end."""

    def __init__(self, sealing: Sealing, *, whole: bool) -> None:
        self._sealing = sealing
        self._whole = whole

    def __call__(self, traveller: Traveller) -> str | None:
        if traveller.passport_sealed is None:
            return None
        try:
            number = number_of(self._sealing, traveller.passport_sealed, traveller.id)
        except NotOpened:
            _log.error("passport_not_opened", passenger_id=traveller.id)
            return None
        return number if self._whole else number[-LAST:]
