"""The office days: their files are read strictly, and name what they expect in words that exist."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

import pytest

from tests.evaluation.days import Day, InvalidDay, load
from tests.evaluation.grading import RULES
from voyagent.actors.agent.desks import DESKS

TODAY = date(2026, 11, 29)
DAYS = load(TODAY)
LEAST = """
about = "One message."
[[turns]]
says = "Fly on {long+60}, back on {day+67}"
"""


def test_there_are_twenty_days_and_each_says_what_it_is_about() -> None:
    assert len(DAYS) >= 20
    assert len({day.about for day in DAYS}) == len(DAYS)


def test_dates_are_counted_from_today() -> None:
    assert Day.read("day", LEAST, TODAY).turns[0].says == "Fly on 28 January 2027, back on 2027-02-04"


def test_amounts_are_read_as_money_by_account_and_currency() -> None:
    text = f"{LEAST}[expect]\njournals = [{{ 1000 = 'INR 1,200.50', 3000 = 'INR -1200.50' }}]"
    expected = {"1000 INR": Decimal("1200.50"), "3000 INR": Decimal("-1200.50")}
    assert Day.read("day", text, TODAY).expect.journals == (expected,)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ("decides = 'perhaps'", "turns.decides: perhaps"),
        ("decider = 'owner'", "turns.decider: owner"),
        ("say = 'Hello'", "turns: unknown say"),
        ("[expect]\nbooking = []", "expect: unknown booking"),
        ("[before]\nbills = []", "before: unknown bills"),
    ],
)
def test_what_a_day_may_not_say_is_refused_by_its_name(more: str, error: str) -> None:
    with pytest.raises(InvalidDay, match=re.escape(error)):
        Day.read("day", f"{LEAST}{more}", TODAY)


def test_a_day_without_turns_is_refused() -> None:
    with pytest.raises(InvalidDay, match="turns"):
        Day.read("day", "about = 'Nothing'", TODAY)


@pytest.mark.parametrize("day", DAYS, ids=[day.name for day in DAYS])
def test_a_day_names_rules_and_tools_that_exist(day: Day) -> None:
    tools = {tool for desk in DESKS.values() for tool in desk.tools}
    named = {*day.expect.called, *day.expect.not_called, *(each.split()[0] for each in day.expect.approvals)}
    assert named <= tools
    assert set(day.rehearsal_misses) <= set(RULES)
    for pattern in (*day.expect.says, *day.expect.never_says):
        re.compile(pattern)
