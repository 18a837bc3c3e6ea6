"""Fields shared by tools, JSON schemas for the model, and errors of invalid input that do not repeat the input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, ValidationError, WithJsonSchema

from ...domain import ids
from ...domain.settings import currencies
from ...domain.travel import AIRPORT, COUNTRY, tidy_name

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
AMOUNT = r"^[0-9]{1,14}(\.[0-9]{1,4})?$"
_AMOUNT = re.compile(AMOUNT, re.ASCII)
MOST_FLAWS = 20
"""Errors of one input that the model is told; of more it is told the number."""
MOST_PERSONS = 100
"""More passengers than any supplier takes on one order."""
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def read_day(value: Any) -> date:
    """The date; ValueError says what is wrong, without the value."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("must be a date written as YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("is no day of the calendar") from None


def read_amount(value: Any) -> Decimal:
    """The amount; ValueError says what is wrong, without the value."""
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise ValueError("must be an amount written as a string of digits, with at most 4 decimals")
    return Decimal(value)


_PASSPORT = re.compile(r"[A-Za-z0-9 -]{5,40}", re.ASCII)
PASSPORT = "^[A-Z0-9]{5,20}$"
"""A passport's number: nine characters at most in its lower lines (ICAO 9303), more with some issuers."""


def read_passport(value: Any) -> SecretStr:
    """The number in capitals, without blanks and hyphens; ValueError says what is wrong, without the value."""
    plain = re.sub("[ -]", "", value).upper() if isinstance(value, str) and _PASSPORT.fullmatch(value) else ""
    if not re.fullmatch(PASSPORT, plain):
        raise ValueError("must be the 5 to 20 letters and digits of a passport's number")
    return SecretStr(plain)


def _currency(code: str) -> str:
    if code not in currencies():
        raise ValueError("is no currency of ISO 4217 that is in use")
    return code


def _said(text: str) -> str:
    tidied = tidy_name(text)
    if not tidied:
        raise ValueError("has nothing in it that can be read")
    return tidied


def _persons(given: list[str]) -> list[str]:
    """The ids in canonical form: two spellings of one id are one person."""
    read = [ids.parse_uuid(each) or each for each in given]
    if len(set(read)) < len(read):
        raise ValueError("passenger_ids must differ")
    return read


Day = Annotated[date, BeforeValidator(read_day), WithJsonSchema({"type": "string", "format": "date"})]
"""``YYYY-MM-DD``, a valid date."""
AirportCode = Annotated[str, Field(pattern=AIRPORT, description="IATA code of an airport or a city, e.g. BOM")]
CountryCode = Annotated[str, Field(pattern=COUNTRY, description="ISO 3166 code of two letters, e.g. IN")]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217 code, e.g. INR"), AfterValidator(_currency)]
Said = Annotated[str, Field(min_length=1), AfterValidator(_said)]
"""Text on one line that is not blank."""
Reference = Annotated[str, Field(max_length=128), AfterValidator(tidy_name)]
"""A customer's own reference, on one line."""
PassportNumber = Annotated[
    SecretStr, BeforeValidator(read_passport), WithJsonSchema({"type": "string", "pattern": PASSPORT})
]
"""Sensitive: masked wherever it is shown or stored, and sealed on its way to the tool."""
Amount = Annotated[Decimal, BeforeValidator(read_amount), WithJsonSchema({"type": "string", "pattern": AMOUNT})]
"""A decimal string such as ``"45200.00"``: never negative, at most four decimals, and small enough to be stored."""
Id = Annotated[str, Field(min_length=1, max_length=128)]
PassengerIds = Annotated[list[Id], Field(min_length=1, max_length=MOST_PERSONS), AfterValidator(_persons)]
"""Persons on file, each once."""
Price = Annotated[str, Field(pattern=r"^[A-Z]{3} -?[0-9]+(\.[0-9]+)?$")]
"""``"INR 45200.00"``."""
Moment = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$")]


def plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON schema (2020-12) without titles, docstrings and references, which a model does not need."""
    schema = model.model_json_schema()
    defined = schema.pop("$defs", {})
    schema.pop("description", None)
    plain: dict[str, Any] = _plain(schema, defined)
    return plain


def _plain(part: Any, defined: Mapping[str, Any]) -> Any:
    if isinstance(part, list):
        return [_plain(item, defined) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        meant = {**defined[part["$ref"].rpartition("/")[2]]}
        meant.pop("description", None)
        part = meant | {key: value for key, value in part.items() if key != "$ref"}
    return {
        key: {name: _plain(field, defined) for name, field in value.items()}
        if key == "properties"
        else _plain(value, defined)
        for key, value in part.items()
        if not (key == "title" and isinstance(value, str))
    }


def explained(invalid: ValidationError, known: frozenset[str]) -> str:
    """``field: reason; field: reason``, and how many more than `MOST_FLAWS`. Unknown names show if like identifiers."""
    errors = invalid.errors(include_url=False, include_context=False, include_input=False)
    shown = errors[:MOST_FLAWS]
    flaws = [f"{_place(error['loc'], known)}{error['msg'].removeprefix('Value error, ')}" for error in shown]
    more = [f"and {len(errors) - MOST_FLAWS} more"] if len(errors) > MOST_FLAWS else []
    return "; ".join(flaws + more)


def _place(loc: tuple[int | str, ...], known: frozenset[str]) -> str:
    names = [
        str(part) if isinstance(part, int) or part in known or _FIELD.fullmatch(part) else "(unknown field)"
        for part in loc
    ]
    return ".".join(names) + ": " if names else ""
