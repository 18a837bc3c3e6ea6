"""Numbers and moments as the agency's country and calendar write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.http.browser.console.conftest import Console

pytestmark = pytest.mark.browser
NOW = datetime(2026, 11, 30, 20, tzinfo=UTC)
"""In Kolkata it is half past one of the first of December."""


IN = """async ({ place, asked }) => {
  const own = document.querySelector('script[type=module]').src;
  const [format, texts] = await Promise.all(
    ['format.js', 'texts.js'].map((name) => import(own.replace(/app[.]js$/, name))));
  format.setPlace(place);
  return asked.map(([name, ...given]) => (format[name] ?? texts[name])(...given));
}"""
"""What the functions of the page say, called by name, at a place."""


async def test_counts_within_texts_are_grouped_like_amounts_beside_them(console: Console) -> None:
    page = (await console.open()).page
    asked = [["t", "audit.found", {"n": 1234567}], ["number", 1234567], ["amount", "1234567.5", "KWD"]]
    for currency, said in {
        "INR": ["12,34,567 events", "12,34,567", "12,34,567.500"],
        "KWD": ["1,234,567 events", "1,234,567", "1,234,567.500"],
    }.items():
        place = {"timezone": "UTC", "default_currency": currency}
        assert await page.evaluate(IN, {"place": place, "asked": asked}) == said


async def test_yesterday_is_the_day_before_of_the_agencys_calendar(console: Console) -> None:
    page = (await console.open()).page
    told = {
        -1: "1 hour ago",
        -23.5: "23 hours ago",
        -25: "yesterday",
        -47: "2 days ago",
        26: "tomorrow",
        47: "in 2 days",
    }
    asked = [["relative", (NOW + timedelta(hours=hours)).isoformat(), NOW.timestamp() * 1000] for hours in told]
    place = {"timezone": "Asia/Kolkata", "default_currency": "INR"}
    assert await page.evaluate(IN, {"place": place, "asked": asked}) == list(told.values())
