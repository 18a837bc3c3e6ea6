"""An agency's tax rates over HTTP (business 13.4): read by all, set by admins, used by the accounting desk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from voyagent.actors.domain.tax_rates import defaults

if TYPE_CHECKING:
    from tests.service.conftest import Running

GERMANY = {"regime": "vat_eu", "code": "VAT", "jurisdiction": "DE", "holds_from": "2021-01-01", "rate_bps": 1900}


def rate_of(items: list[dict[str, Any]], **wanted: Any) -> list[int | None]:
    return [item["rate_bps"] for item in items if wanted.items() <= item.items()]


async def test_an_agency_reads_and_sets_its_tax_rates(running: Running) -> None:
    asha = await running.sign_up()
    known = (await asha.get("/tax-rates"))["items"]
    assert len(known) == len(defaults())
    singapore = {"regime": "gst_sg", "supply": "standard"}
    for day, bps in (("2023-12-31", 800), ("2024-01-01", 900)):
        assert rate_of((await asha.get(f"/tax-rates?on={day}"))["items"], **singapore) == [bps]
    status, changed = await asha.call("PATCH", "/tax-rates", json={"rates": [GERMANY]})
    assert status == 200
    assert changed == await asha.get("/tax-rates")
    assert GERMANY | {"supply": "standard"} in changed["items"]
    ended = GERMANY | {"holds_from": "2026-01-01", "rate_bps": None}
    assert (await asha.call("PATCH", "/tax-rates", json={"rates": [ended]}))[0] == 200
    for day, held in (("2025-12-31", [1900]), ("2026-01-01", [])):
        assert rate_of((await asha.get(f"/tax-rates?on={day}"))["items"], regime="vat_eu") == held
    kinds = [event["kind"] for event in (await asha.get("/audit"))["items"]]
    assert kinds.count("tax_rates.set") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_bps": -1},
        {"rate_bps": 100_001},
        {"rate_bps": "1900"},
        {"code": "vat"},
        {"regime": "vat_mars"},
        {"supply": "Standard"},
        {"jurisdiction": ""},
        {"jurisdiction": "de"},
        {"jurisdiction": " DE"},
        {"holds_from": "1969-12-31"},
        {"holds_from": "2026-02-30"},
        {"note": "x"},
    ],
)
async def test_a_rate_that_is_none_is_not_set(wrong: dict[str, Any], running: Running) -> None:
    asha = await running.sign_up()
    status, _ = await asha.call("PATCH", "/tax-rates", json={"rates": [GERMANY, GERMANY | wrong]})
    assert status == 422
    assert len((await asha.get("/tax-rates"))["items"]) == len(defaults())
