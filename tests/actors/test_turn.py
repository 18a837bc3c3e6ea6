"""A turn's way up to its session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voyagent.actors.runtime import ActorDead, MailboxFull
from voyagent.actors.turn import Said, Upwards, Wanted


class Session:
    """Stores everything on the spot, as a log does that is quicker than the turn."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def tell(self, message: Any) -> None:
        match message:
            case Said():
                self.words.append(message.text)
                message.landed()
            case Wanted():
                message.done.set_result("stored")

    async def ask(self, message: Any, within: float = 10.0) -> Any:
        raise AssertionError(message, within)

    def post(self, message: Any) -> Any:
        raise AssertionError(message)


class Full(Session):
    """Has no room for a while, and stores nothing by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.landed: list[Any] = []

    def tell(self, message: Any) -> None:
        if self.full:
            raise MailboxFull
        if isinstance(message, Said):
            self.words.append(message.text)
            self.landed.append(message.landed)
        else:
            super().tell(message)


async def test_a_step_behind_words_that_are_stored_already_does_not_hold_the_loop() -> None:
    session = Session()
    upwards = Upwards(session, "t-1")
    async with asyncio.timeout(5):
        await upwards.say("first")
        assert await upwards.write(lambda _after, _now: None) == "stored"  # type: ignore[arg-type, return-value]
        await upwards.say("x" * 40_000)
        await upwards.say("y" * 40_000)
        await upwards.landed()
    assert "".join(session.words) == "first" + "x" * 40_000 + "y" * 40_000


async def test_words_said_while_earlier_ones_fly_go_together_behind_them_and_before_a_step() -> None:
    session = Full()
    upwards = Upwards(session, "t-1")
    for word in ("a", "b", "c"):
        await upwards.say(word)
    assert session.words == ["a"]
    step = asyncio.ensure_future(upwards.write(lambda _after, _now: None))  # type: ignore[arg-type, return-value]
    await asyncio.sleep(0)
    assert not step.done()
    session.landed[0]()
    assert session.words == ["a", "bc"]
    session.landed[1]()
    async with asyncio.timeout(5):
        assert await step == "stored"


async def test_words_a_full_mailbox_did_not_take_are_not_lost() -> None:
    session = Full()
    upwards = Upwards(session, "t-1")
    await upwards.say("a")
    await upwards.say("b")
    session.full = True
    session.landed[0]()
    with pytest.raises(MailboxFull):
        await upwards.landed()
    session.full = False
    landed = asyncio.ensure_future(upwards.landed())
    await asyncio.sleep(0)
    session.landed[1]()
    async with asyncio.timeout(5):
        await landed
    assert session.words == ["a", "b"]


async def test_who_waits_for_words_is_let_go_when_the_turn_is_over() -> None:
    session = Full()
    upwards = Upwards(session, "t-1")
    await upwards.say("a")
    landed = asyncio.ensure_future(upwards.landed())
    await asyncio.sleep(0)
    upwards.close()
    async with asyncio.timeout(5):
        with pytest.raises(ActorDead):
            await landed
