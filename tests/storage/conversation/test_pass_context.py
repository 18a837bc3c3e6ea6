"""What a pass reads of a long conversation: its end, from a user's message on; and abandoned model calls."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from voyagent.actors.domain import ids
from voyagent.actors.domain.outcomes import Succeeded
from voyagent.actors.domain.transcript import tool_result, trimmed, weight
from voyagent.actors.domain.turns import Message
from voyagent.storage.conversation import model_calls, pass_context, usage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class AgencyLike(Protocol):
    tenant_id: str
    session_id: str
    turn_id: str
    store: Any
    db: Any


async def talk(agency: AgencyLike, exchanges: int, said: str) -> list[Message]:
    """A conversation of so many exchanges of four messages each; answers it whole."""
    whole: list[Message] = []
    for place in range(exchanges):
        call = f"call_{place}"
        for role, block in (
            ("user", {"type": "text", "text": f"{place} {said}"}),
            ("assistant", {"type": "tool_use", "id": call, "name": "search", "input": {"place": place}}),
            ("tool", tool_result(call, "search", Succeeded({"rows": said}))),
            ("assistant", {"type": "text", "text": "Found."}),
        ):
            whole.append(Message(ids.uuid7(), len(whole) + 1, agency.turn_id, role, [block], None, NOON))  # type: ignore[arg-type]
    await agency.db.executemany(
        """INSERT INTO messages (id, tenant_id, session_id, turn_id, sequence, role, content, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        [
            (m.id, agency.tenant_id, agency.session_id, m.turn_id, m.sequence, m.role, json.dumps(m.content), NOON)
            for m in whole
        ],
    )
    return whole


async def read(agency: AgencyLike, token_limit: int) -> pass_context.PassContext:
    load = pass_context.LoadPass(
        tenant_id=agency.tenant_id, session_id=agency.session_id, turn_id=agency.turn_id, token_limit=token_limit
    )
    loaded: pass_context.PassContext = await agency.store.ask(load)
    return loaded


@pytest.mark.parametrize(
    "said", ["plain words " * 20, "नमस्ते " * 30, "😀" * 40, '"\\\n' * 50], ids=["ascii", "hindi", "emoji", "escaped"]
)
@pytest.mark.parametrize("token_limit", [0, 2_000, 20_000, 100_000_000])
async def test_the_end_that_fits_is_read_and_little_more(agency: AgencyLike, said: str, token_limit: int) -> None:
    whole = await talk(agency, 300, said)
    loaded = await read(agency, token_limit)
    kept, fit = trimmed(whole, token_limit), trimmed(loaded.messages, token_limit)
    assert fit == kept[len(kept) - len(fit) :]
    assert len(fit) > len(kept) // 2  # here a row is weighed with its ids and names
    assert loaded.messages[0].role == "user"
    assert loaded.messages[-1] == whole[-1]
    assert sum(map(weight, loaded.messages)) <= max(token_limit * 2, 4_000)
    assert [each.sequence for each in loaded.own] == [each.sequence for each in whole]


async def test_the_newest_exchange_is_read_whatever_its_size(agency: AgencyLike) -> None:
    whole = await talk(agency, 3, "x" * 100_000)
    assert list((await read(agency, 10)).messages) == whole[-4:]


async def test_nothing_said_is_nothing_read(agency: AgencyLike) -> None:
    assert (await read(agency, 10)).messages == ()


@pytest.mark.parametrize(
    ("turn", "every", "state"),
    [("completed", False, "settled"), ("running", False, "started"), ("running", True, "settled")],
)
async def test_a_call_nobody_settled_is_settled_unless_its_turn_still_runs(
    agency: AgencyLike, turn: str, every: bool, state: str
) -> None:
    begin = model_calls.Begin(
        tenant_id=agency.tenant_id,
        id=ids.uuid7(),
        session_id=agency.session_id,
        turn_id=agency.turn_id,
        pass_no=1,
        desk=None,
        model="m",
        estimate=100,
        now=NOON,
    )
    await agency.store.ask(begin)
    await agency.store.ask(begin)  # as after a connection that broke behind the first: nothing changes
    await agency.db.execute("UPDATE turns SET state = $2 WHERE id = $1", agency.turn_id, turn)
    assert await agency.store.ask(usage.AgenciesWithStarted()) == [(agency.tenant_id, turn == "completed")]
    await agency.store.ask(usage.SettleAbandoned(tenant_id=agency.tenant_id, every=every))
    assert await agency.db.fetchval("SELECT state FROM model_calls WHERE id = $1", begin.id) == state
