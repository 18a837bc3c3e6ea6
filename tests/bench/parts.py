"""The processes of the bench besides its clients: the service, the model and a bare aiohttp handler to compare with.

Each prints one JSON line with its URL, then answers commands, one JSON line each, until its standard input ends: so
none outlives the bench, however that ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, TCPConnector, web
from pace import Pace, PacedRehearsal

from voyagent.actors.conversation import session_messages
from voyagent.actors.conversation.event_log import EventLog, SseFrame, frames_of
from voyagent.actors.conversation.session import SessionActor
from voyagent.actors.database import Append
from voyagent.actors.domain.events import Event
from voyagent.actors.domain.ids import turn_id
from voyagent.actors.foundation import gc_policy, log
from voyagent.actors.foundation.config import Settings
from voyagent.actors.foundation.metrics import ActorMeter
from voyagent.http.service import Service
from voyagent.storage.conversation.steps import EventRow

PATIENCE = 30.0
PROBE_SECONDS = 0.005
DEVNULL = Path(os.devnull).open("w")  # noqa: SIM115  # lines are made and written as in life, only not kept
Command = Callable[..., Awaitable[Any]]


class Probe:
    """How late the loop is."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.task: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PROBE_SECONDS
            await asyncio.sleep(PROBE_SECONDS)
            self.late.append((loop.time() - due) * 1000)

    async def begin(self) -> None:
        self.late = []
        self.task = asyncio.create_task(self._run())

    async def end(self) -> list[float]:
        if self.task is not None:
            self.task.cancel()
        return self.late


class Served:
    """The service, with a door at its back."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.service = Service(Settings.load(environ=environ))
        self.probe = Probe()
        self.commands: dict[str, Command] = {
            "cpu": self.cpu,
            "memory": self.memory,
            "sleep": self.sleep,
            "fill": self.fill,
            "fan_out": self.fan_out,
            "count_writes": self.count_writes,
            "writes": self.writes,
            "lag_begin": self.probe.begin,
            "lag_end": self.probe.end,
            "stop": self.stop,
        }
        self.written: list[int] = []
        self.counting = False

    async def start(self) -> str:
        await self.service.start()
        await self.service.system._model.load()  # what it loads is set aside as it is there, with sessions made before
        gc_policy.freeze()
        return self.service.url

    async def cpu(self) -> float:
        """Seconds of processor so far."""
        return time.process_time()

    async def memory(self) -> dict[str, int]:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        awake = len(ActorMeter.of(SessionActor.__name__).mailboxes)
        logs = sum(isinstance(each, EventLog) for each in gc.get_objects())
        return {
            "rss": pages * resource.getpagesize(),
            "blocks": sys.getallocatedblocks(),
            "sessions": awake,
            "logs": logs,
        }

    async def sleep(self, tenant_id: str, session_ids: list[str]) -> None:
        """Have sessions passivated now instead of after two idle minutes."""
        for session_id in session_ids:
            self.service.system.root.tell(session_messages.Sleep(tenant_id=tenant_id, session_id=session_id))
            await asyncio.sleep(0)
        awake = ActorMeter.of(SessionActor.__name__).mailboxes
        async with asyncio.timeout(PATIENCE):
            while awake:  # noqa: ASYNC110  # a look from outside; nothing tells
                await asyncio.sleep(0.01)

    async def fill(self, tenant_id: str, session_id: str, events: int) -> None:
        """Store events of a session that sleeps, behind its back."""
        turn, now = turn_id(), datetime.now(UTC)
        rows = tuple(
            EventRow(
                session_id=session_id,
                tenant_id=tenant_id,
                seq=seq,
                turn_id=turn,
                kind="text_delta",
                data=_data(session_id, turn),
                created_at=now,
            )
            for seq in range(1, events + 1)
        )
        await self.service.system.storage.ask(Append(rows, self.service.system.ownership.lease(tenant_id)))

    async def fan_out(self, session_id: str, burst: int, seconds: float) -> dict[str, Any]:
        """Publish as fast as the viewers' connections take it, ``burst`` events at a time."""
        found = _log_of(session_id)
        viewers, first, turn = len(found.subscriptions), found.last, turn_id()
        cpu, began = time.process_time(), time.perf_counter()
        while time.perf_counter() - began < seconds:
            last = found.last
            found.publish(_frames(session_id, turn, last, burst))
            while any(feed.after < last + burst for feed in found.subscriptions):  # noqa: ASYNC110
                await asyncio.sleep(0)
        took = time.perf_counter() - began
        return {
            "events": (found.last - first) * viewers,
            "seconds": took,
            "cpu": time.process_time() - cpu,
            "last": found.last,
        }

    async def count_writes(self) -> None:
        """From now on note the size of every write of a stream."""
        written = self.written
        written.clear()
        if self.counting:
            return
        self.counting = True
        plain = web.StreamResponse.write

        async def write(response: web.StreamResponse, data: Any) -> None:
            written.append(len(data))
            await plain(response, data)

        web.StreamResponse.write = write  # type: ignore[method-assign]

    async def writes(self) -> list[int]:
        seen = list(self.written)
        self.written.clear()
        return seen

    async def stop(self) -> float:
        """Seconds to the service's end."""
        began = time.perf_counter()
        await self.service.stop()
        return time.perf_counter() - began


