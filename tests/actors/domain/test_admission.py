"""What a message posted to a conversation does, row by row of business 4.3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.admission import (
    Accept,
    Accepting,
    Admission,
    Decide,
    Latest,
    Refuse,
    Rejoin,
    Request,
    Share,
    Snapshot,
    Watch,
    decide,
)
from voyagent.actors.domain.turns import QUEUE_LIMIT, text_hash

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
HELLO, OTHER = text_hash("hello"), text_hash("other")
ASHA, RAVI = "asha", "ravi"
A_MOMENT_AGO, LONG_AGO = NOW - timedelta(seconds=59), NOW - timedelta(seconds=60)


def request(**what: Any) -> Request:
    return Request(user_id=what.pop("user_id", ASHA), **what)


def session(**what: Any) -> Snapshot:
    return Snapshot(now=NOW, **what)


def latest(**what: Any) -> Latest:
    return Latest(**{"user_id": ASHA, "text_hash": HELLO, "under_way": False, **what})


def accepting(**what: Any) -> Accepting:
    return Accepting(**{"intake": 7, "user_id": ASHA, "text_hash": HELLO, **what})


def told(admission: Admission) -> Any:
    """A refusal by its code, anything else as it is."""
    return admission.refusal.code if isinstance(admission, Refuse) else admission


TEXT = {"text_hash": HELLO}
MAP = {"approvals": {"a": True}}
ROWS: list[tuple[str, dict[str, Any], dict[str, Any], Any]] = [
    ("text, idle", TEXT, {}, Accept("now")),
    ("text, a pass runs", TEXT, {"running": 3}, "turn_in_progress"),
    ("text, a pass is due", TEXT, {"due": True}, "turn_in_progress"),
    ("text, a message waits", TEXT, {"queued": 1}, "turn_in_progress"),
    ("text, a decision is being stored", TEXT, {"deciding": True}, "turn_in_progress"),
    ("text, another is being stored", TEXT, {"accepting": [accepting(text_hash=OTHER)]}, "turn_in_progress"),
    ("queue", {**TEXT, "on_busy": "queue"}, {"running": 3}, Accept("last")),
    ("queue, idle", {**TEXT, "on_busy": "queue"}, {}, Accept("now")),
    ("queue, full", {**TEXT, "on_busy": "queue"}, {"running": 3, "queued": QUEUE_LIMIT}, "queue_full"),
    (
        "queue, full with one being stored",
        {**TEXT, "on_busy": "queue"},
        {"running": 3, "queued": QUEUE_LIMIT - 1, "accepting": [accepting(text_hash=OTHER, waits=True)]},
        "queue_full",
    ),
    ("interrupt", {**TEXT, "on_busy": "interrupt"}, {"running": 3}, Accept("first", over=3)),
    (
        "interrupt of a pass about to begin",
        {**TEXT, "on_busy": "interrupt"},
        {"accepting": [accepting(text_hash=OTHER, starts=4)]},
        Accept("first", over=4),
    ),
    ("interrupt, something only due", {**TEXT, "on_busy": "interrupt"}, {"due": True}, Accept("first")),
    ("interrupt, full", {**TEXT, "on_busy": "interrupt"}, {"running": 3, "queued": QUEUE_LIMIT}, "queue_full"),
    ("text, stopping", TEXT, {"stopping": True}, "shutting_down"),
    ("text, stopping comes before busy", TEXT, {"stopping": True, "running": 3}, "shutting_down"),
    ("text, being deleted", TEXT, {"deleting": True}, "turn_in_progress"),
    ("empty, a pass runs", {}, {"running": 3}, Watch("running")),
    ("empty, a resumed pass ended just now", {}, {"resumed_ended_at": A_MOMENT_AGO}, Watch("resumed")),
    ("empty, a resumed pass ended a minute ago", {}, {"resumed_ended_at": LONG_AGO}, "message_required"),
    ("empty, something is due", {}, {"due": True}, Watch("settled")),
    ("empty, idle", {}, {}, "message_required"),
    ("empty, stopping", {}, {"stopping": True, "running": 3}, Watch("running")),
    ("map", MAP, {}, Decide("none")),
    ("map, a pass runs", MAP, {"running": 3}, Decide("none")),
    ("map, stopping", MAP, {"stopping": True}, Decide("none")),
    ("map and text, idle", {**MAP, **TEXT}, {}, Decide("follows_up")),
    ("map and text, a pass runs", {**MAP, **TEXT}, {"running": 3}, "turn_in_progress"),
    ("map, queue", {**MAP, **TEXT, "on_busy": "queue"}, {"running": 3}, Decide("is_accepted", Accept("last"))),
    (
        "map, interrupt",
        {**MAP, **TEXT, "on_busy": "interrupt"},
        {"running": 3},
        Decide("is_accepted", Accept("first", over=3)),
    ),
    ("again, it runs", TEXT, {"running": 3, "latest": latest(under_way=True)}, Rejoin()),
    ("again, cut just now", TEXT, {"latest": latest(ended_at=A_MOMENT_AGO)}, Rejoin()),
    ("again, cut a minute ago", TEXT, {"latest": latest(ended_at=LONG_AGO)}, Accept("now")),
    ("again, delivered", TEXT, {"latest": latest(ended_at=A_MOMENT_AGO, delivered=True)}, Accept("now")),
    ("again, by somebody else", {**TEXT, "user_id": RAVI}, {"latest": latest(ended_at=A_MOMENT_AGO)}, Accept("now")),
    ("another text", {"text_hash": OTHER}, {"latest": latest(ended_at=A_MOMENT_AGO)}, Accept("now")),
    ("again, stopping", TEXT, {"stopping": True, "latest": latest(under_way=True), "running": 3}, Rejoin()),
    (
        "again, something to decide",
        {**TEXT, **MAP, "decidable": True},
        {"latest": latest(ended_at=A_MOMENT_AGO)},
        Decide("follows_up"),
    ),
    ("again, nothing to decide", {**TEXT, **MAP}, {"latest": latest(ended_at=A_MOMENT_AGO)}, Rejoin()),
    ("twice at once", TEXT, {"accepting": [accepting()]}, Share(7)),
    (
        "twice at once, with a map",
        {**TEXT, **MAP},
        {"accepting": [accepting(approvals={"a": True, "b": False})]},
        Share(7),
    ),
    (
        "twice at once, with another verdict",
        {**TEXT, **MAP},
        {"accepting": [accepting(approvals={"a": False})]},
        "turn_in_progress",
    ),
    (
        "twice, with another between",
        {**TEXT, "on_busy": "queue"},
        {"accepting": [accepting(), accepting(intake=8, text_hash=OTHER)]},
        Accept("last"),
    ),
    ("by another at once", {**TEXT, "user_id": RAVI}, {"accepting": [accepting()]}, "turn_in_progress"),
    (
        "a key at once",
        {**TEXT, "key": "k", "body_hash": b"1"},
        {"accepting": [accepting(key="k", body_hash=b"1")]},
        Share(7),
    ),
    (
        "a key at once, another body",
        {**TEXT, "key": "k", "body_hash": b"2"},
        {"accepting": [accepting(key="k", body_hash=b"1")]},
        "idempotency_key_reused",
    ),
    (
        "another key, the same text",
        {**TEXT, "key": "l", "body_hash": b"1", "on_busy": "queue"},
        {"accepting": [accepting(key="k", body_hash=b"1")]},
        Accept("last"),
    ),
    ("a new key, the same text", {**TEXT, "key": "k"}, {"latest": latest(ended_at=A_MOMENT_AGO)}, Accept("now")),
    (
        "somebody else's key at once",
        {**TEXT, "key": "k", "body_hash": b"1", "user_id": RAVI},
        {"accepting": [accepting(key="k", body_hash=b"1")]},
        "turn_in_progress",
    ),
]


@pytest.mark.parametrize(("asked", "state", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_b17_every_row_of_the_table(asked: dict[str, Any], state: dict[str, Any], expected: Any) -> None:
    assert told(decide(request(**asked), session(**state))) == expected


USERS, HASHES = st.sampled_from([ASHA, RAVI]), st.sampled_from([HELLO, OTHER])
KEYS, MAPS = st.sampled_from([None, "k", "l"]), st.sampled_from([{}, {"a": True}, {"a": False}, {"b": True}])
MOMENTS = st.sampled_from([None, A_MOMENT_AGO, LONG_AGO])
REQUESTS = st.builds(
    Request,
    user_id=USERS,
    text_hash=st.none() | HASHES,
    approvals=MAPS,
    decidable=st.booleans(),
    on_busy=st.sampled_from(["reject", "queue", "interrupt"]),
    key=KEYS,
    body_hash=st.sampled_from([b"1", b"2"]),
)
BEING_STORED = st.builds(
    Accepting,
    intake=st.integers(1, 9),
    user_id=USERS,
    text_hash=st.none() | HASHES,
    approvals=MAPS,
    key=KEYS,
    body_hash=st.sampled_from([b"1", b"2"]),
    starts=st.none() | st.integers(1, 9),
    waits=st.booleans(),
)
SESSIONS = st.builds(
    Snapshot,
    now=st.just(NOW),
    stopping=st.booleans(),
    deleting=st.booleans(),
    running=st.none() | st.integers(1, 9),
    due=st.booleans(),
    deciding=st.booleans(),
    queued=st.integers(0, QUEUE_LIMIT),
    accepting=st.lists(BEING_STORED, max_size=3, unique_by=lambda each: each.intake),
    latest=st.none()
    | st.builds(
        Latest, user_id=USERS, text_hash=HASHES, under_way=st.booleans(), ended_at=MOMENTS, delivered=st.booleans()
    ),
    resumed_ended_at=MOMENTS,
)


@given(REQUESTS, SESSIONS)
def test_whatever_is_sent_whenever(asked: Request, state: Snapshot) -> None:
    admission = decide(asked, state)
    accept = admission.then if isinstance(admission, Decide) else admission
    if isinstance(accept, Accept):
        assert asked.text_hash is not None, "only text becomes a turn"
        assert (accept.place == "now") == (not state.busy), "two passes never run at once"
        assert accept.place == "now" or state.places < QUEUE_LIMIT, "the queue has its limit"
        assert not state.stopping
        assert not state.deleting
        assert accept.over is None or asked.on_busy == "interrupt", "only an interrupt ends a pass"
    if isinstance(admission, Decide):
        assert asked.approvals
        assert (admission.text == "none") == (asked.text_hash is None)
        assert admission.text != "follows_up" or not state.busy
    if isinstance(admission, Share):
        [shared] = [each for each in state.accepting if each.intake == admission.intake][-1:]
        assert shared.user_id == asked.user_id, "nobody shares in what somebody else has posted"
    if isinstance(admission, Rejoin):
        assert state.latest is not None
        assert state.latest.user_id == asked.user_id
        assert not asked.decidable, "what can be decided is decided"
        assert asked.key is None, "with a key only the key decides"
    if isinstance(admission, Watch):
        assert asked.text_hash is None
        assert not asked.approvals


@given(REQUESTS, SESSIONS)
def test_a_repetition_at_the_same_moment_begins_nothing(asked: Request, state: Snapshot) -> None:
    """Once a message is being stored, posting it again joins it, whatever else goes on."""
    first = decide(asked, state)
    if not isinstance(first, Accept | Decide) or (isinstance(first, Decide) and asked.text_hash is None):
        return
    being_stored = Accepting(
        intake=99,
        user_id=asked.user_id,
        text_hash=asked.text_hash,
        approvals=asked.approvals,
        key=asked.key,
        body_hash=asked.body_hash,
    )
    assert decide(asked, Snapshot(now=NOW, accepting=[*state.accepting, being_stored])) == Share(99)
