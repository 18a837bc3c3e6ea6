"""What a supplier has confirmed is entered in the end, whatever breaks after its yes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from tests.rehearsal import Turn
from tests.waiting import Event, until
from voyagent.actors import housekeeping
from voyagent.actors.agent import tool_execution
from voyagent.actors.foundation.metrics import ActorMeter
from voyagent.actors.leased_store import leased_for
from voyagent.actors.root import StopAgencies
from voyagent.actors.suppliers.house.driver import EmbeddedInventory
from voyagent.actors.suppliers.house.stays import HouseHotels
from voyagent.actors.suppliers.protocols import SupplierError
from voyagent.storage.conversation import tool_calls
from voyagent.storage.engine.operations import Operation, Query
from voyagent.storage.engine.ownership import Ownership
from voyagent.storage.travel import passengers

from .events import kinds
from .orders import LAST, OPEN, ORDERED, SCRIPTS, ordered
from .test_approvals import ask_for_booking, resolve

SPARED = {
    "a held flight": ("hold_flight",),
    "a ticket": ("book_flight",),
    "a cancelled flight": ("book_flight",),
    "a cancelled stay": ("book_hotel",),
}
"""Tools whose writes come first and are recorded without a fault."""


class Faulty:
    """A connection on which one statement fails; ``fault`` makes the error."""

    def __init__(self, db: Any, at: int, fault: Callable[[], Exception]) -> None:
        self.db, self.at, self.fault = db, at, fault
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self.db, name)
        if name not in ("execute", "fetch", "fetchrow", "fetchval"):
            return inner

        async def run(*arguments: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                raise self.fault()
            return await inner(*arguments)

        return run


class Faults:
    """Breaks the statement ``at`` of the step that enters an order, for so many runs of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.times, self.fault = 0, 0, RuntimeError
        self.seen = 0
        self.spared: tuple[str, ...] = ()
        original = tool_calls.Result.run

        async def run(step: Any, db: Any) -> Any:
            if not isinstance(step.result, Operation) or not self.times or step.call.tool in self.spared:
                return await original(step, db)
            self.times -= 1
            faulty = Faulty(db, self.at, self.fault)
            try:
                return await original(step, faulty)
            finally:
                self.seen = max(self.seen, faulty.count)

        monkeypatch.setattr(tool_calls.Result, "run", run)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    monkeypatch.setattr(tool_execution, "RECORDING_BACKOFF", (0.0, 0.0, 0.0))
    monkeypatch.setattr(housekeeping, "RETRY_SECONDS", 0.05)
    return Faults(monkeypatch)


async def look(running: Any) -> None:
    """Housekeeping's minute is over."""
    running.service.system._on_storage_lost()


def lock_timed_out() -> Exception:
    return asyncpg.LockNotAvailableError("canceling statement due to lock timeout")


def data_error() -> Exception:
    return asyncpg.UniqueViolationError("duplicate key value")


def connection_gone() -> Exception:
    return asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


FAULTS = (data_error, lock_timed_out, connection_gone)


@pytest.mark.parametrize("what", SCRIPTS)
async def test_a_fault_at_any_statement_after_the_yes_loses_no_order(
    what: str, asha: Any, running: Any, admin: Any, faults: Faults
) -> None:
    await admin.execute("UPDATE tenant_settings SET rate_limit_per_minute = 1000")
    faults.spared = SPARED.get(what, ())
    orders, status = ORDERED[what]
    at = count = 0
    while at <= faults.seen:
        at += 1
        for fault in FAULTS if what == "a flight" else FAULTS[:1]:
            faults.at, faults.times, faults.fault = at, 1, fault
            count += 1
            _, events = await ordered(asha, running, admin, what)
            assert "error" not in kinds(events), (at, fault, events[-2].data)
            assert await admin.value("SELECT count(*) FROM house_orders") == count * orders
            assert await admin.value(LAST) == status
            assert await admin.value(OPEN) == 0
    assert at >= 6, "the statements of the step were counted"
    assert await admin.value("SELECT count(*) FROM bookings") == count


