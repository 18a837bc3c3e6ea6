"""What the wire models of all operations are made of.

No type refuses NUL bytes or lone surrogates: ``decode`` does, for every text of every body and query at once.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from ...actors.domain.audit import wire_time

MAX_OFFSET = 2**63 - 1
"""What the database can skip (bigint)."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DIGITS = re.compile(r"-?[0-9]{1,100}", re.ASCII)


class Body(BaseModel):
    """A request's body: values are what they say they are, unknown keys are refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class LooseBody(BaseModel):
    """A request's body whose unknown keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class Query(BaseModel):
    """The parameters of a query string; unknown ones are ignored, of a repeated one the last counts."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class Reply(BaseModel):
    """A reply's body. Every field is present; null when unset."""

    model_config = ConfigDict(frozen=True)


UNSENT: Any = None
"""The default of a field that may be left out but not be null. Whether it was sent, ``model_fields_set`` knows."""


def coded(code: str) -> ValueError:
    """For validators to raise: a 422 list item ``value_error`` with ``ctx.code``."""
    return ValueError(code)


def _digits(value: Any) -> Any:
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            raise PydanticCustomError(
                "int_parsing", "Input should be a valid integer, unable to parse string as an integer"
            )
        return int(value)
    return value


def _date(value: Any) -> Any:
    if isinstance(value, str):
        try:
            if _DATE.fullmatch(value):
                return date.fromisoformat(value)
        except ValueError:
            pass
        raise PydanticCustomError("date_from_datetime_parsing", "Input should be a valid date, YYYY-MM-DD")
    return value


def _storable_offset(value: int) -> int:
    if value > MAX_OFFSET:
        raise PydanticCustomError("less_than_equal", "Input should be less than or equal to {le}", {"le": MAX_OFFSET})
    return value


UtcTime = Annotated[datetime, PlainSerializer(wire_time, return_type=str, when_used="json")]
"""RFC 3339 in UTC, six digits of microseconds, ``Z``."""

QueryInt = Annotated[int, BeforeValidator(_digits)]
"""An integer in a query string: ASCII digits, nothing else."""

QueryDate = Annotated[date, BeforeValidator(_date)]
"""A day in a query string, YYYY-MM-DD and nothing else."""

Offset = Annotated[QueryInt, Field(ge=0), AfterValidator(_storable_offset)]


class Paging(Query):
    """One page of a list. Lists with other bounds say ``limit`` anew."""

    limit: Annotated[QueryInt, Field(ge=1, le=200)] = 50
    offset: Offset = 0


class Refused(Reply):
    """Any deliberate refusal: a stable code."""

    detail: str
