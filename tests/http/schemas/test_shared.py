"""The published shape of money, word for word where clients lean on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.http.conftest import Client


async def test_the_money_schema_is_as_published(client: Client) -> None:
    schema = (await client.send("GET", "/schemas/money")).json

    assert (schema["title"], schema["type"], schema["additionalProperties"]) == ("Money", "object", False)
    assert schema["required"] == ["amount", "currency"]
    assert schema["description"]
    amount, currency = schema["properties"]["amount"], schema["properties"]["currency"]
    assert amount["anyOf"] == [{"type": "number"}, {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"}]
    assert (currency["minLength"], currency["maxLength"], currency["pattern"]) == (3, 3, "^[A-Z]{3}$")
    assert all(one["title"] and one["description"] for one in (amount, currency))


async def test_the_pattern_takes_decimals_and_nothing_else(client: Client) -> None:
    schema = (await client.send("GET", "/schemas/money")).json
    pattern = re.compile(schema["properties"]["amount"]["anyOf"][1]["pattern"])

    assert all(pattern.match(text) for text in ("0", "-1.50", "+18400.00", ".5", "007"))
    assert not any(pattern.match(text) for text in ("", "-", ".", "1e3", "NaN", "1,5", "1.2.3"))