@pytest.mark.parametrize("what", SCRIPTS)
async def test_an_order_that_cannot_be_told_is_entered_and_settled_when_it_can(
    what: str, asha: Any, running: Any, admin: Any, faults: Faults
) -> None:
    """The audit refuses the step for as long as the turn is tried: the booking stands, the ledger follows later."""
    faults.at, faults.times, faults.fault = 4, 10_000, data_error
    faults.spared = SPARED.get(what, ())
    orders, status = ORDERED[what]
    session, _ = await ordered(asha, running, admin, what)
    await until(lambda: admin.value("SELECT count(*) > 0 FROM tool_calls WHERE state = 'unknown'"))
    assert await admin.value("SELECT status FROM bookings") == status
    assert kinds(await asha.replay(session))[-1] == "final"
    faults.times = 0
    await look(running)
    await until(lambda: admin.value(f"SELECT ({OPEN}) = 0"))
    assert await admin.value("SELECT count(*) FROM house_orders") == orders
    assert await admin.value("SELECT count(*) FROM bookings") == 1
    assert await admin.value(LAST) == status
    audited = "SELECT array_agg(status ORDER BY seq) FROM audit_events WHERE driver = 'house' AND kind = 'book_flight'"
    if what == "a flight":
        assert (await admin.value(audited))[-1] == "succeeded"


