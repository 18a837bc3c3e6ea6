"""lookup_passenger: find travellers on file."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from ....storage.engine.sealing import NotOpened, Sealing
from ....storage.travel import passengers, passports
from ...domain.outcomes import Outcome
from ...domain.travel import Passenger
from ...foundation import log
from .schema import Said
from .tool import ReadTool, ToolContext, ToolInput, ToolOutput

_log = log.get(__name__)

SHOWN = 20
FEWEST_SIGNS = 2


def _two_chars(query: str) -> str:
    if len(query) < FEWEST_SIGNS:
        raise ValueError(f"has at least {FEWEST_SIGNS} characters")
    return query


class LookupInput(ToolInput):
    """Input of the tool."""

    query: Annotated[
        Said,
        Field(max_length=120, description="Part of a name, e-mail address or number"),
        AfterValidator(_two_chars),
    ]


class Person(ToolOutput):
    """A traveller as shown to the model, with only the last four characters of a passport number."""

    passenger_id: str
    full_name: str
    email: str | None
    phone: str | None
    date_of_birth: date | None
    nationality: str | None
    passport_last4: str | None
    passport_expiry: date | None


class Persons(ToolOutput):
    """The matches, by name."""

    count: int
    passengers: Annotated[list[Person], Field(max_length=SHOWN)]


class LookupPassenger(ReadTool[LookupInput]):
    """Searches the agency's passengers."""

    name = "lookup_passenger"
    description = "Find travellers on file by part of their name, e-mail address or phone number; at most 20."
    Input = LookupInput
    Output = Persons
    desks = frozenset({"ticketing_visa", "hotels_holidays"})

    async def look(self, given: LookupInput, context: ToolContext) -> Outcome:
        search = passengers.Search(tenant_id=context.tenant_id, text=given.query, limit=SHOWN)
        found = await context.store.ask(search)
        persons = [
            Person(
                passenger_id=person.id,
                full_name=person.full_name,
                email=person.email,
                phone=person.phone,
                date_of_birth=person.date_of_birth,
                nationality=person.nationality,
                passport_last4=_last_four(context.sealing, person),
                passport_expiry=person.passport_expiry,
            )
            for person in found
        ]
        return self.succeed(count=len(persons), passengers=persons)


def _last_four(sealing: Sealing, person: Passenger) -> str | None:
    """The end of the passport's number, by which people tell passports apart."""
    try:
        number = passports.opened(sealing, person)
    except NotOpened:
        _log.error("passport_not_opened", passenger_id=person.id)
        return None
    return None if number is None else number[-passports.LAST :]
