"""How many sessions of an agency stay active, and what one without viewers costs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rehearsal import Text, Turn
from tests.service.sessions import Sessions
from tests.waiting import until
from voyagent.actors import tenant
from voyagent.actors.conversation.session_messages import Follow, PassivateIfIdle
from voyagent.actors.foundation.metrics import ActorMeter


def active() -> int:
    return len(ActorMeter.of("SessionActor").mailboxes)


async def test_the_oldest_idle_sessions_passivate_when_an_agency_has_many(
    asha: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant, "ACTIVE_SESSIONS", 5)
    sessions = [await asha.session() for _ in range(12)]
    watched = await asha.watch(sessions[0])
    for session in sessions:
        running.rehearsal.play(Turn("hello"))
        assert (await asha.say(session, "hello"))[-1].kind == "final"
    await until(lambda: active() <= 6)
    running.rehearsal.play(Turn("still here"))
    await asha.say(sessions[0], "are you there?")
    words = ""
    while not words.endswith("still here"):
        words += (await watched.until("text_delta")).data["text"]
    running.rehearsal.play(Turn("again"))
    assert (await asha.say(sessions[1], "and you?"))[-1].kind == "final"
    watched.response.close()


async def test_a_session_whose_subscription_is_not_read_yet_does_not_passivate(asha: Any, running: Any) -> None:
    tenant_id, root = (await asha.get("/auth/me"))["tenant_id"], running.service.system.root
    one, other = [{"tenant_id": tenant_id, "session_id": await asha.session()} for _ in range(2)]
    unread, dropped = [await root.ask(Follow(**each, cursor=None, mode="live")) for each in (one, other)]
    one_log, other_log = unread.log, dropped.log
    del dropped
    for each in (one, other):
        root.tell(PassivateIfIdle(**each))
    await until(lambda: other_log.over)
    assert not one_log.over
    assert await unread.next_chunk() == b""
    unread.close()
    root.tell(PassivateIfIdle(**one))
    await until(lambda: one_log.over)


async def test_a_session_that_has_talked_keeps_no_frames_once_nobody_watches(
    asha: Any, running: Any, sessions: Sessions
) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn(Text.split(*[f"word {number} " for number in range(200)])))
    told = await asha.say(session, "count")
    log = sessions.log(session)
    assert log.last == told[-1].id
    await until(lambda: log.first == log.last + 1)
    assert [event.id for event in await asha.replay(session)] == [event.id for event in told]
