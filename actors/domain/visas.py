"""Visa files: their statuses, which only go forward, and the documents that are collected for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from .travel import Shape

VisaStatus = Literal[
    "draft",
    "checklist_prepared",
    "docs_collecting",
    "docs_verified",
    "application_submitted",
    "appointment_booked",
    "biometrics_done",
    "in_process",
    "approved",
    "rejected",
    "withdrawn",
]
STATUSES: tuple[VisaStatus, ...] = get_args(VisaStatus)
TERMINAL: frozenset[VisaStatus] = frozenset({"approved", "rejected", "withdrawn"})


class Item(Shape):
    """A document that is asked for, and whether it has been collected."""

    item: str
    required: bool
    collected: bool = False


CHECKLIST: tuple[Item, ...] = (
    Item(item="passport", required=True),
    Item(item="photograph", required=True),
    Item(item="application_form", required=True),
    Item(item="travel_itinerary", required=True),
    Item(item="accommodation", required=True),
    Item(item="financial_statements", required=True),
    Item(item="travel_insurance", required=False),
    Item(item="employer_statement", required=False),
    Item(item="invitation", required=False),
)
"""What consulates commonly ask for. A file begins with it; what one consulate asks is for the agency to know."""


def can_move(before: VisaStatus, after: VisaStatus) -> bool:
    """Whether a file may go from one status to another: forward, statuses may be skipped, nothing leaves the end."""
    if before in TERMINAL:
        return False
    return after in TERMINAL or STATUSES.index(after) > STATUSES.index(before)


def collect(checklist: Sequence[Item], items: Sequence[str]) -> tuple[Item, ...]:
    """The checklist with these items collected. KeyError names the first that is not in it."""
    known = {each.item for each in checklist}
    for name in items:
        if name not in known:
            raise KeyError(name)
    return tuple(each.model_copy(update={"collected": True}) if each.item in items else each for each in checklist)


def missing(checklist: Sequence[Item]) -> list[str]:
    """The required items that have not been collected."""
    return [each.item for each in checklist if each.required and not each.collected]
