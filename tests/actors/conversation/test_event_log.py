"""The ring of a session's newest events, and cursors into it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime

from voyagent.actors.conversation.event_log import EndCondition, EventLog, PassEnd, SseFrame, Subscription
from voyagent.actors.domain.events import Event, frame


class Table:
    """All events ever published, as the table keeps them."""

    def __init__(self) -> None:
        self.frames: list[SseFrame] = []
        self.reads = 0

    async def older(self, after: int, through: int) -> Sequence[SseFrame]:
        self.reads += 1
        return [each for each in self.frames if after < each.seq <= through][:50]

    def add(self, log: EventLog, kind: str = "text_delta", turn: str = "t-1") -> SseFrame:
        made = SseFrame(log.last + 1, turn, kind, frame(f'{{"n":{log.last + 1}}}', log.last + 1))
        self.frames.append(made)
        log.publish([made])
        return made


def fresh(cap: int = 20) -> tuple[Table, EventLog]:
    table = Table()
    return table, EventLog(0, 0, table.older, cap=cap)


async def drain(feed: Subscription) -> bytes:
    return await feed.next_chunk()


async def test_two_viewers_get_the_same_bytes() -> None:
    table, log = fresh()
    one, other = (Subscription(log, after=0, until=EndCondition(live=True)) for _ in range(2))
    for _ in range(5):
        table.add(log)
    assert await drain(one) == await drain(other) == b"".join(each.encoded for each in table.frames)


async def test_a_log_is_watched_from_when_a_subscription_is_handed_out_until_it_is_closed_or_dropped() -> None:
    _, log = fresh()
    kept, dropped, closed = (Subscription(log, after=0, until=EndCondition(live=True)) for _ in range(3))
    closed.close()
    del dropped
    assert log.watched
    assert set(log.unread) == {kept}
    await drain(kept)
    assert log.subscriptions == {kept}
    assert not log.unread
    kept.close()
    assert not log.watched


async def test_a_subscription_that_was_closed_before_it_was_read_does_not_subscribe_later() -> None:
    _, log = fresh()
    feed = Subscription(log, after=0, until=EndCondition(live=True))
    feed.close()
    await drain(feed)
    assert not log.watched


async def test_what_has_left_the_ring_is_read_from_the_table() -> None:
    table, log = fresh(cap=10)
    for _ in range(130):
        table.add(log)
    got = await drain(Subscription(log, after=3, until=EndCondition(replay=True)))
    assert got == b"".join(each.encoded for each in table.frames[3:])
    assert table.reads == 3


async def test_a_stream_for_a_turn_carries_that_turn_alone_and_ends_with_its_final() -> None:
    table, log = fresh()
    end = PassEnd()
    feed = Subscription(log, after=0, until=EndCondition(ends=(end,)), only="t-2")
    table.add(log, "final", "t-1")
    assert await drain(feed) == b""
    assert not feed.ended
    last = table.add(log, "final", "t-2")
    end.event = last.seq
    table.add(log, "text_delta", "t-2")
    assert await drain(feed) == last.encoded
    assert feed.ended


async def test_a_stream_for_several_passes_ends_with_the_last_of_them() -> None:
    table, log = fresh()
    first, second = PassEnd(), PassEnd()
    feed = Subscription(log, after=0, until=EndCondition(ends=(first, second)))
    second.event = table.add(log, "final", "t-2").seq
    await drain(feed)
    assert not feed.ended
    first.event = table.add(log, "final", "t-1").seq
    table.add(log, "text_delta", "t-3")
    await drain(feed)
    assert feed.ended
    assert feed.after == first.event


async def test_an_end_that_is_known_only_after_its_final_was_taken_ends_the_stream_there() -> None:
    table, log = fresh()
    end = PassEnd()
    feed = Subscription(log, after=0, until=EndCondition(ends=(end,)))
    last = table.add(log, "final")
    assert await drain(feed) == last.encoded
    assert not feed.ended
    end.event = last.seq
    assert await drain(feed) == b""
    assert feed.ended


async def test_a_cursor_follows_until_the_session_has_nothing_to_do() -> None:
    table, log = fresh()
    log.busy = True
    feed = Subscription(log, after=0, until=EndCondition(settled=True))
    table.add(log, "final")
    await drain(feed)
    assert not feed.ended
    log.busy = False
    log.wake_all()
    await drain(feed)
    assert feed.ended


async def test_a_wakeup_between_reading_and_waiting_is_not_lost() -> None:
    table, log = fresh()
    feed = Subscription(log, after=0, until=EndCondition(live=True))
    await drain(feed)
    table.add(log)
    assert feed.wakeup.is_set()


async def test_the_end_of_the_log_ends_every_stream_with_its_closing_frame() -> None:
    _, log = fresh()
    feed = Subscription(log, after=0, until=EndCondition(live=True))
    log.end(b"bye")
    assert await drain(feed) == b"bye"
    assert feed.ended


async def test_b20_random_disconnects_lose_and_repeat_nothing() -> None:
    table, log = fresh(cap=7)
    chance = random.Random(7)
    cursor, got = 0, b""
    for _ in range(500):
        for _ in range(chance.randrange(6)):
            table.add(log)
        feed = Subscription(log, after=cursor, until=EndCondition(live=True))
        got += await drain(feed)
        cursor = feed.after
        feed.close()
    assert got == b"".join(each.encoded for each in table.frames)
    assert not log.subscriptions


def test_an_event_has_its_twelve_keys_in_order_on_one_line_and_text_untouched() -> None:
    data = Event(kind="text_delta", turn_id="t-1", text=" ü\n ").data("s", datetime(2026, 1, 2, tzinfo=UTC))
    assert data == (
        '{"kind":"text_delta","session_id":"s","turn_id":"t-1","timestamp":"2026-01-02T00:00:00.000000Z",'
        '"text":" ü\\n ",'
        '"tool_name":null,"tool_input":null,"tool_output":null,"tool_call_id":null,"approval_id":null,'
        '"approval_summary":null,"error_message":null}'
    )
    assert frame(data, 7).startswith(b"id: 7\nevent: agent_event\ndata: {")


async def test_a_gap_that_was_pruned_behind_the_cursor_is_passed_over() -> None:
    table, log = fresh(cap=3)
    for _ in range(8):
        table.add(log)
    table.frames.clear()
    feed = Subscription(log, after=1, until=EndCondition(replay=True))
    sent = await feed.next_chunk()
    assert [line for line in sent.split(b"\n") if line.startswith(b"id:")] == [b"id: 6", b"id: 7", b"id: 8"]
    assert feed.ended


async def test_b15_what_was_pruned_while_a_viewer_reads_is_told_to_it_in_its_place() -> None:
    table, log = fresh(cap=10)
    log.gap = lambda through: b"gap %d;" % through
    for _ in range(130):
        table.add(log)
    feed = Subscription(log, after=0, until=EndCondition(live=True))
    live = Subscription(log, after=130, until=EndCondition(live=True))
    table.frames = [each for each in table.frames if each.seq not in {60, 61, 90}]
    got = await drain(feed)
    kept = {each.seq: each.encoded for each in table.frames}
    assert b"gap 90;" in got
    assert got.replace(b"gap 61;", b"").replace(b"gap 90;", b"") == b"".join(kept.values())
    assert got.index(b"gap ") < got.index(kept[62])
    assert await drain(live) == b""


async def test_pruned_frames_leave_the_ring_but_the_newest_stays() -> None:
    table, log = fresh(cap=10)
    log.gap = lambda through: b"gap %d;" % through
    for _ in range(5):
        table.add(log)
    log.pruned(3)
    table.frames = table.frames[3:]
    assert log.first == 4
    assert await drain(Subscription(log, after=0, until=EndCondition(replay=True))) == b"".join(
        f.encoded for f in table.frames
    )
    log.pruned(5)
    assert (log.first, log.last, log.pruned_through) == (5, 5, 5)


class Eager:
    """A viewer that takes events on the spot, as long as it likes to."""

    def __init__(self, feed: Subscription) -> None:
        self.feed = feed
        self.took: list[bytes] = []
        self.willing = True
        feed.sink = self.next_chunk

    def next_chunk(self, data: bytes, events: int) -> bool:
        if self.willing:
            self.took.append(data)
            assert data.count(b"data: ") == events
        return self.willing


async def test_a_viewer_that_has_all_before_takes_new_events_on_the_spot() -> None:
    table, log = fresh()
    table.add(log)
    feed = Subscription(log, after=0, until=EndCondition(live=True))
    viewer = Eager(feed)
    table.add(log)
    assert not viewer.took  # it has not begun to watch
    assert await drain(feed) == b"".join(each.encoded for each in table.frames)
    third = table.add(log)
    assert viewer.took == [third.encoded]
    assert (feed.after, feed.wakeup.is_set()) == (3, False)
    viewer.willing = False
    fourth = table.add(log)
    assert feed.wakeup.is_set()
    assert await drain(feed) == fourth.encoded


async def test_an_end_is_left_to_whoever_ends_the_stream() -> None:
    table, log = fresh()
    end = PassEnd(2)
    feed = Subscription(log, after=0, until=EndCondition(ends=(end,)))
    viewer = Eager(feed)
    assert await drain(feed) == b""
    table.add(log)
    last = table.add(log, "final")
    assert len(viewer.took) == 1
    assert await drain(feed) == last.encoded
    assert feed.ended


async def test_a_viewer_of_one_turn_takes_nothing_of_another() -> None:
    table, log = fresh()
    viewer = Eager(Subscription(log, after=0, until=EndCondition(ends=(PassEnd(),)), only="t-2"))
    assert await drain(viewer.feed) == b""
    table.add(log, turn="t-1")
    assert not viewer.took
    assert await drain(viewer.feed) == b""
    second = table.add(log, turn="t-2")
    assert viewer.took == [second.encoded]


async def test_a_gap_is_told_before_anything_new() -> None:
    table = Table()
    log = EventLog(0, 0, table.older, cap=20, gap=lambda through: b"gap %d\n" % through)
    first = table.add(log)
    table.add(log)
    feed = Subscription(log, after=0, until=EndCondition(live=True))
    viewer = Eager(feed)
    log.pruned(1)
    table.frames.remove(first)
    assert await drain(feed) == b"gap 1\n" + table.frames[0].encoded
    table.add(log)
    assert len(viewer.took) == 1


async def test_events_published_together_are_taken_as_one_piece() -> None:
    table, log = fresh()
    viewer = Eager(Subscription(log, after=0, until=EndCondition(live=True)))
    assert await drain(viewer.feed) == b""
    made = [SseFrame(seq, turn, "text_delta", frame("{}", seq)) for seq, turn in ((1, "t-1"), (2, "t-2"))]
    log.publish(made)
    assert viewer.took == [made[0].encoded + made[1].encoded]
    only = Eager(Subscription(log, after=2, until=EndCondition(live=True), only="t-1"))
    assert await drain(only.feed) == b""
    log.publish([made[0]._replace(seq=3), made[1]._replace(seq=4)])
    assert not only.took
    assert table.reads == 0


async def test_the_ring_is_kept_only_while_somebody_watches_or_something_runs() -> None:
    table, log = fresh(cap=200)
    log.busy = True
    viewer = Subscription(log, after=0, until=EndCondition(live=True))
    for _ in range(200):
        table.add(log)
    assert await drain(viewer) == b"".join(each.encoded for each in table.frames)
    assert (log.first, table.reads) == (1, 0)
    log.busy = False
    assert log.first == 1, "somebody watches"
    viewer.close()
    assert log.first == 1, "the owner drops it, not the viewer that leaves"
    log.drop_unwatched()
    assert log.first == 201, "nobody does, and nothing runs"
    log.busy = True
    table.add(log)
    assert log.first == 201, "something runs"
    log.busy = False
    assert log.first == 202


async def test_a_viewer_that_comes_when_the_ring_was_dropped_misses_nothing() -> None:
    table, log = fresh(cap=200)
    log.busy = True
    early = Subscription(log, after=20, until=EndCondition(live=True))
    for _ in range(120):
        table.add(log)
    log.busy = False
    late = Subscription(log, after=0, until=EndCondition(live=True))
    got = b""
    while late.after < 120:
        got += await drain(late)
    table.add(log)
    got += await drain(late)
    assert got == b"".join(each.encoded for each in table.frames)
    got = b""
    while early.after < 121:
        got += await drain(early)
    assert got == b"".join(each.encoded for each in table.frames[20:])
