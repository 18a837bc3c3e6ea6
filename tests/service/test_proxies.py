"""Streams and addresses behind nginx and Caddy, with the files of ``deploy/`` and their packages' own defaults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from tests.rehearsal import Gate, Rehearsal, Text, Turn
from tests.service.proxies import PROXIES, Proxy, nginx
from voyagent.actors.agent.llm import messages_api
from voyagent.http import streams
from voyagent.http.service import Service

if TYPE_CHECKING:
    from tests.service.conftest import Make, Person, Running

FIRST_WORD_SECONDS = 1.0
pytestmark = pytest.mark.proxies
BEAT_SECONDS, TIMEOUT_SECONDS, BEATS = 0.4, 3, 10
"""Heartbeats and the proxies' time-out, shortened: so many beats last longer than the time-out."""
SILENT_SECONDS = 130
CLIENT, STRANGER = "127.0.0.2", "127.0.0.3"
TOKEN = "kJ8s2Lq0vXw5Zr7t"

SHORT = f"proxy_read_timeout {TIMEOUT_SECONDS}s; proxy_send_timeout {TIMEOUT_SECONDS}s;"
DEFAULTS = """
gzip on; gzip_min_length 1; gzip_proxied any; proxy_buffering on;
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{upstream}; }} }}
"""
"""What somebody writes who has read nothing: HTTP/1.0 towards the service, answers buffered and compressed."""
STARTS = {
    "nginx": lambda folder, upstream, short: nginx(folder, upstream, inserted=SHORT if short else ""),
    "nginx by default": lambda folder, upstream, short: nginx(
        folder, upstream, site=DEFAULTS, inserted=SHORT if short else ""
    ),
    "caddy": lambda folder, upstream, _: PROXIES["caddy"](folder, upstream),
}


@dataclass(frozen=True, slots=True)
class Behind:
    """A service behind a proxy, and somebody who reaches it there alone."""

    proxy: Proxy
    running: Running
    asha: Person
    http: aiohttp.ClientSession
    """At ``CLIENT``, through the proxy."""
    stranger: aiohttp.ClientSession
    """At ``STRANGER``, past the proxy."""


@pytest.fixture(params=STARTS)
def name(request: pytest.FixtureRequest) -> str:
    """Which proxy."""
    return str(request.param)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> bool:
    """Heartbeats and time-outs are shortened alike, but for slow tests."""
    if request.node.get_closest_marker("slow") is not None:
        monkeypatch.setattr(
            messages_api, "IDLE_SECONDS", 2 * SILENT_SECONDS
        )  # here the model is what is silent so long
        return False
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", BEAT_SECONDS)
    return True


@pytest.fixture
async def behind(
    name: str,
    short: bool,
    settings_for: Make,
    rehearsal: tuple[Rehearsal, str],
    running_class: type[Running],
    tmp_path: Path,
) -> AsyncIterator[Behind]:
    settings = settings_for(VOYAGENT_TRUSTED_PROXIES="127.0.0.1", VOYAGENT_METRICS_TOKEN=TOKEN)
    rehearsal[0].reset()
    async with Service(settings) as service, aiohttp.ClientSession() as direct:
        running = running_class(service, rehearsal[0], direct, settings)
        upstream = service.url.removeprefix("http://")
        async with (
            STARTS[name](tmp_path, upstream, short) as proxy,
            proxy.client(CLIENT) as http,
            proxy.client(STRANGER) as stranger,
        ):
            asha = replace(await running.sign_up(), http=http, url=proxy.url)
            yield Behind(proxy, running, asha, http, stranger)


async def lines_until(stream: Any, looks: Callable[[bytes], bool], count: int = 1) -> list[bytes]:
    """The lines of a stream up to the ``count``-th that is looked for."""
    lines: list[bytes] = []
    async for line in stream.response.content:
        lines.append(line)
        count -= looks(line)
        if count <= 0:
            return lines
    raise AssertionError(f"the stream ended after {lines}")


async def silence_behind(behind: Behind, beats: int, within: float) -> None:
    """An answer of two words with a silence of so many heartbeats between them, for its asker and for a viewer."""
    gate, session = Gate(), await behind.asha.session()
    behind.running.rehearsal.play(Turn("Good morning"))
    await behind.asha.say(session, "good morning")  # the first turn of a process loads what turns need
    viewer = await behind.asha.watch(session)
    behind.running.rehearsal.play(Turn(Text.split("Namaste", " Asha"), gate=gate))
    async with asyncio.timeout(FIRST_WORD_SECONDS):
        await gate.release()
        stream = await behind.asha.post(session, {"message": "hello"}, **{"Accept-Encoding": "gzip, br, zstd"})
        await asyncio.gather(*(lines_until(each, lambda line: b"Namaste" in line) for each in (stream, viewer)))
    for each in (stream, viewer):
        assert "Content-Encoding" not in each.response.headers
        assert each.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    async with asyncio.timeout(within):
        await asyncio.gather(*(lines_until(each, is_heartbeat, beats) for each in (stream, viewer)))
    await gate.open()
    assert [seen.kind for seen in await stream.all()] == ["text_delta", "final"]
    assert (await viewer.until("text_delta")).data["text"] == " Asha"
    await viewer.until("final")
    viewer.response.close()


def is_heartbeat(line: bytes) -> bool:
    return line == b"event: heartbeat\n"


async def test_t36_the_first_word_passes_at_once_and_silence_ends_nothing(behind: Behind) -> None:
    await silence_behind(behind, BEATS, 20)


@pytest.mark.slow
async def test_t36_a_hundred_and_thirty_seconds_of_silence_end_nothing_at_any_default(behind: Behind) -> None:
    await silence_behind(behind, int(SILENT_SECONDS / streams.HEARTBEAT_SECONDS) + 1, SILENT_SECONDS + 30)


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_answers_are_compressed_and_reached_bare_and_below_api(behind: Behind) -> None:
    for path in ("/openapi.json", "/api/openapi.json"):
        async with behind.http.get(behind.proxy.url + path, headers={"Accept-Encoding": "gzip"}) as response:
            assert (response.status, response.headers.get("Content-Encoding")) == (200, "gzip"), path
            assert (await response.json())["openapi"].startswith("3.1")
    async with behind.http.get(behind.proxy.plain_url + "/health", allow_redirects=False) as response:
        assert response.status in {301, 308}
        assert response.headers["Location"].startswith("https://agency.example.com")


@pytest.mark.parametrize("name", ["nginx", "caddy"])
@pytest.mark.parametrize(
    "path", ["/internal/metrics", "/api/internal/actors", "/%69nternal/metrics", "/x/../internal/metrics"]
)
async def test_metrics_stay_inside_even_with_their_token(behind: Behind, path: str) -> None:
    url = URL(behind.proxy.url + path, encoded=True)
    async with behind.http.get(url, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        assert response.status == 404
    direct = f"{behind.running.url}/internal/metrics"
    async with behind.running.http.get(direct, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        assert response.status == 200


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_a_client_is_where_the_proxy_sees_it_whatever_it_says(behind: Behind) -> None:
    asha = behind.asha
    claims = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
    body = {"email": asha.user["email"], "password": "a long password 1"}
    for url, http in ((asha.url, behind.http), (behind.running.url, behind.stranger)):
        async with http.post(f"{url}/auth/sign-in", json=body, headers=claims) as response:
            assert response.status == 200
    addresses = {session["ip"] for session in (await asha.get("/auth/sessions"))["items"]}
    assert addresses == {"127.0.0.1", CLIENT, STRANGER}
