"""Model requests: what is sent again after a refusal, and the ids of the calls that come back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.agent.stand import FLIGHTS, Stand, calls, context, text, user
from voyagent.actors.agent import asking
from voyagent.actors.agent.llm.model import Answer, ModelFailed
from voyagent.actors.agent.pass_state import PassState
from voyagent.storage.conversation import model_calls


def work_of(stand: Stand) -> PassState:
    work = PassState(stand.task, stand.ports)
    work.loop = FLIGHTS
    return work


async def ask(stand: Stand, *, last: bool = False) -> Answer:
    return await asking.ask(work_of(stand), stand.loaded, last=last)


async def test_a_call_is_stored_at_its_estimate_before_the_model_is_asked() -> None:
    stand = Stand(text("Done."))
    asked_before: list[int] = []
    stand.store.on(model_calls.Begin, lambda _: asked_before.append(len(stand.model.calls)))
    await ask(stand)
    assert asked_before == [0]
    [begun] = stand.store.of(model_calls.Begin)
    assert begun.estimate == stand.budget.reserved[0]
    assert (begun.desk, begun.pass_no) == ("ticketing_visa", 1)


async def test_what_was_used_is_settled_against_what_was_reserved() -> None:
    stand = Stand(text("Done."))
    await ask(stand)
    assert stand.budget.settled == [(stand.budget.reserved[0], 15)]


async def test_a_request_that_is_too_long_is_sent_once_more_with_less_of_the_conversation() -> None:
    stand = Stand(ModelFailed("model_request_rejected", share=0.5), text("Done."))
    messages = [user("word " * 2000, sequence) for sequence in range(1, 7)]
    stand.loaded = replace(context(state=FLIGHTS), messages=tuple(messages))
    answer = await ask(stand)
    assert answer.says_something
    first, second = stand.model.calls
    assert len(str(second.messages)) < len(str(first.messages))
    assert len(stand.budget.settled) == 1


@pytest.mark.parametrize(
    "failures",
    [
        [ModelFailed("model_unavailable")],
        [ModelFailed("model_request_rejected", share=0.5)] * 2,
    ],
    ids=["nothing to gain from less", "refused twice"],
)
async def test_what_cannot_be_mended_aborts_the_pass(failures: list[ModelFailed]) -> None:
    stand = Stand(*failures)
    with pytest.raises(asking.PassAborted) as aborted:
        await ask(stand)
    assert aborted.value.error.code == failures[0].code
    assert [reserved for reserved, _ in stand.budget.settled] == stand.budget.reserved


async def test_calls_keep_their_ids_unless_the_conversation_has_them() -> None:
    first, second = calls(("search_flights", {})), calls(("search_flights", {}), ("search_flights", {}))
    taken = {"toolu_0"}
    assert asking.own_ids(second, taken).blocks[1]["id"] == "toolu_1"
    assert asking.own_ids(first, set()).blocks == first.blocks


@given(made=st.lists(st.sampled_from(["a", "b", "c"]), max_size=8), taken=st.sets(st.sampled_from(["a", "b", "z"])))
def test_no_two_calls_share_an_id(made: list[str], taken: set[str]) -> None:
    answer = calls(*[("search_flights", {}) for _ in made])
    for block, given_id in zip(answer.blocks, made, strict=True):
        block["id"] = given_id
    before = set(taken)
    found = [block["id"] for block in asking.own_ids(answer, taken).blocks]
    assert all(count == 1 for count in Counter(found).values())
    assert not before & set(found)
    assert [block["id"] for block in answer.blocks] == made, "the answer itself is unchanged"
