"""The calls of an answer before they are stored: which may be made, which are known to fail, which wait for whom."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.actors.agent.stand import FLIGHTS, Stand, calls
from tests.fakes.tools import DESK, FakeSupplierTool, Gate, tools
from voyagent.actors.agent import proposing
from voyagent.actors.agent.pass_state import PassState
from voyagent.actors.agent.proposing import RECENT, SUMMARY_LIMIT, Proposal, propose
from voyagent.actors.agent.tools.tool import ApprovalProposal, Objection
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.domain.outcomes import NOT_PERMITTED, Failed, InvalidInput, Outcome, Refused
from voyagent.actors.domain.turns import LoopState
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.storage.conversation import pass_context, recent_calls

READ, CLOSE, PAY = "read_order", "close_order", "pay_order"


class Desk(Stand):
    """A pass at a desk whose tools are fakes."""

    def __init__(self) -> None:
        super().__init__()
        self.tool = FakeSupplierTool()
        self.work = PassState(self.task, self.ports)
        self.work.loop = FLIGHTS
        self.recent: list[recent_calls.RecentCall] = []
        self.store.on(Gate, lambda gate: ApprovalProposal(f"Close {gate.order_id}", {"order": gate.order_id}, None))
        self.store.on(recent_calls.OfTool, lambda _: self.recent)

    async def propose(self, *made: tuple[str, dict[str, Any]], flaws: dict[int, str] | None = None) -> list[Proposal]:
        return await propose(self.work, calls(*made, flaws=flaws))

    async def one(self, name: str, **given: Any) -> Proposal:
        [proposal] = await self.propose((name, given))
        return proposal


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    monkeypatch.setattr(proposing, "for_desk", lambda name: tools(made.tool) if name == DESK else [])
    return made


def kinds(proposal: Proposal) -> list[str]:
    return [event.kind for event in proposal.events]


def failure(proposal: Proposal) -> str:
    assert proposal.ask is None
    assert isinstance(proposal.outcome, Failed)
    return proposal.outcome.code


def bound(summary: str, **changes: Any) -> ApprovalProposal:
    values: dict[str, Any] = {"bound": {}, "expires_at": None, **changes}
    return ApprovalProposal(summary, **values)


def raises(error: Exception) -> ApprovalProposal:
    raise error


async def test_a_reading_call_is_proposed_with_its_event_and_waits_for_nobody(desk: Desk) -> None:
    proposal = await desk.one(READ, order_id="o-1")
    assert (proposal.ask, proposal.outcome, kinds(proposal)) == (None, None, ["tool_use"])
    call = proposal.call
    assert (call.tool, call.desk, call.effect, call.input) == (READ, DESK, "read", {"order_id": "o-1"})
    assert (call.turn_id, call.call_id, call.user_id, call.bound) == ("t-1", "toolu_0", "asha", None)
    assert proposal.events[0].tool_input == {"order_id": "o-1"}


@pytest.mark.parametrize(("name", "effect"), [(CLOSE, "reversible"), (PAY, "irreversible")])
async def test_a_gated_call_is_proposed_with_what_its_approver_is_shown(name: str, effect: str, desk: Desk) -> None:
    proposal = await desk.one(name, order_id="o-1")
    ask = proposal.ask
    assert ask is not None
    assert proposal.outcome is None
    assert kinds(proposal) == ["tool_use", "approval_request"]
    assert (ask.call, ask.call.effect, ask.call.bound) == (proposal.call, effect, {"order": "o-1"})
    assert ask.id == proposal.call.approval_id == f"ap-t-1-{name}"
    assert (proposal.events[1].approval_id, proposal.events[1].approval_summary) == (ask.id, ask.summary)


async def test_the_roles_that_may_approve_are_the_tool_s_in_order(desk: Desk) -> None:
    roles = {name: (await desk.one(name, order_id="o-1")).ask for name in (CLOSE, PAY)}
    assert {name: ask and ask.approver_roles for name, ask in roles.items()} == {
        CLOSE: ("agency_admin",),
        PAY: ("accounting_lead", "agency_admin", "agent", "ticketing_lead", "viewer"),
    }


async def test_a_tool_of_another_desk_is_unknown(desk: Desk) -> None:
    desk.work.loop = LoopState(desk="accounting")
    proposal = await desk.one(READ, order_id="o-1")
    assert failure(proposal) == "unknown_tool"
    assert (proposal.call.effect, proposal.call.desk, kinds(proposal)) == ("read", "accounting", ["tool_use"])


async def test_calls_of_a_user_who_may_no_longer_act_are_not_permitted(desk: Desk) -> None:
    desk.store.on(pass_context.MayAct, lambda asked: asked.user_id != "asha")
    for name in (READ, CLOSE, PAY):
        proposal = await desk.one(name, order_id="o-1")
        assert (proposal.outcome, proposal.ask) == (NOT_PERMITTED, None)
    assert not desk.work.user_active
    assert desk.store.of(Gate) == []


async def test_whether_the_user_may_act_is_read_once_an_answer_and_not_for_one_without_calls(desk: Desk) -> None:
    await desk.propose()
    assert desk.store.of(pass_context.MayAct) == []
    await desk.propose((READ, {"order_id": "o-1"}), (READ, {"order_id": "o-2"}))
    assert len(desk.store.of(pass_context.MayAct)) == 1


@pytest.mark.parametrize(
    ("given", "flaws", "told"),
    [({}, None, "order_id"), ({"order_id": "o-1", "colour": "red"}, None, "colour"), ({}, {0: "no JSON"}, "no JSON")],
    ids=["a field is missing", "a field too many", "unreadable"],
)
async def test_invalid_input_is_the_call_s_outcome(
    given: dict[str, Any], flaws: dict[int, str] | None, told: str, desk: Desk
) -> None:
    [proposal] = await desk.propose((PAY, given), flaws=flaws)
    assert isinstance(proposal.outcome, InvalidInput)
    assert told in proposal.outcome.flaws
    assert (proposal.ask, kinds(proposal)) == (None, ["tool_use"])


async def test_secrets_in_an_input_are_masked_before_anything_keeps_them(desk: Desk) -> None:
    proposal = await desk.one(PAY, order_id="o-1", card_number="4111111111111234", password="hunter2")
    masked = {"order_id": "o-1", "card_number": "***1234", "password": "***"}
    assert proposal.call.input == proposal.events[0].tool_input == masked


async def test_of_equal_calls_in_one_answer_only_the_first_is_made(desk: Desk) -> None:
    order = {"order_id": "O-1"}
    first, same, other_tool, other_order = await desk.propose(
        (PAY, order), (PAY, {"order_id": "o-1"}), (CLOSE, order), (PAY, {"order_id": "o-2"})
    )
    assert failure(same) == "duplicate_call"
    assert [each.ask and each.ask.call.call_id for each in (first, other_tool, other_order)] == [
        "toolu_0",
        "toolu_2",
        "toolu_3",
    ]
    assert [each.call.position for each in (first, same, other_tool, other_order)] == [0, 1, 2, 3]


async def test_calls_are_numbered_among_themselves_whatever_text_is_between(desk: Desk) -> None:
    answer = calls((PAY, {"order_id": "o-1"}), (PAY, {"order_id": "o-2"}))
    answer.blocks.insert(1, {"type": "text", "text": "and"})
    assert [each.call.position for each in await propose(desk.work, answer)] == [0, 1]


async def test_a_call_that_could_not_be_read_is_no_twin_of_a_later_one(desk: Desk) -> None:
    invalid, valid = await desk.propose((PAY, {"order_id": "o-1"}), (PAY, {"order_id": "o-1"}), flaws={0: "no JSON"})
    assert isinstance(invalid.outcome, InvalidInput)
    assert valid.ask is not None


async def test_later_approvals_of_one_tool_in_a_turn_are_numbered(desk: Desk) -> None:
    desk.work.uses[PAY] = 1
    asks = [each.ask for each in await desk.propose(*((PAY, {"order_id": f"o-{at}"}) for at in (1, 2)))]
    assert [ask and ask.id for ask in asks] == ["ap-t-1-pay_order-2", "ap-t-1-pay_order-3"]
    assert desk.work.uses[PAY] == 3


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Objection("not_found", "No such order."), Refused("done", "not_found", "No such order.")),
        (
            SupplierError("breaker_open", "the supplier is unavailable"),
            Failed("breaker_open", "the supplier is unavailable"),
        ),
        (Unavailable("overloaded"), Failed("transient", "overloaded")),
    ],
    ids=["refused", "the supplier fails", "its actor is busy"],
)
async def test_what_cannot_succeed_is_said_at_once_and_nobody_is_asked(
    error: Exception, expected: Outcome, desk: Desk
) -> None:
    desk.tool.checks = lambda _: raises(error)
    proposal = await desk.one(PAY, order_id="o-1")
    assert proposal.outcome == expected
    assert (proposal.ask, kinds(proposal)) == (None, ["tool_use"])
    assert desk.work.uses[PAY] == 0


async def test_what_storage_refuses_before_an_approval_is_the_outcome(desk: Desk) -> None:
    refused = Refused("closed", "invalid_status", "The order is closed.")
    desk.store.on(Gate, lambda _: refused)
    assert (await desk.one(CLOSE, order_id="o-1")).outcome is refused
    desk.store.on(Gate, lambda _: raises(Unavailable("storage_unavailable")))
    assert failure(await desk.one(CLOSE, order_id="o-1")) == "transient"


async def test_an_approval_expires_with_its_offer_or_after_its_time_whichever_is_first(desk: Desk) -> None:
    now, ttl = desk.clock.now(), desk.task.approval_ttl
    for of_offer, expected in (
        (None, ttl),
        (timedelta(minutes=1), timedelta(minutes=1)),
        (ttl + timedelta(hours=1), ttl),
    ):
        expires = None if of_offer is None else now + of_offer
        desk.tool.checks = lambda _, at=expires: bound("Pay", expires_at=at)
        proposal = await desk.one(PAY, order_id="o-1")
        assert proposal.ask is not None
        assert proposal.ask.expires_at == now + expected


def earlier(order_id: str, *, certain: bool = True, output: Mapping[str, Any] | None = None) -> recent_calls.RecentCall:
    return recent_calls.RecentCall(
        {"order_id": order_id}, {"order": order_id}, None if output is None else dict(output), certain
    )


@pytest.mark.parametrize(
    ("recent", "starts"),
    [
        ([], "Pay o-1"),
        ([earlier("o-2")], "Pay o-1"),
        ([earlier("o-2"), earlier("o-1", output={"locator": "X7KQ2P"})], "Already done X7KQ2P: Pay o-1"),
        ([earlier("o-1", certain=False, output={"locator": "X7KQ2P"})], "Possibly done already, "),
        ([earlier("o-1", output={"locator": "ONE"}), earlier("o-1", output={"locator": "TWO"})], "Already done ONE: "),
    ],
    ids=["no other", "another order", "executed", "perhaps executed", "executed twice"],
)
async def test_the_summary_says_first_that_an_equal_call_was_executed_lately(
    recent: list[recent_calls.RecentCall], starts: str, desk: Desk
) -> None:
    desk.recent = recent
    ask = (await desk.one(PAY, order_id="o-1")).ask
    assert ask is not None
    assert ask.summary.startswith(starts)
    assert ask.summary.endswith("Pay o-1")
    [asked] = desk.store.of(recent_calls.OfTool)
    assert (asked.tenant_id, asked.tool, asked.since) == ("a-1", PAY, desk.clock.now() - RECENT)


async def test_a_summary_has_its_limit_notice_included(desk: Desk) -> None:
    desk.recent = [earlier("o-1", output={})]
    desk.tool.checks = lambda _: bound("x" * 2 * SUMMARY_LIMIT)
    ask = (await desk.one(PAY, order_id="o-1")).ask
    assert ask is not None
    assert len(ask.summary) == SUMMARY_LIMIT
    assert ask.summary.startswith("Already done: x")
