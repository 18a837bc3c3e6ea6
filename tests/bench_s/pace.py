"""A stream at a steady rate for benches: each delta carries its number and the moment it was sent."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from math import modf

from aiohttp import web

from voyagent.actors.agent.rehearsed.server import Call, Rehearsal, opened
from voyagent.actors.agent.rehearsed.wire import frame, message_end, message_start
from voyagent.actors.foundation.clock import Clock

GOLDEN = 0.6180339887498949
"""Its multiples are spread evenly: streams that start together do not send at the same moments."""

STAMP = re.compile(r" (\d+)@(\d+)")
"""A delta's text: its number from 1, and nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``deltas`` per reply at ``rate`` a second; rate 0 is as fast as they can be written."""

    deltas: int
    rate: float

    async def play(
        self, write: Callable[[bytes], Awaitable[None]], clock: Clock, number: int, model: str, usage: Mapping[str, int]
    ) -> None:
        """Write one whole reply; the request's ``number`` shifts its deltas in time against those of others."""
        await write(message_start(model, usage))
        await write(frame({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}))
        began = clock.monotonic() + (modf(number * GOLDEN)[0] / self.rate if self.rate else 0.0)
        for count in range(1, self.deltas + 1):
            if self.rate:
                ahead = began + (count - 1) / self.rate - clock.monotonic()
                if ahead > 0:
                    await clock.sleep(ahead)
            delta = {"type": "text_delta", "text": f" {count}@{time.monotonic_ns()}"}
            await write(frame({"type": "content_block_delta", "index": 0, "delta": delta}))
        await write(frame({"type": "content_block_stop", "index": 0}))
        for data in message_end("end_turn", self.deltas):
            await write(data)


class PacedRehearsal(Rehearsal):
    """The rehearsal, each answer at the same ``pace``, which may be changed."""

    def __init__(self, pace: Pace, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.pace = pace

    async def answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        response = await opened(request)
        await self.pace.play(response.write, self.clock, call.number, call.model, self.usage_of(call.body))
        return response
