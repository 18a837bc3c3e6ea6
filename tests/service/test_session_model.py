"""Whatever is done to a session in whatever order, it does what a small model of the contract says (business 3-5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from voyagent.http.service import Service

from .model_player import Player
from .session_model import APPROVAL_SECONDS, Conversation
from .shifted_clock import ShiftedClock

COMMON = ["say"] * 6 + ["let on"] * 2 + ["let go"] * 4 + ["decide"] * 4 + ["decide by map", "ride", "cancel"] * 2
RARE = ["again", "expire", "rename", "drop", "drop", "sleep", "restart", "delete"]
MOVES = st.lists(st.tuples(st.sampled_from(COMMON + RARE), st.integers(0, 19)), min_size=1, max_size=25)
CHAT, FLY, POST, TWO, QUEUED, INTERRUPT = 0, 2, 3, 4, 5, 15
"""Numbers of ``say``: what is said, plus how it waits its turn."""
YES, NO, YES_SECOND = 0, 1, 2
RIDDEN = [("say", TWO), ("ride", YES), ("let go", 0), ("decide", YES_SECOND), ("let go", 0)]
EXPIRED = [("say", TWO), ("say", CHAT), ("decide", YES), ("expire", 0), ("let go", 0), ("let go", 0)]
CUT = [("say", CHAT), *[("let on", 0), ("restart", 0)] * 3, ("say", FLY), ("restart", 0), ("decide", YES)]
CROWDED = [*[("say", CHAT + QUEUED)] * 7, ("say", FLY + INTERRUPT), *[("let go", 0)] * 3, ("restart", 0), ("expire", 0)]
CALM = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)


@dataclass(slots=True)
class World:
    """A service that can be started again on the same database, and the hands on its clock and model."""

    running: Any
    settings: Any
    clock: ShiftedClock
    db: asyncpg.Connection
    rehearsal: Any
    service: Any = None

    async def restart(self) -> None:
        """Stop without grace, and start again."""
        if self.service is not None:
            await self.service.stop()
        self.service = Service(self.settings, self.clock)
        await self.service.start()
        self.running.service = self.service


@pytest.fixture
async def world(settings_for: Any, rehearsal: Any, database: Any, running_class: Any) -> AsyncIterator[World]:
    chosen = settings_for(VOYAGENT_APPROVAL_TTL_SECONDS=str(APPROVAL_SECONDS))
    db = await asyncpg.connect(database.admin_url)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        running = running_class(None, rehearsal[0], http, chosen)
        made = World(running, chosen, ShiftedClock(), db, rehearsal[0])
        await made.restart()
        yield made
        await made.service.stop()
    await db.close()


async def play(world: World, moves: list[tuple[str, int]]) -> None:
    """Do one list of moves to a fresh agency's session."""
    world.rehearsal.reset()
    player = Player()
    world.rehearsal.play(*[player.reply] * 1000)
    person = await world.running.sign_up()

    async def value(query: str) -> Any:
        return await world.db.fetchval(query, person.user["tenant_id"])

    found = await person.say(await person.session(), "m0 setup")
    outputs = [each.data["tool_output"] for each in found if each.kind == "tool_result"]
    player.fare, player.person = outputs[0]["fares"][0]["fare_id"], outputs[1]["passenger_id"]
    talk = Conversation(world, person, player, value)
    await talk.begin()
    for name, number in moves:
        await talk.moves[name](number)
        await talk.settled()
    await talk.end()


@given(moves=MOVES)
@example(moves=RIDDEN)
@example(moves=EXPIRED)
@example(moves=CUT)
@example(moves=CROWDED)
@settings(CALM, max_examples=30, derandomize=True)
async def test_b7_b18_b19_a_session_does_what_the_contract_says_whatever_is_done_to_it(
    moves: list[tuple[str, int]], world: World
) -> None:
    await play(world, moves)


@pytest.mark.slow
@given(moves=MOVES)
@settings(CALM, max_examples=300)
async def test_b7_b18_b19_a_session_does_what_the_contract_says_however_long_one_tries(
    moves: list[tuple[str, int]], world: World
) -> None:
    await play(world, moves)
