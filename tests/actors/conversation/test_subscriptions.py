"""Which events a viewer of a session gets, from where on and until when, for every kind of cursor."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.manual_clock import ManualClock
from voyagent.actors.conversation.event_log import EventLog, SseFrame, Subscription
from voyagent.actors.conversation.scheduler import Turn, TurnScheduler
from voyagent.actors.conversation.subscriptions import CURSOR_DIGITS, Subscriptions
from voyagent.actors.domain.events import frame
from voyagent.actors.domain.turns import TurnError

SESSION = "0193f5a0-0000-7000-8000-00000000000a"


def gap(through: int) -> bytes:
    """What the session says of events that were pruned."""
    return b": no longer kept through %d\n\n" % through


class Session:
    """The parts of a session that its subscriptions read."""

    def __init__(self, clock: ManualClock, *, pruned_through: int = 0) -> None:
        self.frames: list[SseFrame] = []
        self.log = EventLog(pruned_through, pruned_through, self.older, gap=gap)
        self.scheduler = TurnScheduler()
        self.subscriptions = Subscriptions(SESSION, self.log, self.scheduler, clock)

    async def older(self, after: int, through: int) -> Sequence[SseFrame]:
        return [each for each in self.frames if after < each.seq <= through]

    def publish(self, *kinds: str, turn: str = "t-1") -> None:
        for kind in kinds:
            seq = self.log.last + 1
            self.frames.append(SseFrame(seq, turn, kind, frame(f'{{"kind":"{kind}"}}', seq)))
            self.log.publish(self.frames[-1:])

    def run(self, name: str = "t-1") -> Turn:
        """Begin a pass whose first event is the next one."""
        begun = Turn(id=name, user_id="asha", state="running", pass_event=self.log.last + 1)
        self.scheduler.add(begun)
        self.scheduler.begin(begun)
        self.log.busy = True
        return begun


@pytest.fixture
def session(clock: ManualClock) -> Session:
    return Session(clock)


async def kinds(subscription: Subscription | None) -> list[str]:
    """The kinds of all events there are for this viewer now."""
    assert subscription is not None
    return [json.loads(line[6:])["kind"] for line in (await read(subscription)).splitlines() if line[:6] == b"data: "]


async def read(subscription: Subscription) -> bytes:
    return await subscription.next_chunk()


async def test_a_cursor_gets_what_comes_behind_it(session: Session) -> None:
    session.publish("one", "two", "three")
    assert await kinds(session.subscriptions.cursor("1", "replay")) == ["two", "three"]
    assert await kinds(session.subscriptions.cursor("0", "replay")) == ["one", "two", "three"]


async def test_a_replay_from_the_newest_event_has_nothing_to_say(session: Session) -> None:
    session.publish("one")
    assert session.subscriptions.cursor("1", "replay") is None
    assert session.subscriptions.cursor(None, "replay") is None


@pytest.mark.parametrize("cursor", ["-1", "1.0", "one", "٣", "", "9" * (CURSOR_DIGITS + 1), "7"])
async def test_an_unusable_cursor_is_told_and_followed_by_the_running_pass(session: Session, cursor: str) -> None:
    session.publish("one")
    session.run()
    session.publish("two")
    subscription = session.subscriptions.cursor(cursor, "replay")
    assert subscription is not None
    told = await read(subscription)
    assert told.count(b"data: ") == 2
    assert b"replay_failed: " in told.partition(b"\n\n")[0]
    assert told.endswith(session.frames[-1].encoded)


async def test_a_cursor_in_a_pruned_gap_is_told_before_what_is_left(clock: ManualClock) -> None:
    session = Session(clock, pruned_through=5)
    session.publish("six")
    subscription = session.subscriptions.cursor("3", "replay")
    assert subscription is not None
    assert await read(subscription) == gap(5) + session.frames[0].encoded


async def test_a_settled_cursor_at_the_newest_event_ends_with_a_final_if_nothing_runs(session: Session) -> None:
    session.publish("one")
    idle = session.subscriptions.cursor("1", "settled")
    assert idle is not None
    assert b'"final"' in idle.epilogue
    session.run()
    busy = session.subscriptions.cursor("1", "settled")
    assert busy is not None
    assert busy.epilogue == b""


async def test_the_running_pass_is_watched_from_its_first_event_and_alone(session: Session) -> None:
    session.publish("before", turn="t-0")
    session.run()
    session.publish("mine")
    session.publish("another's", turn="t-2")
    run = session.scheduler.current
    assert run is not None
    assert await kinds(session.subscriptions.running(run)) == ["mine"]


async def test_a_turn_that_is_over_is_replayed_from_its_first_event_alone(session: Session) -> None:
    session.publish("before", turn="t-0")
    session.publish("mine", "final")
    session.publish("behind", turn="t-2")
    assert await kinds(session.subscriptions.turn_from_its_first_event("t-1", 2)) == ["mine", "final"]


async def test_a_refusal_is_told_to_its_sender_and_not_logged(session: Session) -> None:
    session.publish("one")
    told = await read(session.subscriptions.refusal(TurnError("rate_limited", "minute")))
    assert told.count(b"data: ") == 2
    assert b"rate_limited: minute" in told
    assert b'"one"' not in told
    assert session.log.last == 1