async def test_an_order_whose_answer_is_lost_for_good_is_entered_when_the_supplier_is_back(
    asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = EmbeddedInventory.book

    async def lost(*arguments: Any) -> Any:
        await made(*arguments)
        raise SupplierError("transient", "the line went dead")

    async def dead(*_: Any) -> Any:
        raise SupplierError("authentication", "not now")

    monkeypatch.setattr(housekeeping, "RETRY_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedInventory, "book", lost)
        patch.setattr(EmbeddedInventory, "find", dead)
        session, events = await ordered(asha, running, admin, "a flight")
    told = next(event.data["tool_output"] for event in reversed(events) if event.kind == "tool_result")
    assert told["error"].startswith("outcome_unknown: ")
    assert await admin.value("SELECT count(*) FROM bookings") == 0
    await look(running)
    await until(lambda: admin.value(f"SELECT ({OPEN}) = 0"))
    assert await admin.value(LAST) == "confirmed"
    await look(running)
    assert await admin.value("SELECT count(*) FROM bookings") == 1
    assert kinds(await asha.replay(session))[-1] == "final"


@pytest.mark.parametrize(
    ("what", "driver", "write", "look_up"),
    [
        ("a ticket", EmbeddedInventory, "issue", "read"),
        ("a cancelled flight", EmbeddedInventory, "confirm_cancel", "read_cancel"),
        ("a cancelled stay", HouseHotels, "confirm_cancel", "read_cancel"),
    ],
)
async def test_what_follows_an_order_is_looked_up_when_its_answer_is_lost(
    what: str, driver: Any, write: str, look_up: str, asha: Any, running: Any, admin: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(housekeeping, "RETRY_SECONDS", 0.05)
    made, known, sent = getattr(driver, write), getattr(driver, look_up), Event()

    async def lost(*arguments: Any) -> Any:
        await made(*arguments)
        sent.set()
        raise SupplierError("transient", "the line went dead")

    async def dead(*arguments: Any) -> Any:
        if sent.is_set():
            raise SupplierError("authentication", "not now")
        return await known(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(driver, write, lost)
        patch.setattr(driver, look_up, dead)
        _, events = await ordered(asha, running, admin, what)
    told = next(event.data["tool_output"] for event in reversed(events) if event.kind == "tool_result")
    assert told["error"].startswith("outcome_unknown: ")
    assert await admin.value("SELECT status FROM bookings") == "confirmed"
    await look(running)
    await until(lambda: admin.value(f"SELECT ({OPEN}) = 0"))
    assert await admin.value(LAST) == ORDERED[what][1]
    assert await admin.value("SELECT count(*) FROM house_orders") == 1
    assert await admin.value("SELECT count(*) FROM tickets") == (what == "a ticket")


async def test_a_lost_order_is_entered_though_its_conversation_is_deleted(
    asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "RETRY_SECONDS", 0.05)
    made = EmbeddedInventory.book

    async def lost(*arguments: Any) -> Any:
        await made(*arguments)
        raise SupplierError("transient", "the line went dead")

    async def dead(*_: Any) -> Any:
        raise SupplierError("authentication", "not now")

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedInventory, "book", lost)
        patch.setattr(EmbeddedInventory, "find", dead)
        session, _ = await ordered(asha, running, admin, "a flight")
    assert (await asha.call("DELETE", f"/chat/sessions/{session}"))[0] == 204
    await look(running)
    await until(lambda: admin.value(f"SELECT ({OPEN}) = 0"))
    assert await admin.value("SELECT status FROM bookings WHERE session_id IS NULL") == "confirmed"


async def test_a_defect_of_ours_before_the_supplier_is_asked_takes_no_grant_back(
    asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "RETRY_SECONDS", 0.05)
    _, events = await ask_for_booking(asha, running)
    approval = next(event.data["approval_id"] for event in events if event.kind == "approval_request")
    running.rehearsal.play(Turn("Done."))
    load, broken = passengers.Load.run, [data_error()]

    async def run(operation: Any, db: Any) -> Any:
        if broken:
            raise broken.pop()
        return await load(operation, db)

    monkeypatch.setattr(passengers.Load, "run", run)
    assert (await resolve(asha, approval))[0] == 200
    await until(lambda: admin.value("SELECT state = 'completed' FROM turns"))
    assert not broken
    assert await admin.value(LAST) == "confirmed"
    assert await admin.value("SELECT count(*) FROM house_orders") == 1


async def test_stopping_an_agency_leaves_a_write_under_way_to_be_looked_up(
    asha: Any, running: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shard is lost while a supplier works: no turn goes on, and no outcome is made up."""
    monkeypatch.setattr(housekeeping, "RETRY_SECONDS", 0.05)
    made, begun, answer = EmbeddedInventory.book, Event(), Event()

    async def slow(*arguments: Any) -> Any:
        begun.set()
        await answer.wait()
        return await made(*arguments)

    monkeypatch.setattr(EmbeddedInventory, "book", slow)
    session, events = await ask_for_booking(asha, running)
    approval = next(event.data["approval_id"] for event in events if event.kind == "approval_request")
    assert (await resolve(asha, approval))[0] == 200
    await begun.wait()
    asked = running.rehearsal.count
    system = running.service.system
    node = Ownership()
    patch = pytest.MonkeyPatch()
    patch.setattr(system.ownership, "grant", node.grant)
    patch.setattr(system.ownership, "owns", node.owns)
    stopping = asyncio.create_task(system.root.ask(StopAgencies(), within=30.0))
    async with asyncio.timeout(2):  # before anything is waited for
        while ActorMeter.of("TurnActor").mailboxes:  # noqa: ASYNC110 - actors tell nobody else of their end
            await asyncio.sleep(0.01)
    assert not stopping.done(), "the supplier is given time to answer"
    answer.set()
    await stopping
    assert await admin.value("SELECT state FROM tool_calls WHERE driver IS NOT NULL") == "executing"
    assert running.rehearsal.count == asked
    running.rehearsal.play(Turn("It is booked."))
    patch.undo()
    system._on_storage_lost()
    await until(lambda: admin.value("SELECT state = 'completed' FROM turns"))
    assert await admin.value(LAST) == "confirmed"
    assert await admin.value("SELECT count(*) FROM house_orders") == 1
    told = [event.data["tool_output"] for event in await asha.replay(session) if event.kind == "tool_result"]
    assert told[-1]["booked"] is True


async def test_a_write_begins_once(asha: Any, running: Any, admin: Any) -> None:
    """Two owners in the seconds around a lost shard: whoever comes second looks up what the first has done."""
    _, events = await ask_for_booking(asha, running)
    approval = next(event.data["approval_id"] for event in events if event.kind == "approval_request")
    running.rehearsal.play(Turn("Done."))
    await resolve(asha, approval)
    await until(lambda: admin.value("SELECT state = 'completed' FROM turns"))
    await admin.execute("UPDATE tool_calls SET state = 'approved' WHERE driver IS NOT NULL")
    row = await admin.db.fetchrow(
        "SELECT turn_id, id::text AS key, tenant_id::text AS t, session_id::text AS s FROM tool_calls"
        " WHERE driver IS NOT NULL"
    )
    system = running.service.system
    store = leased_for(system.storage, system.ownership, row["t"])
    [call] = [
        each for each in await store.ask(CallsOf(tenant_id=row["t"], turn_id=row["turn_id"])) if each.id == row["key"]
    ]
    last = await admin.value("SELECT max(seq) FROM session_events")

    def begin() -> tool_calls.Begin:
        now = datetime.now(UTC)
        return tool_calls.Begin(tenant_id=row["t"], session_id=row["s"], after=last, now=now, call=call, driver="house")

    begun = await asyncio.gather(*(store.ask(begin()) for _ in range(4)))
    assert sorted(each.reply.begun_before for each in begun) == [False, True, True, True]
    assert all(each.reply.refused is None for each in begun)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsOf(Query[Any]):
    """The ledger's rows of one turn."""

    turn_id: str

    async def run(self, db: Any) -> Any:
        return await tool_calls.calls_of(db, self.tenant_id, self.turn_id)
