"""Requests and responses of ``/tenant-settings`` (docs/contract/identity.md 11)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from ...actors.domain.numbers import MAX_SERIES, check_series
from ...actors.domain.settings import (
    MAX_DAILY_TOKENS,
    MAX_PER_HOUR,
    MAX_PER_MINUTE,
    MAX_PROMPT_SUFFIX,
    MAX_TIMEZONE,
    TenantSettings,
    check_currency,
    check_timezone,
)
from ...actors.foundation.config import Settings
from .shared import ADDITION, UNSENT, Body, Closed


def _offered(model: str, info: ValidationInfo) -> str:
    """``model`` if it is one of the configured models; the settings come as the validation context."""
    offered = info.context.agent_models if isinstance(info.context, Settings) else (model,)
    if model not in offered:
        expected = ", ".join(f"'{name}'" for name in offered)
        raise PydanticCustomError("literal_error", "Input should be one of {expected}", {"expected": expected})
    return model


Pattern = Annotated[str, Field(max_length=MAX_SERIES), AfterValidator(check_series)]
"""A series of document numbers, such as ``{fy}/{n:04}``."""


class TenantSettingsPatchRequest(Body):
    """The settings to change. Omitted fields are kept. ``null`` clears a model, a prompt suffix or a budget."""

    model: Annotated[str, AfterValidator(_offered)] | None = None
    system_prompt_suffix: Annotated[str, Field(max_length=MAX_PROMPT_SUFFIX)] | None = None
    rate_limit_per_minute: int = Field(default=UNSENT, gt=0, le=MAX_PER_MINUTE)
    rate_limit_per_hour: int = Field(default=UNSENT, gt=0, le=MAX_PER_HOUR)
    daily_token_budget: Annotated[int, Field(gt=0, le=MAX_DAILY_TOKENS)] | None = None
    locale: Literal["en", "hi"] = Field(default=UNSENT)
    timezone: Annotated[str, Field(max_length=MAX_TIMEZONE), AfterValidator(check_timezone)] = Field(default=UNSENT)
    default_currency: Annotated[str, AfterValidator(check_currency)] = Field(default=UNSENT)
    invoice_series: Annotated[Pattern, ADDITION] = Field(default=UNSENT)
    bill_series: Annotated[Pattern, ADDITION] = Field(default=UNSENT)
    credit_note_series: Annotated[Pattern, ADDITION] = Field(default=UNSENT)
    financial_year_start_month: Annotated[int, ADDITION] = Field(default=UNSENT, ge=1, le=12)

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class TenantSettingsResponse(Closed):
    """The agency's settings."""

    tenant_id: str
    model: str | None
    system_prompt_suffix: str | None
    rate_limit_per_minute: int
    rate_limit_per_hour: int
    daily_token_budget: int | None
    locale: str
    timezone: str
    default_currency: str
    invoice_series: Annotated[str, ADDITION]
    bill_series: Annotated[str, ADDITION]
    credit_note_series: Annotated[str, ADDITION]
    financial_year_start_month: Annotated[int, ADDITION]

    @classmethod
    def of(cls, settings: TenantSettings) -> TenantSettingsResponse:
        return cls(**asdict(settings))
