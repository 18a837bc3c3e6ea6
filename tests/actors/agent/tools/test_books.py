"""The accounting desk's tools: the chart, balances, and journals a human has agreed to."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, cast

import pytest

from voyagent.actors.agent.tools.tool import ApprovalProposal
from voyagent.actors.domain.audit import canonical
from voyagent.actors.domain.books import CHART

LINES = [
    {"account_id": "1000", "currency": "INR", "debit_amount": "1200.50"},
    {"account_id": "3000", "currency": "INR", "credit_amount": "1200.50", "narration": "Asha Rao"},
]


def entry(**parts: Any) -> dict[str, Any]:
    return {"narration": "Capital paid in", "lines": LINES, "entry_date": "2026-11-20", **parts}


def reason(output: Any) -> str:
    assert isinstance(output, dict), output
    assert output.state == "failed"
    assert output["detail"]
    return cast("str", output["reason"])


async def test_b54_the_chart_is_told_with_ids_that_stay(desk: Any) -> None:
    told = await desk.read("list_ledger_accounts")
    assert told["count"] == len(told["accounts"]) == len(CHART)
    assert list(told["accounts"][0]) == ["id", "code", "name", "type", "is_control"]
    assert await desk.read("list_ledger_accounts") == told


async def test_b49_a_journal_is_put_to_a_human_as_a_whole(desk: Any) -> None:
    gate = await desk.bind("post_journal_entry", entry=entry())
    assert isinstance(gate, ApprovalProposal)
    assert gate.summary == (
        "Post journal of 2026-11-20: INR 1200.50; Capital paid in; "
        "debit 1000 Cash and bank INR 1200.50, credit 3000 Equity INR 1200.50"
    )
    assert json.loads(canonical(gate.bound)) == gate.bound
    assert gate.bound["total_debits"] == ["INR 1200.50"]
    assert [line["narration"] for line in gate.bound["lines"]] == [None, "Asha Rao"]
    assert await desk.count("journals") == 0
    assert (await desk.bind("post_journal_entry", entry=entry())).bound == gate.bound
    assert (await desk.bind("post_journal_entry", entry=entry(narration="Other"))).bound != gate.bound


async def test_a_summary_of_many_lines_says_how_many_more_there_are(desk: Any) -> None:
    gate = await desk.bind("post_journal_entry", entry=entry(lines=LINES * 100, narration="why " * 250))
    assert len(gate.summary) <= 1024
    assert "INR 120050.00" in gate.summary
    assert "more lines" in gate.summary
    assert len(gate.bound["lines"]) == 200


@pytest.mark.parametrize("by", ["id", "code"])
async def test_b54_a_journal_is_posted_by_id_and_by_code_and_read_as_a_balance(desk: Any, by: str) -> None:
    accounts = {each["code"]: each for each in (await desk.read("list_ledger_accounts"))["accounts"]}
    lines = [line | {"account_id": accounts[str(line["account_id"])][by]} for line in LINES]
    dollars = [
        {"account_id": "1000", "currency": "USD", "debit_amount": "3"},
        {"account_id": "3000", "currency": "USD", "credit_amount": "3"},
    ]
    posted = await desk.plan("post_journal_entry", entry=entry(lines=[*lines, *dollars]))
    assert list(posted) == ["posted", "journal_id"]
    assert posted.state == "succeeded"
    balance = await desk.read("read_account_balance", account_id="1000", as_of="2026-11-20")
    assert balance == {
        "read": True,
        "balance": "INR 1,200.50",
        "currency": "INR",
        "other_balances": ["USD 3.00"],
    }
    equity = await desk.read("read_account_balance", account_id=accounts["3000"][by], as_of="2026-11-30")
    assert equity["balance"] == "INR -1,200.50"
    assert (await desk.read("read_account_balance", account_id="1000", as_of="2026-11-19"))["balance"] == "INR 0.00"
    assert reason(await desk.read("read_account_balance", account_id="9999", as_of="2026-11-19")) == "account_not_found"


async def test_b52_one_call_posts_once_and_another_call_again(desk: Any) -> None:
    key = await desk.agency.call("post_journal_entry")
    first = await desk.plan("post_journal_entry", key=key, entry=entry())
    assert await desk.plan("post_journal_entry", key=key, entry=entry()) == first
    assert await desk.agency.db.fetchval("SELECT idempotency_key FROM journals") == f"call:{key}"
    assert str(await desk.agency.db.fetchval("SELECT created_by FROM journals")) == desk.agency.user_id
    assert await desk.plan("post_journal_entry", entry=entry()) != first
    assert await desk.count("journals") == 2


async def test_a_journal_without_a_day_is_of_today(desk: Any) -> None:
    undated = {name: value for name, value in entry().items() if name != "entry_date"}
    gate = await desk.bind("post_journal_entry", entry=undated)
    assert gate.bound["entry_date"] == desk.clock.now().date().isoformat()
    await desk.clock.advance(timedelta(days=1).total_seconds())
    assert (await desk.bind("post_journal_entry", entry=undated)).bound != gate.bound, "another day is another journal"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"account_id": "9999"}, "invalid_line"),
        ({"account_code": "4200"}, "invalid_line"),
        ({"credit_amount": "1"}, "invalid_line"),
        ({"debit_amount": "0"}, "invalid_line"),
        ({"debit_amount": "1200.505"}, "invalid_line"),
        ({"debit_amount": "1200.51"}, "validation_failed"),
        ({"currency": "USD"}, "validation_failed"),
        ({"account_id": "1100"}, "control_account"),
    ],
)
async def test_no_human_is_asked_for_a_journal_that_cannot_stand(desk: Any, change: dict[str, str], why: str) -> None:
    given = entry(lines=[LINES[0] | change, LINES[1]])
    assert reason(await desk.bind("post_journal_entry", entry=given)) == why
    assert reason(await desk.plan("post_journal_entry", entry=given)) == why
    assert await desk.count("journals") == 0
