"""Base classes and field types of all requests and responses.

NUL bytes and lone surrogates are refused by ``decode``, for every text of every body and query, not by these types.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from ...actors.domain.audit import wire_time

MAX_OFFSET = 2**63 - 1
"""The largest OFFSET of the database (bigint)."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DIGITS = re.compile(r"-?[0-9]{1,100}", re.ASCII)


class Body(BaseModel):
    """A request body: strict types, unknown keys are refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class LooseBody(BaseModel):
    """A request body whose unknown keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class Query(BaseModel):
    """The parameters of a query string. Unknown ones are ignored; of a repeated one the last counts."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class Reply(BaseModel):
    """A response body. Every field is present; null when unset."""

    model_config = ConfigDict(frozen=True)


class Closed(Reply):
    """A response published with ``additionalProperties: false``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


UNSENT: Any = None
"""The default of a field that may be omitted but not null. ``model_fields_set`` shows whether it was sent."""


MARK: Final = "x-voyagent-addition"
"""In the OpenAPI document: true on operations, parameters and fields that go beyond the published ones."""

ADDITION: Final[Any] = Field(json_schema_extra={MARK: True})
"""Marks a field or parameter that goes beyond the published ones: ``Annotated[int, ADDITION]``."""


def coded(code: str) -> ValueError:
    """An error for validators to raise: a 422 list item ``value_error`` with ``ctx.code``."""
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
"""An integer in a query string: ASCII digits only."""

QueryDate = Annotated[date, BeforeValidator(_date)]
"""A date in a query string: YYYY-MM-DD only."""

Token = Annotated[str, Field(min_length=1, max_length=128)]
"""A one-time token, as the e-mail carries it."""

Offset = Annotated[QueryInt, Field(ge=0), AfterValidator(_storable_offset)]


class Paging(Query):
    """One page of a list. Lists with other bounds override ``limit``."""

    limit: Annotated[QueryInt, Field(ge=1, le=200)] = 50
    offset: Offset = 0


class Refused(Reply):
    """An error: ``detail`` is a stable code."""

    detail: str


class WeakPassword(Reply):
    """Why a new password is refused: ``code`` is the rule it violates."""

    error: Literal["password_too_weak"]
    code: str


class PasswordTooWeak(Reply):
    """The error of a new password that is too common."""

    detail: WeakPassword


class Crashed(Reply):
    """The error of a defect. Its cause is in the service's log under the request id."""

    detail: Literal["internal_error"]
    request_id: str