def _data(session_id: str, turn: str) -> str:
    event = Event(kind="text_delta", turn_id=turn, text=" and some words of a model")
    return event.data(session_id, datetime.now(UTC))


def _frames(session_id: str, turn: str, last: int, count: int) -> list[SseFrame]:
    return frames_of((seq, turn, "text_delta", _data(session_id, turn)) for seq in range(last + 1, last + 1 + count))


def _log_of(session_id: str) -> EventLog:
    """The log of a session that is awake."""
    for each in gc.get_objects():
        if isinstance(each, SessionActor) and each.session_id == session_id:
            return each.log
    raise LookupError(f"session {session_id} sleeps")


class Played:
    """The rehearsal, whose pace can be changed."""

    def __init__(self, environ: dict[str, str]) -> None:  # noqa: ARG002
        self.rehearsal = PacedRehearsal(Pace(1, 0.0))
        self.commands: dict[str, Command] = {"pace": self.pace, "stop": self.rehearsal.stop}

    async def start(self) -> str:
        return await self.rehearsal.start()

    async def pace(self, deltas: int, rate: float) -> None:
        self.rehearsal.pace = Pace(deltas, rate)


class Bare:
    """What aiohttp costs by itself."""

    def __init__(self, environ: dict[str, str]) -> None:  # noqa: ARG002
        app = web.Application()
        app.router.add_get("/", self.answer)
        self.runner = web.AppRunner(app, access_log=None)
        self.commands: dict[str, Command] = {"stop": self.runner.cleanup}

    async def answer(self, _request: web.Request) -> web.Response:
        return web.Response(body=b'{"status":"ok"}', content_type="application/json")

    async def start(self) -> str:
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        host, port = self.runner.addresses[0][:2]
        return f"http://{host}:{port}"


class Forwarder:
    """The least a chat service can do: aiohttp's client reads the model, each delta is one write to one viewer."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.model = environ["ANTHROPIC_BASE_URL"]
        self.heads = {"x-api-key": environ["ANTHROPIC_API_KEY"], "anthropic-version": "2023-06-01"}
        app = web.Application()
        app.router.add_post("/", self.forward)
        self.runner = web.AppRunner(app, access_log=None)
        self.commands: dict[str, Command] = {"cpu": self.cpu, "stop": self.stop}

    async def start(self) -> str:
        self.client = ClientSession(connector=TCPConnector(limit=0))
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        host, port = self.runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def forward(self, request: web.Request) -> web.StreamResponse:
        question = (await request.json())["message"]
        body = {
            "model": "m",
            "max_tokens": 64,
            "stream": True,
            "messages": [{"role": "user", "content": question}],
        }
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async with self.client.post(f"{self.model}/v1/messages", json=body, headers=self.heads) as stream:
            async for line in stream.content:
                if not line.startswith(b"data:"):
                    continue
                event = json.loads(line[5:])
                if event["type"] == "content_block_delta":
                    data = json.dumps({"event": "text_delta", "text": event["delta"]["text"]})
                    await response.write(b"event: text_delta\ndata: " + data.encode() + b"\n\n")
        await response.write_eof()
        return response

    async def cpu(self) -> float:
        """Seconds of processor so far."""
        return time.process_time()

    async def stop(self) -> None:
        await self.client.close()
        await self.runner.cleanup()


class Plain:
    """The enquiries in FastAPI and SQLAlchemy's ORM, served by uvicorn. They are the extra ``bench``'s."""

    def __init__(self, environ: dict[str, str]) -> None:
        import uvicorn  # noqa: PLC0415 -- of the extra
        from plain_enquiries import application  # noqa: PLC0415 -- the same

        served = application(environ["database_url"], environ["secret"])
        self.server = uvicorn.Server(uvicorn.Config(served, port=0, log_level="warning", access_log=False))
        self.commands: dict[str, Command] = {"cpu": self.cpu, "stop": self.stop}

    async def start(self) -> str:
        self.task = asyncio.create_task(self.server.serve())
        while not self.server.started:  # noqa: ASYNC110  # uvicorn says it by this alone
            await asyncio.sleep(0.01)
        host, port = self.server.servers[0].sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def cpu(self) -> float:
        """Seconds of processor so far."""
        return time.process_time()

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.task


PARTS: dict[str, Callable[[dict[str, str]], Served | Played | Bare | Forwarder | Plain]] = {
    "service": Served,
    "model": Played,
    "bare": Bare,
    "forwarder": Forwarder,
    "plain": Plain,
}


async def serve(name: str) -> None:
    """Answer commands until standard input ends."""
    reader = asyncio.StreamReader(limit=4 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    environ: dict[str, str] = json.loads(await reader.readline())
    log.configure("production", "info", stream=DEVNULL)
    part = PARTS[name](environ)
    say({"url": await part.start()})
    stopped = False
    while line := await reader.readline():
        asked = json.loads(line)
        command = asked.pop("do")
        say({"is": await part.commands[command](**asked)})
        stopped = stopped or command == "stop"
    if not stopped:
        await part.commands["stop"]()


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop for uvicorn, as it is usually served; ours runs on asyncio's own."""
    if name != "plain":
        return None
    import uvloop  # noqa: PLC0415 -- of the extra

    return uvloop.new_event_loop


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory(sys.argv[1])) as runner:
        runner.run(serve(sys.argv[1]))
