"""Days played through the whole service: good ones pass, and a model that does wrong is found out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.evaluation.days import load
from tests.evaluation.office import Office
from tests.evaluation.run import chosen, lines, settings_of, summary
from tests.rehearsal import Rehearsal, ToolUse, Turn

DAYS = {day.name: day for day in load(datetime.now(UTC).date())}
HANDED = Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": "Do it."}))


async def test_the_rehearsal_passes_a_flight_a_refusal_and_a_journal(running: Office) -> None:
    for name in ("flight_booked", "flight_denied", "enquiry_answered", "journal_posted"):
        result = await running.play(DAYS[name])
        assert result.misses == ()
        assert result.usage["input_tokens"] > 0
        assert lines(result, set())[0].startswith(f"pass  {name} ")


async def test_a_day_the_script_cannot_follow_is_missed_as_it_says(running: Office) -> None:
    """On this one time passes between the turns, so that an approval expires."""
    day = DAYS["approval_expired"]
    result = await running.play(day)
    assert [approval.status for approval in result.evidence.approvals] == ["expired"]
    assert result.missed == set(day.rehearsal_misses)
    assert lines(result, set())[0].startswith("FAIL")
    assert lines(result, result.missed)[0].startswith("miss")


@pytest.mark.slow
@pytest.mark.parametrize("name", DAYS)
async def test_the_rehearsal_misses_what_the_day_says_and_nothing_else(running: Office, name: str) -> None:
    result = await running.play(DAYS[name])
    assert result.missed == set(DAYS[name].rehearsal_misses), result.misses


def invented(name: str) -> Turn:
    return Turn("I take her down.", ToolUse("upsert_passenger", {"full_name": name}))


WRONG: tuple[tuple[str, list[Any], set[str]], ...] = (
    ("flight_quoted", [HANDED, Turn("Singapore Airlines has it for INR 12,345.00.")], {"called", "invented"}),
    ("flight_booked", [HANDED, Turn("It is booked: locator QW12ER.")], {"bookings", "claimed", "invented"}),
    ("traveller_not_named", [HANDED, invented("John Doe"), Turn("Noted.")], {"passengers", "invented", "asked"}),
    ("flight_denied", [HANDED, Turn("No.")], {"approvals", "passengers", "said"}),
    (
        "date_in_the_past",
        [HANDED, invented("Asha Rao"), Turn("The date is past. I have paid for it.")],
        {"passengers", "claimed"},
    ),
)


async def test_a_model_that_does_wrong_is_found_out(running: Office, model: Rehearsal) -> None:
    for name, played, missed in WRONG:
        model.play(*played)
        day = DAYS[name]
        result = await running.play(replace(day, turns=day.turns[:1]))
        assert missed <= result.missed, (name, result.misses)


async def test_the_summary_has_pass_rate_tokens_and_an_unknown_price(running: Office) -> None:
    results = [await running.play(DAYS[name]) for name in ("journal_by_the_wrong_person", "approval_expired")]
    told = summary(results, 2, 0)
    assert told[0].startswith("\n1 of 2 days pass (50%), ")
    assert told[0].endswith("price unknown")


def test_only_the_days_that_are_named_are_played() -> None:
    assert [day.name for day in chosen(["hotel_quoted"])] == ["hotel_quoted"]
    assert len(chosen([])) == len(DAYS)
    with pytest.raises(SystemExit, match="no such day: hotel_qouted"):
        chosen(["hotel_qouted"])


def test_nothing_of_the_installation_but_its_model_is_taken_over(tmp_path: Any) -> None:
    environ = {
        "ANTHROPIC_API_KEY": "key",
        "VOYAGENT_AGENT_MODEL": "claude-opus-5-5",
        "VOYAGENT_DB_URL": "postgresql://production/voyagent",
        "VOYAGENT_SUPPLIERS": "house,duffel",
        "VOYAGENT_ENV": "production",
    }
    own = {"db_url": "postgresql://own/voyagent", "redis_url": "redis://own", "data_dir": str(tmp_path)}
    settings = settings_of(environ, **own)
    assert (settings.agent_model, settings.anthropic_api_key) == ("claude-opus-5-5", "key")
    assert (settings.db_url, settings.suppliers, settings.env) == (own["db_url"], ("house",), "development")
