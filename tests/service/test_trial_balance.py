"""``GET /reports/trial-balance`` over HTTP (business 8.3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from voyagent.actors.domain.books import CHART, DraftLine
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.leased_store import leased_for
from voyagent.storage.general_ledger import DraftJournal, Post

if TYPE_CHECKING:
    from tests.service.conftest import Person, Running

PATH = "/reports/trial-balance"
DAY = date(2026, 6, 30)


@pytest.fixture
def post(running: Running) -> Callable[..., Any]:
    """Post a journal in a person's agency: debited and credited account, amount, currency, date."""

    async def post(of: Person, debit: str, credit: str, amount: str, currency: str = "INR", day: date = DAY) -> None:
        tenant_id, now = of.user["tenant_id"], running.service.system.clock.now()
        sides = ((debit, Decimal(amount), None), (credit, None, Decimal(amount)))
        drafts = tuple(
            DraftLine(account=account, code=None, currency=currency, debit=one, credit=other, memo=None)
            for account, one, other in sides
        )
        draft = DraftJournal(
            tenant_id=tenant_id,
            entry_date=day,
            narration="n",
            source_event="manual.journal",
            drafts=drafts,
            today=now.date(),
            now=now,
        )
        system = running.service.system
        posted = await leased_for(system.storage, system.ownership, tenant_id).ask(
            Post(tenant_id=tenant_id, draft=draft, key=uuid7(), by=of.user["id"])
        )
        assert isinstance(posted, str), posted

    return post


async def test_b46_b49_each_currency_has_its_own_accounts_and_totals(asha: Person, post: Any) -> None:
    await post(asha, "1000", "3000", "1000.50")
    await post(asha, "5000", "1000", "200.25")
    await post(asha, "1000", "4100", "1.001", "KWD")
    await post(asha, "1000", "4100", "1240", "JPY")
    found = await asha.get(f"{PATH}?as_of=2026-06-30")
    others, reconciliation = found.pop("other_currencies"), found.pop("reconciliation")
    assert found == {
        "tenant_id": asha.user["tenant_id"],
        "as_of": "2026-06-30",
        "accounts": [
            row("1000", "asset", "1000.50", "200.25", "800.25"),
            row("3000", "equity", "0.00", "1000.50", "-1000.50"),
            row("5000", "expense", "200.25", "0.00", "200.25"),
        ],
        "total_debit": "1200.75",
        "total_credit": "1200.75",
        "in_balance": True,
    }
    assert [each["currency"] for each in others] == ["JPY", "KWD"]
    assert [each["total_debit"] for each in others] == ["1240.00", "1.001"]
    assert [account["balance"] for account in others[1]["accounts"]] == ["1.001", "-1.001"]
    nothing = {"INR": "0.00", "JPY": "0.00", "KWD": "0.000"}
    sides = {
        currency: dict.fromkeys(("aging_total", "control_account", "difference"), no)
        for currency, no in nothing.items()
    }
    assert reconciliation == [
        {"currency": currency, "receivables": side, "payables": side} for currency, side in sides.items()
    ]
    again = await asha.get(f"{PATH}?as_of=2026-06-30")
    assert again == {**found, "other_currencies": others, "reconciliation": reconciliation}


def row(code: str, kind: str, debit: str, credit: str, balance: str) -> dict[str, str]:
    name = next(each.name for each in CHART if each.code == code)
    amounts = {"debit": debit, "credit": credit, "balance": balance}
    return {"code": code, "name": name, "type": kind, **amounts, "currency": "INR"}


async def test_an_empty_ledger_is_in_balance_and_lists_the_chart_on_request(asha: Person) -> None:
    empty = await asha.get(PATH)
    assert (empty["accounts"], empty["total_debit"], empty["in_balance"]) == ([], "0.00", True)
    full = await asha.get(f"{PATH}?include_zero=1")
    assert [each["code"] for each in full["accounts"]] == sorted(each.code for each in CHART)
    assert {each["balance"] for each in full["accounts"]} == {"0.00"}


async def test_a_past_day_is_byte_equal_whatever_is_posted_with_a_later_date(asha: Person, post: Any) -> None:
    await post(asha, "1000", "3000", "10")

    async def text() -> bytes:
        async with asha.http.get(f"{asha.url}{PATH}?as_of={DAY}", headers=asha.headers) as response:
            return await response.read()

    before = await text()
    await post(asha, "1000", "3000", "5", day=DAY + timedelta(days=1))
    await post(asha, "1000", "3000", "5", "USD", day=DAY + timedelta(days=1))
    assert await text() == before
    await post(asha, "1000", "3000", "5")
    assert await text() != before


async def test_today_is_the_agencys_own(asha: Person) -> None:
    async def default_day(zone: str) -> str:
        assert (await asha.call("PATCH", "/tenant-settings", json={"timezone": zone}))[0] == 200
        return str((await asha.get(PATH))["as_of"])

    days = {zone: await default_day(zone) for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago")}
    assert days["Pacific/Kiritimati"] > days["Pacific/Pago_Pago"], "25 hours apart: never the same day"


@pytest.mark.parametrize(
    "odd", ["as_of=2026-6-1", "as_of=", "as_of=20260630", "include_zero=true", "include_zero=2", "include_zero=-1"]
)
async def test_odd_parameters_are_422(odd: str, asha: Person) -> None:
    status, body = await asha.call("GET", f"{PATH}?{odd}")
    assert (status, body["detail"][0]["loc"]) == (422, ["query", odd.partition("=")[0]])


async def test_b61_every_role_reads_its_own_agency_alone(
    asha: Person, running: Running, member: Any, post: Any
) -> None:
    await post(asha, "1000", "3000", "10")
    expected = await asha.get(PATH)
    for role in ("ticketing_lead", "accounting_lead", "agent", "viewer"):
        assert await (await member(asha, role)).get(PATH) == expected
    other = await running.sign_up()
    assert (await other.get(PATH))["accounts"] == []
