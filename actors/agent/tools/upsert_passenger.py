"""upsert_passenger: store a traveller."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ....storage.engine.operations import Operation
from ....storage.travel import passengers
from ....storage.travel.passports import Passport
from ...domain import ids
from ...domain.identity import normal_email
from ...domain.outcomes import Outcome
from ...domain.persons import could_be_born, match_key
from ...domain.travel import PHONE, Gender, PassengerType, Title, tidy_name
from .schema import CountryCode, Day, Id, PassportNumber
from .tool import DatabaseTool, Objection, Planned, Then, ToolContext, ToolInput, ToolOutput


def _name(name: str) -> str:
    tidy = tidy_name(name)
    if not match_key(tidy):
        raise ValueError("has nothing in it that can be read")
    return tidy


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_name)]


class PassengerInput(ToolInput):
    """Input of the tool."""

    full_name: Name
    passenger_id: Annotated[Id | None, Field(description="Of somebody on file whose details change")] = None
    given_name: Annotated[Name | None, Field(description="As in the passport; else split off the full name")] = None
    family_name: Name | None = None
    title: Title | None = None
    type: PassengerType | None = None
    gender: Gender | None = None
    email: Annotated[str, Field(max_length=2048)] | None = None
    phone: Annotated[str, Field(max_length=64, description="E.164, e.g. +919820012345")] | None = None
    date_of_birth: Day | None = None
    nationality: CountryCode | None = None
    passport_number: PassportNumber | None = None
    passport_expiry: Day | None = None
    passport_country: Annotated[CountryCode | None, Field(description="The country that issued the passport")] = None


class Saved(ToolOutput):
    """A stored passenger; ``created`` if they were not on file before."""

    saved: Literal[True] = True
    passenger_id: str
    created: bool


class UpsertPassenger(DatabaseTool[PassengerInput]):
    """Stores a passenger; idempotent, since equal passengers are one row."""

    name = "upsert_passenger"
    description = (
        "Put a traveller on file, or bring their details up to date: what is not given stays as it is. The same person "
        "is who has the same passenger_id or, without one, the same email and name. Another passport_number replaces "
        "the passport on file with its expiry and country. Answers the passenger_id to book with."
    )
    Input = PassengerInput
    Output = Saved
    desks = frozenset({"ticketing_visa", "hotels_holidays"})
    verb = "saved"
    reasons = frozenset(
        {
            "not_found",
            "invalid_phone",
            "invalid_email",
            "invalid_date_of_birth",
            "already_on_file",
            "passport_taken",
        }
    )
    effect = "reversible"
    sensitive = frozenset({"passport_number"})

    def plan(self, given: PassengerInput, context: ToolContext, key: str) -> Operation[Outcome]:
        del key  # equal passengers are one row, however often the call is made
        try:
            return self._upsert(given, context)
        except Objection as no:
            return Planned(tenant_id=context.tenant_id, outcome=self.refuse(no))

    def _upsert(self, given: PassengerInput, context: ToolContext) -> Operation[Outcome]:
        passenger_id = None if given.passenger_id is None else ids.parse_uuid(given.passenger_id)
        if given.passenger_id is not None and passenger_id is None:
            raise _UNKNOWN
        said = given.model_dump(exclude={"full_name", "passenger_id", "passport_number"}, exclude_none=True)
        if given.email is not None:
            said["email"] = _email(given.email)
        if given.phone is not None and not re.fullmatch(PHONE, given.phone):
            raise Objection("invalid_phone", "The number must be in E.164 form: +, country code, number, digits only.")
        if given.date_of_birth is not None and not could_be_born(given.date_of_birth, context.now):
            raise Objection("invalid_date_of_birth", "The day is still to come, or before 1900.")
        upsert = passengers.Upsert(
            tenant_id=context.tenant_id,
            new_id=ids.uuid7(),
            passenger_id=passenger_id,
            full_name=given.full_name,
            given=said,
            now=context.now,
            passport=None if given.passport_number is None else Passport(given.passport_number, context.sealing),
        )
        return Then(tenant_id=context.tenant_id, first=upsert, then=self._outcome)

    def _outcome(self, outcome: passengers.Saved | passengers.Taken | passengers.PassportTaken | None) -> Outcome:
        match outcome:
            case None:
                return self.refuse(_UNKNOWN)
            case passengers.Taken(passenger_id=other):
                detail = f"Passenger {other} has this name and address already."
                return self.refuse(Objection("already_on_file", detail))
            case passengers.PassportTaken(passenger_id=other):
                detail = f"Passenger {other} has this passport number; give that passenger_id to change their details."
                return self.refuse(Objection("passport_taken", detail))
            case passengers.Saved(passenger_id=passenger_id, created=created):
                return self.succeed(passenger_id=passenger_id, created=created)


_UNKNOWN = Objection("not_found", "Nobody on file has this passenger_id.")


def _email(text: str) -> str:
    try:
        return normal_email(text)
    except ValueError:
        raise Objection("invalid_email", "This is not an e-mail address.") from None
