"""A turn's way up to its session."""

from __future__ import annotations

import asyncio
from typing import Any

from voyagent.actors.turn import Said, Upwards, Wanted


class Session:
    """Stores everything on the spot, as a log does that is quicker than the turn."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def tell(self, message: Any) -> None:
        match message:
            case Said():
                self.words.append(message.text)
                message.taken.set_result(None)
            case Wanted():
                message.done.set_result("stored")

    async def ask(self, message: Any, within: float = 10.0) -> Any:
        raise AssertionError(message, within)


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
