"""A stream gives back what it holds, wherever its client leaves."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.figures import gauged
from tests.http.conftest import Fake, principal
from voyagent.actors.accounts.access_watch import AccessWatches
from voyagent.actors.accounts.actor import Watch
from voyagent.actors.conversation import session_messages
from voyagent.actors.conversation.event_log import EndCondition, EventLog, SseFrame, Subscription
from voyagent.actors.foundation import metrics
from voyagent.http.streams import EventStream

if TYPE_CHECKING:
    from tests.http.conftest import Client

PATH = "/chat/sessions/019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b/events"


class Hold:
    """A place to stop at: says that it was reached, and goes no further."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def stop(self) -> None:
        self.reached.set()
        await asyncio.Event().wait()


class Sources:
    """What a stream asks for: a watch over its access and a subscription, of logs that are seen."""

    def __init__(self) -> None:
        self.watches = AccessWatches()
        self.older: Callable[[int, int], Awaitable[Sequence[SseFrame]]] = self._nothing
        self.log = EventLog(0, 0, self._older)
        self.until = EndCondition(live=True)

    async def _nothing(self, _after: int, _through: int) -> Sequence[SseFrame]:
        return ()

    async def _older(self, after: int, through: int) -> Sequence[SseFrame]:
        return await self.older(after, through)

    def watch(self, message: Watch) -> Any:
        return self.watches.add(message.principal)

    def follow(self, _message: session_messages.Follow) -> Subscription:
        return Subscription(self.log, after=0, until=self.until)


@pytest.fixture
def sources(client: Client) -> Sources:
    made = Sources()
    client.accounts.answers[Watch] = made.watch
    client.root.answers[session_messages.Follow] = made.follow
    return made


def asking(message: type, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one kind of question stop at ``hold`` after it was answered, before its asker gets the answer."""
    ask = Fake.ask

    async def slow(self: Fake, sent: Any, within: float = 10.0) -> Any:
        reply = await ask(self, sent, within)
        if type(sent) is message:
            await hold.stop()
        return reply

    monkeypatch.setattr(Fake, "ask", slow)


def at_the_watch(_client: Client, _sources: Sources, hold: Hold, patch: pytest.MonkeyPatch) -> None:
    asking(Watch, hold, patch)


def at_the_subscription(_client: Client, _sources: Sources, hold: Hold, patch: pytest.MonkeyPatch) -> None:
    asking(session_messages.Follow, hold, patch)


def at_the_head(_client: Client, _sources: Sources, hold: Hold, patch: pytest.MonkeyPatch) -> None:
    async def begin(_self: EventStream, _request: web.Request) -> None:
        await hold.stop()

    patch.setattr(EventStream, "begin", begin)


def at_the_first_read(_client: Client, sources: Sources, hold: Hold, _patch: pytest.MonkeyPatch) -> None:
    async def older(_after: int, _through: int) -> Sequence[SseFrame]:
        await hold.stop()
        return ()

    sources.log.last, sources.older = 5, older


def at_a_wait(_client: Client, sources: Sources, hold: Hold, patch: pytest.MonkeyPatch) -> None:
    wait = asyncio.Event.wait

    async def waits(event: asyncio.Event) -> bool:
        if any(event is feed.wakeup for feed in sources.log.subscriptions):
            hold.reached.set()
        return await wait(event)

    patch.setattr(asyncio.Event, "wait", waits)


def at_the_end(_client: Client, sources: Sources, hold: Hold, patch: pytest.MonkeyPatch) -> None:
    async def write_eof(_self: EventStream, _data: bytes = b"") -> None:
        await hold.stop()

    sources.until = EndCondition(replay=True)
    patch.setattr(EventStream, "write_eof", write_eof)


PLACES = [at_the_watch, at_the_subscription, at_the_head, at_the_first_read, at_a_wait, at_the_end]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
async def test_a_client_that_leaves_at_any_await_leaves_nothing_held(
    place: Callable[..., None], client: Client, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, hold = gauged(metrics.API_REQUESTS_IN_PROGRESS), Hold()
    with monkeypatch.context() as patch:
        place(client, sources, hold, patch)
        _reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer agent\r\n\r\n".encode())
        async with asyncio.timeout(5):
            await hold.reached.wait()
        assert open_streams(client) == 1
        writer.close()
        async with asyncio.timeout(5):
            while open_streams(client):  # noqa: ASYNC110  # the service has no event to wait for
                await asyncio.sleep(0.01)
            while gauged(metrics.API_REQUESTS_IN_PROGRESS) > held:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    gc.collect()
    assert not sources.log.watched
    assert not sources.watches.held()
    assert not client.services.streams.open
    assert gauged(metrics.SSE_VIEWERS) == 0


def open_streams(client: Client) -> int:
    """How many streams count against the agency."""
    return client.services.open_streams.count(principal())
