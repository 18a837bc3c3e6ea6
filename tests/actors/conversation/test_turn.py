"""A turn's way up to its session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voyagent.actors.conversation.log_writer import AppendText, StoreStep
from voyagent.actors.conversation.turn import TurnLog
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.domain.turns import LoopState
from voyagent.actors.runtime.actor import ActorDead, MailboxFull
from voyagent.actors.runtime.reply import refuse
from voyagent.storage.conversation import answers


class Session:
    """Stores everything on the spot, as a log does that is quicker than the turn."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def tell(self, message: Any) -> None:
        raise AssertionError(message)

    async def ask(self, message: Any, within: float = 10.0) -> Any:
        raise AssertionError(message, within)

    def request(self, message: Any) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if isinstance(message, AppendText):
            self.words.append(message.text)
        reply.set_result("stored" if isinstance(message, StoreStep) else None)
        return reply


class Full(Session):
    """Is full for a while, and stores nothing by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.stored: list[asyncio.Future[None]] = []

    def request(self, message: Any) -> asyncio.Future[Any]:
        if not self.full and not isinstance(message, AppendText):
            return super().request(message)
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.full:
            refuse(reply, MailboxFull())
        else:
            self.words.append(message.text)
            self.stored.append(reply)
        return reply

    async def store(self, place: int) -> None:
        """Have an append be durable, and the turn notice."""
        self.stored[place].set_result(None)
        await asyncio.sleep(0)


def step() -> Any:
    return answers.NextDesk(tenant_id="a", session_id="s", turn_id="t-1", state=LoopState())


async def test_a_step_behind_words_that_are_stored_already_does_not_hold_the_loop() -> None:
    session = Session()
    upwards = TurnLog(session, "t-1")
    async with asyncio.timeout(5):
        await upwards.append_text("first")
        assert await upwards.write(step()) == "stored"
        await upwards.append_text("x" * 40_000)
        await upwards.append_text("y" * 40_000)
        await upwards.flush()
    assert "".join(session.words) == "first" + "x" * 40_000 + "y" * 40_000


async def test_words_said_while_earlier_ones_fly_go_together_behind_them_and_before_a_step() -> None:
    session = Full()
    upwards = TurnLog(session, "t-1")
    for word in ("a", "b", "c"):
        await upwards.append_text(word)
    assert session.words == ["a"]
    writing = asyncio.ensure_future(upwards.write(step()))
    await asyncio.sleep(0)
    assert not writing.done()
    await session.store(0)
    assert session.words == ["a", "bc"]
    await session.store(1)
    async with asyncio.timeout(5):
        assert await writing == "stored"


async def test_words_a_full_mailbox_did_not_take_are_not_lost() -> None:
    session = Full()
    upwards = TurnLog(session, "t-1")
    await upwards.append_text("a")
    await upwards.append_text("b")
    session.full = True
    await session.store(0)
    with pytest.raises(MailboxFull):
        await upwards.flush()
    session.full = False
    landed = asyncio.ensure_future(upwards.flush())
    await asyncio.sleep(0)
    await session.store(1)
    async with asyncio.timeout(5):
        await landed
    assert session.words == ["a", "b"]


@pytest.mark.parametrize("seen", [False, True])
async def test_nothing_is_stored_behind_words_that_could_not_be(seen: bool) -> None:
    session = Full()
    upwards = TurnLog(session, "t-1")
    await upwards.append_text("lost")
    session.stored[0].set_exception(Unavailable("storage_unavailable"))
    if seen:
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="storage_unavailable"):
        await upwards.write(step())


async def test_who_waits_for_words_is_let_go_when_the_turn_is_over() -> None:
    session = Full()
    upwards = TurnLog(session, "t-1")
    await upwards.append_text("a")
    landed = asyncio.ensure_future(upwards.flush())
    await asyncio.sleep(0)
    upwards.close()
    async with asyncio.timeout(5):
        with pytest.raises(ActorDead):
            await landed


async def test_words_that_nobody_takes_any_more_disturb_nobody() -> None:
    disturbed: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: disturbed.append(context))
    session = Full()
    upwards = TurnLog(session, "t-1")
    await upwards.append_text("a")
    await upwards.append_text("b")
    session.stored[0].set_result(None)
    upwards.close()
    await asyncio.sleep(0)
    assert disturbed == []
    with pytest.raises(ActorDead):
        await upwards.flush()
