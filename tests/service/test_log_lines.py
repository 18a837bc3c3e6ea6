"""Log lines say which request, agency, session and turn they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.log_lines import Written, as_in_production
from tests.rehearsal import Failure, Gate, Turn
from tests.waiting import until

if TYPE_CHECKING:
    from tests.service.conftest import Person, Running

FAILING = Failure(529, retry_after="0")
"""The service logs each call of the model that fails and is tried again."""


@pytest.fixture
def production() -> Iterator[Written]:
    """What is logged. Comes before the service, whose middleware keeps its logger."""
    with as_in_production() as written:
        yield written


def belonging(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line.get(name) for name in ("request_id", "tenant", "session", "turn"))


async def test_every_line_of_a_turn_names_its_request_agency_session_and_turn(
    production: Written, asha: Person, running: Running
) -> None:
    session = await asha.session()
    running.rehearsal.play(FAILING, Turn("Hello."))
    production()
    stream = await asha.post(session, {"message": "hello"}, **{"X-Request-ID": "asked-1"})
    events = await stream.all()
    turn = events[-1].data["turn_id"]
    lines: list[dict[str, Any]] = []

    def logged() -> list[dict[str, Any]]:  # the stream has ended before its line is written
        lines.extend(production())
        return [line for line in lines if line["event"] == "request"]

    [request] = await until(logged)
    [retried] = [line for line in lines if line["source"] == "model"]
    assert belonging(retried) == ("asked-1", asha.user["tenant_id"], session, turn)
    assert belonging(request) == ("asked-1", asha.user["tenant_id"], session, None)


async def test_a_turn_that_waited_in_the_queue_names_its_own_request(
    production: Written, asha: Person, running: Running
) -> None:
    session, gate = await asha.session(), Gate()
    running.rehearsal.play(Turn("First.", gate=gate), FAILING, Turn("Second."))
    first = await asha.post(session, {"message": "one"}, **{"X-Request-ID": "asked-1"})
    await gate.waiting(1)
    second = await asha.post(session, {"message": "two", "on_busy": "queue"}, **{"X-Request-ID": "asked-2"})
    await gate.open()
    await asyncio.gather(first.all(), second.all())
    turn = second.events[-1].data["turn_id"]
    [retried] = [line for line in production() if line["source"] == "model"]
    assert belonging(retried) == ("asked-2", asha.user["tenant_id"], session, turn)
