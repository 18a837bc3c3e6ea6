"""The periodic jobs: what each round asks of storage and tells the root, and what follows a round that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.store import FakeStore
from tests.log_lines import as_in_production
from tests.manual_clock import ManualClock
from tests.waiting import until
from voyagent.actors.conversation import session_messages
from voyagent.actors.conversation.turn import TurnActor
from voyagent.actors.domain.errors import Refusal, Unavailable
from voyagent.actors.domain.placement import Lease, shard_of
from voyagent.actors.foundation import gc_policy, metrics
from voyagent.actors.foundation.metrics import ActorMeter
from voyagent.actors.housekeeping import (
    MAILBOX_FULL_BACKOFF,
    PRUNE_RETRY,
    PRUNE_SECONDS,
    RETRY_SECONDS,
    ROUND_SECONDS,
    SIGN_AT_STOP,
    SIGN_RETRY,
    SIGN_SECONDS,
    SIGN_WITHIN,
    UPKEEP_SHARD,
    HousekeepingActor,
    StorageLost,
)
from voyagent.actors.runtime.actor import Ref
from voyagent.actors.runtime.periodic import PeriodicTasks
from voyagent.actors.signed_heads import HeadSigner, NotSigned
from voyagent.actors.tenant import SettleWrites
from voyagent.storage.conversation import approvals, pruning, turns, unsettled_writes, usage
from voyagent.storage.engine.operations import Command
from voyagent.storage.engine.ownership import Ownership
from voyagent.storage.engine.resealing import KeyUsage, Reseal, Resealed
from voyagent.storage.engine.sealed_columns import COLUMNS
from voyagent.storage.engine.sealing import Sealing
from voyagent.storage.travel import expired_holds

ROUND = (
    usage.AgenciesWithStarted,
    turns.Unfinished,
    approvals.Pending,
    unsettled_writes.AgenciesWithUnsettled,
    expired_holds.AgenciesWithExpired,
)
"""What each round asks, in this order."""


def raises(error: Exception) -> Any:
    raise error


class FakeHeads(HeadSigner):
    """Keeps how long each signing may take; fails with ``error``."""

    def __init__(self) -> None:
        self.signed: list[float] = []
        self.error: Exception | None = None

    async def sign(self, within: float) -> None:
        self.signed.append(within)
        if self.error is not None:
            raise self.error


class House:
    """Housekeeping over a store and a root that keep what they are sent. There is nothing to do, unless a test says."""

    ref: Ref

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = FakeStore()
        self.root = FakeStore()
        self.heads = FakeHeads()
        self.tasks = PeriodicTasks(self.clock)
        self.ownership = Ownership(coordinated=False)
        self.sealing: Sealing | None = None
        self.due: list[tuple[str, str]] = []
        self.unsettled: list[str] = []
        self.expired: list[str] = []
        self.store.on(usage.AgenciesWithStarted, lambda _: [("a-9", True)])
        self.store.on(usage.SettleAbandoned, lambda _: None)
        self.store.on(turns.Unfinished, lambda _: self.due)
        self.store.on(approvals.Pending, lambda _: 3)
        self.store.on(unsettled_writes.AgenciesWithUnsettled, lambda _: self.unsettled)
        self.store.on(expired_holds.AgenciesWithExpired, lambda _: self.expired)
        self.store.on(expired_holds.Expire, lambda _: 1)
        self.store.on(pruning.PruneKeys, lambda _: None)
        self.store.on(pruning.PruneDeltas, lambda _: [])

    async def start(self) -> None:
        self.ref = HousekeepingActor.start(
            store=self.store,
            root=self.root,
            clock=self.clock,
            ownership=self.ownership,
            heads=self.heads,
            sealing=self.sealing,
            tasks=self.tasks,
        )
        await self.clock.advance(0.0)

    def rounds(self) -> list[bool]:
        """For each round begun, whether it settled the calls of an earlier owner."""
        return [asked.every for asked in self.store.of(usage.SettleAbandoned)]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    if made.ref.is_alive():
        await made.ref.stop_and_wait(5.0)


async def test_the_first_round_is_at_the_start_and_the_next_a_minute_later(house: House) -> None:
    await house.start()
    assert house.rounds() == [True]
    await house.clock.advance(ROUND_SECONDS - 1.0)
    assert house.rounds() == [True]
    await house.clock.advance(1.0)
    assert house.rounds() == [True, False]


async def test_a_round_reads_what_is_due_after_abandoned_model_calls_are_settled(house: House) -> None:
    await house.start()
    asked = [message for message in house.store.received if isinstance(message, ROUND)]
    assert tuple(type(message) for message in asked) == ROUND
    assert {message.tenant_id for message in asked} == {None}


async def test_what_is_due_is_woken(house: House) -> None:
    house.due = [("a-1", "s-1"), ("a-2", "s-2")]
    house.unsettled = ["a-3"]
    await house.start()
    assert house.root.received == [
        session_messages.Wake(tenant_id="a-1", session_id="s-1"),
        session_messages.Wake(tenant_id="a-2", session_id="s-2"),
        SettleWrites(tenant_id="a-3"),
    ]


async def test_expired_holds_of_each_agency_are_marked(house: House) -> None:
    house.expired = ["a-1", "a-2"]
    await house.start()
    now = house.clock.now()
    assert house.store.of(expired_holds.Expire) == [
        expired_holds.Expire(tenant_id=agency, now=now) for agency in ("a-1", "a-2")
    ]


async def test_pending_approvals_are_counted(house: House) -> None:
    await house.start()
    assert metrics.REGISTRY.get_sample_value(metrics.APPROVALS_PENDING.describe()[0].name) == 3


async def test_a_first_round_that_failed_is_repeated_soon_as_the_one_at_the_start(house: House) -> None:
    failures = iter([Unavailable("storage_unavailable")])
    house.store.on(
        usage.SettleAbandoned, lambda _: raises(error) if (error := next(failures, None)) is not None else None
    )
    await house.start()
    await house.clock.advance(RETRY_SECONDS)
    await house.clock.advance(ROUND_SECONDS)
    assert house.rounds() == [True, True, False]


async def test_a_node_that_owns_nothing_does_nothing_and_looks_each_second_whether_it_does(house: House) -> None:
    house.ownership.coordinated = True
    await house.start()
    await house.clock.advance(10 * RETRY_SECONDS)
    assert house.store.received == []
    assert house.heads.signed == []
    house.ownership.coordinated = False
    await house.clock.advance(RETRY_SECONDS)
    assert house.rounds() == [True]
    assert len(house.store.of(pruning.PruneKeys)) == 1
    assert house.heads.signed == [SIGN_WITHIN]


async def test_after_storage_was_lost_the_next_round_is_soon(house: House) -> None:
    await house.start()
    await house.clock.advance(10.0)
    house.ref.tell(StorageLost())
    await house.clock.advance(RETRY_SECONDS)
    assert house.rounds() == [True, False]
    await house.clock.advance(ROUND_SECONDS)
    assert house.rounds() == [True, False, False]


async def test_wake_ups_wait_while_the_root_s_mailbox_is_full_and_none_is_lost(house: House) -> None:
    house.due = [("a-1", f"s-{number}") for number in range(120)]
    house.root.full = 2
    await house.start()
    assert house.root.received == []
    await house.clock.advance(MAILBOX_FULL_BACKOFF)
    assert house.root.received == []
    await house.clock.advance(MAILBOX_FULL_BACKOFF)
    assert [message.session_id for message in house.root.of(session_messages.Wake)] == [each for _, each in house.due]


@pytest.mark.parametrize("running", [False, True])
async def test_a_round_ends_with_a_full_collection_if_one_is_due(
    running: bool, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(gc_policy, "collect_if_due", lambda *, idle: told.append(idle))
    monkeypatch.setattr(ActorMeter.of(TurnActor.__name__), "mailboxes", {(1,)} if running else set())
    await house.start()
    assert told == [not running]


async def test_old_text_is_pruned_in_batches_until_one_is_not_full(house: House) -> None:
    batches = iter([[pruned("s-1", 6_000), pruned("s-2", 4_000)], [pruned("s-3", 9_999)]])
    house.store.on(pruning.PruneDeltas, lambda _: next(batches))
    await house.start()
    assert [(told.session_id, told.through) for told in house.root.of(session_messages.Pruned)] == [
        ("s-1", 6_000),
        ("s-2", 4_000),
        ("s-3", 9_999),
    ]
    await until(lambda: next(batches, None) is None)


def pruned(session_id: str, events: int) -> pruning.PrunedSession:
    return pruning.PrunedSession(tenant_id="a-1", session_id=session_id, through=events, events=events)


async def test_pruning_is_hourly(house: House) -> None:
    await house.start()
    await house.clock.advance(PRUNE_SECONDS - 1.0)
    assert len(house.store.of(pruning.PruneDeltas)) == 1
    await house.clock.advance(1.0)
    now = house.clock.now()
    for kind in (pruning.PruneKeys, pruning.PruneDeltas):
        assert [message.now for message in house.store.of(kind)][1:] == [now]


async def test_text_is_pruned_where_keys_could_not_be_and_all_of_it_is_tried_again_soon(house: House) -> None:
    house.store.on(pruning.PruneKeys, lambda _: raises(Unavailable("storage_unavailable")))
    await house.start()
    assert len(house.store.of(pruning.PruneDeltas)) == 1
    await house.clock.advance(PRUNE_RETRY)
    assert len(house.store.of(pruning.PruneKeys)) == len(house.store.of(pruning.PruneDeltas)) == 2


async def test_heads_are_signed_each_hour_and_after_a_failure_in_a_minute(house: House) -> None:
    house.heads.error = Unavailable("storage_unavailable")
    await house.start()
    house.heads.error = None
    await house.clock.advance(SIGN_RETRY)
    await house.clock.advance(SIGN_SECONDS)
    assert house.heads.signed == [SIGN_WITHIN] * 3


@pytest.mark.parametrize("error", [None, Refusal("storage_unavailable"), TimeoutError(), OSError(), NotSigned()])
async def test_heads_are_signed_once_more_at_a_stop_which_no_failure_holds_up(
    error: Exception | None, house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.start()
    house.heads.error = error
    await house.ref.stop_and_wait(5.0)
    assert house.ref.life.failure is None
    assert ("audit_heads_not_signed" in capsys.readouterr().out) is (error is not None)
    assert house.heads.signed == [SIGN_WITHIN, SIGN_AT_STOP]


async def test_a_node_that_no_longer_owns_the_shard_of_upkeep_signs_nothing_at_its_stop(house: House) -> None:
    await house.start()
    house.ownership.coordinated = True
    await house.ref.stop_and_wait(5.0)
    assert house.heads.signed == [SIGN_WITHIN]


async def test_a_round_is_about_the_agencies_of_owned_shards_alone_and_writes_under_their_leases(house: House) -> None:
    own, other = "a-1", "a-2"
    lease = Lease(house.ownership.node, shard_of(own), 7)
    house.ownership = Ownership(now=lambda: 0.0)
    house.ownership.confirm([lease], 0.0, 1.0)
    house.due = [(own, "s-1"), (other, "s-2")]
    house.unsettled = house.expired = [own, other]
    house.store.on(usage.AgenciesWithStarted, lambda _: [(own, False), (other, True)])
    await house.start()
    assert house.root.received == [session_messages.Wake(tenant_id=own, session_id="s-1"), SettleWrites(tenant_id=own)]
    written = [message for message in house.store.received if isinstance(message, Command)]
    assert written == [
        usage.SettleAbandoned(tenant_id=own, every=True, lease=lease),
        expired_holds.Expire(tenant_id=own, now=house.clock.now(), lease=lease),
    ]
    assert house.store.of(approvals.Pending) == [], "that is measured by the owner of another shard"


async def test_the_model_calls_of_an_earlier_owner_are_settled_once_for_each_epoch(house: House) -> None:
    ownership = house.ownership = Ownership(now=lambda: 0.0)
    shard = shard_of("a-9")
    house.store.on(usage.AgenciesWithStarted, lambda _: [("a-9", False)])
    ownership.confirm([Lease(ownership.node, shard, 1)], 0.0, 1.0)
    await house.start()
    await house.clock.advance(ROUND_SECONDS)
    assert house.rounds() == [True]
    ownership.confirm([Lease(ownership.node, shard, 3)], 0.0, 1.0)
    ownership.stopped({shard})
    ownership.confirm([Lease(ownership.node, shard, 3)], 0.0, 1.0)
    await house.clock.advance(ROUND_SECONDS)
    await house.clock.advance(ROUND_SECONDS)
    assert house.rounds() == [True, True]


async def test_an_agency_whose_part_of_a_round_fails_stops_no_other(house: House) -> None:
    """The round is repeated soon; what was settled for an epoch is not settled so again."""
    bad, good = "a-1", "a-2"
    broken = True

    def fails(message: Command[Any]) -> int:
        return raises(ValueError("a defect")) if broken and message.tenant_id == bad else 1

    ownership = house.ownership = Ownership(now=lambda: 0.0)
    shards = {shard_of(bad), shard_of(good)}
    ownership.confirm([Lease(ownership.node, shard, 1) for shard in shards], 0.0, 1.0)
    house.store.on(usage.AgenciesWithStarted, lambda _: [(bad, True), (good, True)])
    house.store.on(usage.SettleAbandoned, fails)
    house.store.on(expired_holds.Expire, fails)
    house.due = [(good, "s-2")]
    house.expired = [bad, good]
    await house.start()
    assert house.root.received == [session_messages.Wake(tenant_id=good, session_id="s-2")]
    assert [each.tenant_id for each in house.store.of(expired_holds.Expire)] == [bad, good]
    broken = False
    await house.clock.advance(RETRY_SECONDS)
    settled = [(each.tenant_id, each.every) for each in house.store.of(usage.SettleAbandoned)]
    assert settled == [(bad, True), (good, True), (bad, True), (good, False)]


async def test_a_column_that_cannot_be_sealed_again_stops_no_other_and_is_tried_again_soon(house: House) -> None:
    house.sealing = Sealing({"new": bytes(32), "old": bytes(range(32))})
    bad = COLUMNS[0].name
    house.store.on(Reseal, lambda each: raises(ValueError("a defect")) if each.column == bad else Resealed(done=0))
    house.store.on(KeyUsage, lambda _: {"old": {bad: 3, "outbox.payload_sealed": 2}, "new": {bad: 5}})
    await house.start()
    assert [each.column for each in house.store.of(Reseal)] == [each.name for each in COLUMNS]
    assert metrics.REGISTRY.get_sample_value("voyagent_sealed_values_outdated") == 5
    await house.clock.advance(PRUNE_RETRY)
    assert len(house.store.of(Reseal)) == 2 * len(COLUMNS)


async def test_batches_follow_each_other_behind_those_that_cannot_be_opened(house: House) -> None:
    house.sealing = Sealing({"new": bytes(32), "old": bytes(range(32))})
    batches = iter([Resealed(done=1, not_opened=("a", "b"), more=True), Resealed(done=2, not_opened=("c",), more=True)])
    first, nothing = COLUMNS[0].name, Resealed(done=0)
    house.store.on(Reseal, lambda each: next(batches, nothing) if each.column == first else nothing)
    house.store.on(KeyUsage, lambda _: {})
    with as_in_production() as written:
        await house.start()
    said = written()
    assert [each.skip for each in house.store.of(Reseal) if each.column == first] == [0, 2, 3]
    assert ("values_resealed", 3) in [(line["event"], line.get("values")) for line in said]
    assert ("values_not_opened", ["a", "b", "c"]) in [(line["event"], line.get("rows")) for line in said]


async def test_without_an_older_key_nothing_is_looked_for(house: House) -> None:
    house.sealing = Sealing({"new": bytes(32)})
    metrics.SEALED_VALUES_OUTDATED.set(7)
    await house.start()
    assert house.store.of(Reseal) == []
    assert metrics.REGISTRY.get_sample_value("voyagent_sealed_values_outdated") == 0


async def test_pruning_is_the_duty_of_one_shard_s_owner_and_writes_under_its_lease(house: House) -> None:
    house.ownership = Ownership(now=lambda: 0.0)
    lease = Lease(house.ownership.node, UPKEEP_SHARD, 7)
    house.ownership.confirm([lease], 0.0, 1.0)
    await house.start()
    [keys], [deltas] = house.store.of(pruning.PruneKeys), house.store.of(pruning.PruneDeltas)
    assert keys.lease == deltas.lease == lease
    assert house.heads.signed == [SIGN_WITHIN]
