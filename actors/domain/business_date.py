"""The business date: what "today" means in an agency's books and rules."""

from __future__ import annotations

from datetime import date, datetime

from .settings import TenantSettings
from .travel import zone


def business_date(tenant: TenantSettings, now: datetime) -> date:
    """The agency's own calendar day at ``now``: the day that wall clocks in its time zone show."""
    return now.astimezone(zone(tenant.timezone)).date()
