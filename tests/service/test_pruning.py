"""What is kept for a time only, and how a replay says that something is gone (business 3.2, 3.5)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from tests.rehearsal import Text, Turn
from tests.waiting import until
from voyagent.actors.conversation.session_messages import Pruned
from voyagent.actors.housekeeping import UPKEEP_SHARD, HousekeepingActor
from voyagent.actors.leased_store import leased
from voyagent.actors.root import Tree
from voyagent.storage.conversation.pruning import PruneDeltas, PruneKeys

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running
    from voyagent.actors.runtime.actor import Recipient
    from voyagent.actors.system import System

AGE = "UPDATE session_events SET created_at = created_at - interval '25 hours' WHERE session_id = $1 AND seq <= $2"
KEPT = "SELECT array_agg(seq ORDER BY seq) FROM session_events WHERE session_id = $1"
PRUNED = "SELECT pruned_through FROM sessions WHERE id = $1"
ANNOUNCED = "replay_failed: events up to {} are no longer kept"


def upkeep(system: System) -> Recipient:
    """Storage for whoever prunes."""
    return leased(system.storage, system.ownership.lease_of(UPKEEP_SHARD))


async def prune(running: Running) -> list[Any]:
    system = running.service.system
    return await upkeep(system).ask(PruneDeltas(now=system.clock.now()))


async def two_turns(person: Person, running: Running, session: str) -> list[Any]:
    said = []
    for number in range(2):
        running.rehearsal.play(Turn(Text.split("a", "b", "c"), delay=0.02))
        said += await person.say(session, f"say {number}")
    return said


async def test_b15_old_text_goes_in_one_statement_with_its_mark_and_a_replay_says_so(
    asha: Person, running: Running, admin: Admin
) -> None:
    session = await asha.session()
    said = await two_turns(asha, running, session)
    first_final = next(event.id for event in said if event.kind == "final")
    await admin.execute(AGE, session, first_final)
    (gone,) = await prune(running)
    deltas = [event.id for event in said if event.kind == "text_delta" and event.id < first_final]
    assert (gone.session_id, gone.through, gone.events) == (session, max(deltas), len(deltas))
    assert await admin.value(PRUNED, session) == max(deltas)
    kept = [event for event in said if event.id not in deltas]
    assert await admin.value(KEPT, session) == [event.id for event in kept]
    assert await prune(running) == []
    for passivated in (True, False):
        if passivated:
            await admin.close_actor(session)
        events = await asha.replay(session)
        assert events[0].data["error_message"] == ANNOUNCED.format(max(deltas))
        assert events[0].id is None
        assert [event.raw for event in events[1:]] == [event.raw for event in kept]
        rest = await asha.replay(session, max(deltas))
        assert [event.raw for event in rest] == [event.raw for event in kept if event.id > max(deltas)]


class Listening:
    """The root, and an ear for what is told to it."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.pruned: asyncio.Queue[Pruned] = asyncio.Queue()

    async def ask(self, message: Any, within: float = 10.0) -> Any:
        return await self.root.ask(message, within)

    def tell(self, message: Any) -> None:
        self.root.tell(message)
        if isinstance(message, Pruned):
            self.pruned.put_nowait(message)


async def its_own_pruning_is_over(running: Running) -> None:
    """The service prunes once at its start, too; then not for an hour."""
    record = running.service.system.tasks.record("pruning")
    now = running.service.system.clock.monotonic
    await until(lambda: record.due_at is not None and record.due_at >= now() + 60)


async def test_sessions_that_are_active_are_told_of_it_and_no_other_is_activated_for_it(
    asha: Person, running: Running, admin: Admin
) -> None:
    await its_own_pruning_is_over(running)
    active, passivated = await asha.session(), await asha.session()
    for session in (active, passivated):
        said = await two_turns(asha, running, session)
        await admin.execute(AGE, session, said[-1].id)
    await admin.close_actor(passivated)
    system = running.service.system
    root = Listening(system.root)
    keeper = HousekeepingActor.start(store=system.storage, root=root, clock=system.clock, ownership=system.ownership)
    async with asyncio.timeout(10):
        told = {(await root.pruned.get()).session_id for _ in range(2)}
    assert told == {active, passivated}
    tree = json.dumps(await system.root.ask(Tree()))
    assert active in tree
    assert passivated not in tree
    events = await asha.replay(active)
    assert events[0].data["error_message"] == ANNOUNCED.format(await admin.value(PRUNED, active))
    assert [event.id for event in events[1:]] == await admin.value(KEPT, active)
    assert not any(event.kind == "text_delta" for event in events)
    await keeper.stop_and_wait(5.0)


async def test_a_session_never_loses_its_newest_event(asha: Person, running: Running, admin: Admin) -> None:
    session = await asha.session()
    said = await two_turns(asha, running, session)
    newest = said[-1].id
    await admin.execute("UPDATE session_events SET kind = 'text_delta' WHERE session_id = $1", session)
    await admin.execute(AGE, session, newest)
    await prune(running)
    assert await admin.value(KEPT, session) == [newest]
    assert await admin.value(PRUNED, session) == newest - 1
    await admin.close_actor(session)
    again = await asha.say(session, "more")
    assert again[0].id == newest + 1


async def test_keys_go_when_they_have_expired(asha: Person, running: Running, admin: Admin) -> None:
    for key in ("old", "new"):
        assert (await asha.call("POST", "/chat/sessions", headers={"Idempotency-Key": key}))[0] == 201
    await admin.execute("UPDATE idempotency_keys SET expires_at = now() WHERE key = 'old'")
    system = running.service.system
    await upkeep(system).ask(PruneKeys(now=system.clock.now()))
    assert await admin.value("SELECT array_agg(key) FROM idempotency_keys") == ["new"]
