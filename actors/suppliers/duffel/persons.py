"""Duffel's rules for passengers, and how they are sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ...domain.persons import age_on
from ...domain.travel import MAJORITY, FlightOffer, Passenger
from ..protocols import SupplierError

NAME_LENGTH = 20
_NAME = re.compile(r"[ \-'A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017f]+")
_NOT_IN_NAMES = frozenset("ÆæĲĳŒœÞð")
"""Characters of these blocks (Latin-1 Supplement, Latin Extended-A) that are not accepted."""

_FIELDS: Mapping[str, str] = {
    "title": "title",
    "gender": "gender",
    "date_of_birth": "date_of_birth",
    "email": "email",
    "phone": "phone",
}
"""What each passenger must have beside names."""
_PASSPORT: Mapping[str, str] = {
    "passport_sealed": "passport_number",
    "passport_expiry": "passport_expiry",
    "passport_country": "passport_country",
}
"""What each passenger must have where the airline asks for identity documents."""


def flaws(offer: FlightOffer, persons: Sequence[Passenger]) -> list[str]:
    """Everything that keeps these persons from being sent, a sentence for each person.

    ``duplicate_passenger_name`` for two persons of one name, which the supplier takes on two orders only;
    ``capability_not_supported`` for a fare that needs a document other than a passport.
    """
    if offer.supplier_data.get("documents_required") and not offer.supplier_data.get("takes_passports", True):
        raise SupplierError("capability_not_supported", "this fare needs a document other than a passport")
    names = [_key(person) for person in persons]
    if len(set(names)) < len(names):
        raise SupplierError(
            "permanent", "duplicate_passenger_name: two passengers of one name are not taken on one order"
        )
    found = [(person, _of(person, offer)) for person in persons]
    return [f"{person.full_name} ({person.id}) {', '.join(each)}." for person, each in found if each]


def sent(
    offer: FlightOffer, persons: Sequence[Passenger], passports: Mapping[str, str]
) -> list[tuple[dict[str, Any], Passenger]]:
    """The passengers of an order, each with whom it is, and with a passport where there is one in ``passports``.

    Infants are given to adults, one each.

    ``validation_failed`` if the offer's passengers are not these persons.
    """
    day = offer.segments[-1].departs_local.date()
    free = list(offer.supplier_data.get("passengers", ()))
    placed: list[tuple[dict[str, Any], Passenger]] = []
    infants: list[str] = []
    for person in persons:
        age = _age(person, offer)
        priced = age if person.type in ("child", "infant") else None
        place = next((each for each in free if each["age"] == priced), None)
        if place is None:
            raise SupplierError("validation_failed", f"the fare has no place for a passenger of {age} on {day}")
        free.remove(place)
        placed.append((_passenger(place["id"], person) | _document(person, passports.get(person.id)), person))
        if person.type == "infant":
            infants.append(place["id"])
    adults = [body for body, person in placed if person.type in ("adult", "senior")]
    if free or len(infants) > len(adults):
        raise SupplierError("validation_failed", f"the fare is for {offer.party.text}")
    for adult, infant in zip(adults, infants, strict=False):
        adult["infant_passenger_id"] = infant
    return placed


def _passenger(place: str, person: Passenger) -> dict[str, Any]:
    return {
        "id": place,
        "title": person.title,
        "given_name": person.given_name,
        "family_name": person.family_name,
        "gender": {"M": "m", "F": "f"}.get(person.gender or ""),
        "born_on": None if person.date_of_birth is None else person.date_of_birth.isoformat(),
        "email": person.email,
        "phone_number": person.phone,
    }


def _document(person: Passenger, number: str | None) -> dict[str, Any]:
    if number is None:
        return {}
    passport = {
        "type": "passport",
        "unique_identifier": number,
        "issuing_country_code": person.passport_country,
        "expires_on": None if person.passport_expiry is None else person.passport_expiry.isoformat(),
    }
    return {"identity_documents": [passport]}


def _of(person: Passenger, offer: FlightOffer) -> list[str]:
    lacking = [name for field, name in _FIELDS.items() if not getattr(person, field)]
    lacking += [name for name in ("given_name", "family_name") if not getattr(person, name)]
    needs_passport = bool(offer.supplier_data.get("documents_required"))
    if needs_passport:
        lacking += [name for field, name in _PASSPORT.items() if not getattr(person, field)]
    found = [f"lacks: {', '.join(lacking)}"] if lacking else []
    ends, lands = person.passport_expiry, offer.segments[-1].arrives_local.date()
    if needs_passport and ends is not None and ends < lands:
        found.append(f"has a passport that ends on {ends}, before the last flight lands on {lands}")
    if person.gender == "X":
        found.append("has gender X, which this supplier does not take: M or F, as in the passport")
    for field in ("given_name", "family_name"):
        found += _name_flaws(field, getattr(person, field))
    age = _age(person, offer)
    if age is not None and age < MAJORITY and age not in offer.ages:
        found.append(f"is {age} on the last flight, and the fare is for nobody of that age: search with ages {age}")
    return found


def _name_flaws(field: str, name: str) -> list[str]:
    found = []
    if len(name) > NAME_LENGTH:
        found.append(f"has a {field} of {len(name)} characters: the length is at most {NAME_LENGTH}")
    if name and (not _NAME.fullmatch(name) or _NOT_IN_NAMES & set(name)):
        found.append(
            f"has characters in the {field} that this supplier does not take: as in the passport's lower lines"
        )
    return found


def _age(person: Passenger, offer: FlightOffer) -> int | None:
    """Whole years on the day of the last flight."""
    birth = person.date_of_birth
    return None if birth is None else age_on(offer.segments[-1].departs_local.date(), birth)


def _key(person: Passenger) -> str:
    return unicodedata.normalize("NFC", f"{person.given_name} {person.family_name}").casefold()
