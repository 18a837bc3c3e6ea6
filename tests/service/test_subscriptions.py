"""Many viewers of one session, and one that reads nothing: each is a cursor, and none delays another (business 3.6)."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.rehearsal import Gate, Text, Turn
from tests.service.sessions import Sessions
from tests.waiting import until
from voyagent.actors.conversation.event_log import RING_BYTES, WRITE_BYTES, EventLog
from voyagent.actors.conversation.session_messages import Delivered
from voyagent.actors.runtime.actor import MailboxFull, Ref
from voyagent.http.service import Service
from voyagent.http.streams import HIGH_WATER

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Make, Person, Running, Stream

PIECE = "x" * 16_000
PIECES = 200
"""Three megabytes: far more than sockets and buffers on the way hold."""
STALL_SECONDS = 1.0


@pytest.fixture
async def hasty(settings_for: Make, rehearsal: Any, running_class: type[Running]) -> AsyncIterator[Running]:
    """A service that drops a viewer who takes nothing for a second."""
    settings = settings_for(VOYAGENT_SSE_STALL_SECONDS=str(STALL_SECONDS))
    rehearsal[0].reset()
    async with Service(settings) as service, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield running_class(service, rehearsal[0], http, settings)


def unsent(log: EventLog) -> list[int]:
    """The bytes that wait in this process for each viewer of a log."""
    viewers = [each.sink.__self__ for each in log.subscriptions if each.sink is not None]
    lines = [each.request.transport for each in viewers]
    return [line.get_write_buffer_size() for line in lines if line is not None]


async def connect(person: Person, session: str, buffer: int = 4096) -> socket.socket:
    """Open a stream of which nothing is read by itself."""
    place = urlsplit(person.url)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, (place.hostname, place.port))
    asked = f"GET /chat/sessions/{session}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {person.token}\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(line, asked.encode())
    return line


async def watched(person: Person, session: str, count: int, **more: int) -> list[socket.socket]:
    """Viewers that read nothing, all of them taken in by the service."""
    lines = [await connect(person, session, **more) for _ in range(count)]
    for line in lines:
        async with asyncio.timeout(10):
            assert (await asyncio.get_running_loop().sock_recv(line, 12)).startswith(b"HTTP/1.1 200")
    return lines


async def read(stream: Stream, text: str, log: EventLog) -> int:
    """Read a turn to its end, which has to say this; answers the most that waited for any viewer meanwhile."""
    most = 0
    while (seen := await stream.next()) is not None and seen.kind != "final":
        assert log._size <= RING_BYTES + WRITE_BYTES
        if seen.id is not None and seen.id % 20 == 0:
            most = max(most, *unsent(log))
    assert "".join(str(each.data["text"]) for each in stream.events if each.kind == "text_delta") == text
    return most


async def test_b12_viewers_that_read_nothing_delay_nobody_and_hold_a_bounded_number_of_bytes(
    asha: Person, running: Running, sessions: Sessions
) -> None:
    session = await asha.session()
    lines = await watched(asha, session, 5)
    assert running.settings.sse_stall_seconds == 30
    running.rehearsal.play(Turn(Text.split(*[PIECE] * PIECES)))
    stream = await asha.post(session, {"message": "tell me everything"})
    async with asyncio.timeout(25):  # less than what they are waited for
        most = await read(stream, PIECE * PIECES, sessions.log(session))
    assert 0 < most <= HIGH_WATER + 2 * WRITE_BYTES
    stream.response.close()
    for line in lines:
        line.close()


async def test_a_viewer_that_takes_nothing_is_dropped_and_finds_the_rest_again(
    asha_of: Person, hasty: Running, sessions: Sessions
) -> None:
    asha = asha_of
    session = await asha.session()
    lines = await watched(asha, session, 2)
    hasty.rehearsal.play(Turn(Text.split(*[PIECE] * PIECES)))
    stream = await asha.post(session, {"message": "tell me everything"})
    log = sessions.log(session)
    await read(stream, PIECE * PIECES, log)
    await until(lambda: not log.subscriptions)
    for line in lines:
        async with asyncio.timeout(20):
            got = b""
            try:
                while more := await asyncio.get_running_loop().sock_recv(line, 65536):
                    got += more
            except ConnectionResetError:
                pass
        assert len(got) < len(PIECE) * PIECES / 2
        line.close()
    replayed = await asha.replay(session)
    assert [event.raw for event in replayed] == [event.raw for event in stream.events]


async def test_a_viewer_that_takes_little_at_a_time_is_not_dropped(
    asha_of: Person, hasty: Running, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what comes while the first of it is written is one more write, many times as long as a viewer may take nothing
    monkeypatch.setattr("voyagent.actors.conversation.event_log.WRITE_BYTES", len(PIECE) * PIECES)
    asha, loop = asha_of, asyncio.get_running_loop()
    session = await asha.session()
    [line] = await watched(asha, session, 1, buffer=32 * 1024)

    async def take() -> None:
        """Read to the end of the turn, for a time little by little."""
        taken = await loop.sock_recv(line, 16 * 1024)
        began = loop.time()
        while b'"kind":"final"' not in taken:
            if loop.time() - began < 5 * STALL_SECONDS:
                await asyncio.sleep(0.05)
            more = await loop.sock_recv(line, 16 * 1024)
            assert more
            taken = taken[-100:] + more

    head = b""
    while b"retry: " not in head:
        head += await loop.sock_recv(line, 1024)
    hasty.rehearsal.play(Turn(Text.split(*[PIECE] * PIECES)))
    stream = await asha.post(session, {"message": "tell me everything"})
    taking = asyncio.create_task(take())
    await read(stream, PIECE * PIECES, sessions.log(session))
    async with asyncio.timeout(30):
        await taking
    line.close()


@pytest.fixture
async def asha_of(hasty: Running) -> Person:
    """An agency's admin there."""
    return await hasty.sign_up()


@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_b12_many_viewers_of_one_session_get_the_same_bytes(
    count: int, asha: Person, running: Running, sessions: Sessions
) -> None:
    session = await asha.session()
    viewers = [await asha.watch(session) for _ in range(count)]
    running.rehearsal.play(Turn("one two three four five six seven eight nine ten " * 10))
    said = [event.raw for event in await asha.say(session, "hello")]
    log = sessions.log(session)
    assert len(log.subscriptions) == count
    await asyncio.gather(*(viewer.until("final") for viewer in viewers))
    assert all([event.raw for event in viewer.events] == said for viewer in viewers)
    for viewer in viewers:
        viewer.response.close()
    running.rehearsal.play(Turn("Alone."))
    await asha.say(session, "and now?")
    async with asyncio.timeout(20):
        while log.subscriptions:
            await asha.get(f"/chat/sessions/{session}")


async def test_no_stream_is_cut_off_though_the_root_has_no_room_for_what_its_viewers_report(
    asha: Person, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = Ref.tell

    def full(to: Ref, message: Any) -> None:
        if isinstance(message, Delivered):
            raise MailboxFull
        tell(to, message)

    session = await asha.session()
    viewer = await asha.watch(session)
    monkeypatch.setattr(Ref, "tell", full)
    for text in ("Hello.", "Still here."):
        running.rehearsal.play(Turn(text))
        said = [event.raw for event in await asha.say(session, text)]
        await viewer.until("final")
        assert [event.raw for event in viewer.events[-len(said) :]] == said


async def test_a_stream_of_full_age_closes_cleanly_though_the_model_never_pauses(
    asha: Person, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voyagent.http.streams.HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr("voyagent.http.handlers.messages.GET_STREAM_SECONDS", 3.0)
    session, gate = await asha.session(), Gate()
    running.rehearsal.play(Turn(Text.split(*["word "] * 2_000), gate=gate))
    viewer = await asha.watch(session)
    said = await asha.post(session, {"message": "go on and on"})

    async def go_on() -> None:
        while True:
            await gate.release()
            await asyncio.sleep(0.02)

    talking = asyncio.create_task(go_on())
    async with asyncio.timeout(10):
        while await viewer.next() is not None:
            pass
    assert viewer.events
    assert viewer.events[-1].kind == "text_delta"
    talking.cancel()
    await gate.open()
    assert (await said.all())[-1].kind == "final"


WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database AND datname = current_database() WHERE NOT granted
"""


async def test_who_leaves_while_his_message_is_accepted_is_no_viewer(
    asha: Person, running: Running, admin: Admin, sessions: Sessions
) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn("Nobody listens."))
    async with admin.db.transaction():
        await admin.db.execute("LOCK TABLE turns IN EXCLUSIVE MODE")
        posting = asyncio.create_task(asha.post(session, {"message": "hello"}))
        await until(lambda: admin.value(WAITING))
        posting.cancel()
        await asyncio.wait({posting})
    viewer = await asha.watch(session)
    assert (await viewer.until("final")).kind == "final"
    log = sessions.log(session)
    await until(lambda: (len(log.subscriptions), len(log.unread)) == (1, 0))
    viewer.response.close()


async def test_a_passivated_session_is_freed_without_the_garbage_collector(
    asha: Person, running: Running, admin: Admin, sessions: Sessions
) -> None:
    session = await asha.session()
    running.rehearsal.play(Turn("Good night."))
    await asha.say(session, "good night")
    log = weakref.ref(sessions.log(session))
    gc.collect()
    gc.disable()
    try:
        await admin.close_actor(session)
        await until(lambda: log() is None)
    finally:
        gc.enable()
