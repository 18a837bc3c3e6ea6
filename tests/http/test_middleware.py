"""What every answer has in common, whatever it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from aiohttp import web

from tests.waiting import Event
from voyagent.actors.domain import errors
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.domain.ids import parse_uuid
from voyagent.actors.foundation import log, metrics
from voyagent.http.guards import PUBLIC, READER
from voyagent.http.operation import operation
from voyagent.http.request_context import Answer, RequestContext
from voyagent.http.route import Route
from voyagent.http.schemas.shared import LooseBody

if TYPE_CHECKING:
    from tests.http.conftest import Client, Serve

ORIGIN = "http://localhost:3000"
FOREIGN = "https://evil.example"
EXPOSED = "X-Request-ID, Retry-After, Location, Content-Disposition"

REFUSALS: dict[str, Refusal | Exception] = {
    "400": errors.WeakPassword("password_common"),
    "401": errors.Unauthorized("invalid_credentials"),
    "403": errors.Forbidden("forbidden_role"),
    "404": errors.NotFound("thing_not_found"),
    "408": errors.RequestTimeout("request_timeout"),
    "409": errors.Conflict("taken"),
    "413": errors.PayloadTooLarge("body_too_large"),
    "422": errors.Unprocessable("title_empty"),
    "429": errors.Throttled("too_many_attempts", retry_after=2.1),
    "500": RuntimeError("password is hunter2, at db.internal:5432"),
    "503": errors.Unavailable("storage_unavailable"),
    "broken": errors.InternalError("internal_error"),
    "wait": errors.Throttled("too_many_attempts"),
}


class Named(LooseBody):
    name: str


async def refuse(call: RequestContext) -> Answer:
    raise REFUSALS[call.path["what"]]


async def hello(_call: RequestContext) -> Answer:
    return Answer(b'{"hello": "you"}')


async def half_a_stream(call: RequestContext) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    response.enable_chunked_encoding()
    await response.prepare(call.request)
    await response.write(b"first\n\n")
    raise REFUSALS["500"]


class Slow:
    """A handler that says when it was called and waits until it is cancelled."""

    def __init__(self) -> None:
        self.called = Event()
        self.left = Event()

    async def wait(self, _call: RequestContext) -> Answer:
        self.called.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        raise AssertionError


class Streaming(Slow):
    """A stream that is long after its first byte."""

    async def stream(self, call: RequestContext) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(call.request)
        await response.write(b"first")
        self.called.set()
        await self.left.wait()
        return response


TABLE = [
    Route("GET", "/hello", hello, PUBLIC),
    Route("GET", "/mine", hello, READER),
    Route("POST", "/named", operation(body=Named)(hello), PUBLIC),
    Route("GET", "/refuse/{what}", refuse, PUBLIC),
    Route("GET", "/half", half_a_stream, PUBLIC),
]

ANSWERS = [
    ("GET", "/hello", 200),
    ("GET", "/nope", 404),
    ("GET", "/hello/", 307),
    ("DELETE", "/hello", 405),
    ("GET", "/mine", 401),
    ("POST", "/named", 422),
    *(("GET", f"/refuse/{status}", int(status)) for status in REFUSALS if status.isdigit()),
]


@pytest.fixture
async def table(serve: Serve) -> Client:
    return await serve(TABLE)


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_r54_every_answer_has_the_headers_of_every_answer(
    table: Client, method: str, path: str, status: int
) -> None:
    answer = await table.send(method, path, headers={"Origin": ORIGIN, "X-Request-ID": "mine-1"})

    assert answer.status == status
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Permissions-Policy"] == "camera=(), microphone=(), geolocation=()"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Expose-Headers"] == EXPOSED
    assert answer.headers["Vary"] == "Origin"
    assert "aiohttp" not in answer.headers["Server"]
    assert "Strict-Transport-Security" not in answer.headers
    if status >= 400:
        assert answer.headers["Content-Type"] == "application/json"
        assert "detail" in answer.json


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_r54_a_foreign_origin_gets_no_cors_header_at_all(
    table: Client, method: str, path: str, status: int
) -> None:
    for headers in ({"Origin": FOREIGN}, {"Origin": ORIGIN + ".evil.example"}, {"Origin": "null"}, {}):
        answer = await table.send(method, path, headers=headers)

        assert answer.status == status
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert answer.headers["Vary"] == "Origin"


async def test_a_preflight_of_an_allowed_origin_is_answered_for_any_path(table: Client) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}
    for path in ("/hello", "/mine", "/nope"):
        answer = await table.send("OPTIONS", path, headers=headers)

        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
        assert answer.headers["Access-Control-Allow-Headers"] == (
            "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-ID, "
            "X-Voyagent-Tenant"
        )
        assert answer.headers["Access-Control-Max-Age"] == "600"


async def test_a_preflight_of_another_origin_is_refused(table: Client) -> None:
    for origin in ({"Origin": FOREIGN}, {}):
        answer = await table.send("OPTIONS", "/hello", headers={**origin, "Access-Control-Request-Method": "POST"})

        assert (answer.status, answer.json) == (400, {"detail": "cors_origin_not_allowed"})
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_with_no_origin_configured_nobody_is_allowed(serve: Serve) -> None:
    client = await serve(TABLE, api_cors_origins=())

    answer = await client.send("GET", "/hello", headers={"Origin": ORIGIN})

    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_behind_https_transport_security_is_asked_for(serve: Serve) -> None:
    client = await serve(TABLE, public_url="https://api.example.com")

    for path in ("/hello", "/refuse/500", "/nope"):
        headers = (await client.send("GET", path)).headers
        assert headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "id;drop", "\u00e9", "a\tb"])
async def test_an_insane_request_id_is_replaced_by_a_fresh_one(table: Client, given: str) -> None:
    made = (await table.send("GET", "/hello", headers={"X-Request-ID": given})).headers["X-Request-ID"]

    assert parse_uuid(made) == made


async def test_every_request_has_an_id_of_its_own(table: Client) -> None:
    ids = {(await table.send("GET", "/hello")).headers["X-Request-ID"] for _ in range(5)}

    assert len(ids) == 5


async def test_a_401_says_how_to_come_in(table: Client) -> None:
    assert (await table.send("GET", "/refuse/401")).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("what", "seconds"), [("429", "3"), ("503", "1"), ("wait", "1")])
async def test_429_and_503_say_when_to_come_again_in_whole_seconds(table: Client, what: str, seconds: str) -> None:
    assert (await table.send("GET", f"/refuse/{what}")).headers["Retry-After"] == seconds


async def test_a_weak_password_is_told_with_its_rule(table: Client) -> None:
    assert (await table.send("GET", "/refuse/400")).detail == {"error": "password_too_weak", "code": "password_common"}


async def test_b28_a_defect_is_a_500_with_the_request_id_and_its_cause_only_in_the_log(table: Client) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = await table.send("GET", "/refuse/500", headers={"X-Request-ID": "broken-1"})

    assert answer.json == {"detail": "internal_error", "request_id": "broken-1"}
    [failure] = [line for line in lines if line["event"] == "request_failed"]
    assert failure["path"] == "/refuse/{what}"
    assert failure["exc_info"]


async def test_a_defect_an_actor_has_told_of_is_the_same_500(table: Client) -> None:
    answer = await table.send("GET", "/refuse/broken", headers={"X-Request-ID": "broken-2"})

    assert answer.status == 500
    assert answer.json == {"detail": "internal_error", "request_id": "broken-2"}


async def test_answers_under_auth_are_never_kept(client: Client) -> None:
    for method, path in (("POST", "/auth/sign-in"), ("GET", "/auth/me"), ("GET", "/auth/nope")):
        assert (await client.send(method, path)).headers["Cache-Control"] == "no-store"
    assert "Cache-Control" not in (await client.send("GET", "/health")).headers


async def test_a_stream_that_breaks_is_cut_off_so_that_nobody_takes_it_for_whole(table: Client) -> None:
    head, body = await table.raw(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200")
    assert b"X-Request-ID" in head
    assert b"internal_error" not in body
    assert not body.endswith(b"0\r\n\r\n")


def counted(method: str, path: str, status: int) -> float:
    return (
        metrics.REGISTRY.get_sample_value(
            "voyagent_api_requests_total", {"method": method, "path": path, "status": str(status)}
        )
        or 0.0
    )


def seconds(path: str, name: str = "sum") -> float:
    return (
        metrics.REGISTRY.get_sample_value(
            f"voyagent_api_request_duration_seconds_{name}", {"method": "GET", "path": path}
        )
        or 0.0
    )


async def test_r47_a_thousand_paths_are_one_series(table: Client) -> None:
    before = counted("GET", "unmatched", 404)

    for number in range(1000):
        await table.send("GET", f"/random-{number}/x")

    assert counted("GET", "unmatched", 404) == before + 1000
    paths = {sample.labels["path"] for series in metrics.API_REQUESTS_TOTAL.collect() for sample in series.samples}
    assert not [path for path in paths if "random" in path]


async def test_figures_are_by_template_and_known_methods(table: Client) -> None:
    before = counted("GET", "/refuse/{what}", 409), counted("other", "unmatched", 405)

    await table.send("GET", "/refuse/409")
    await table.send("PROPFIND", "/hello")

    assert (counted("GET", "/refuse/{what}", 409), counted("other", "unmatched", 405)) == (before[0] + 1, before[1] + 1)


async def test_nothing_is_left_in_progress(table: Client) -> None:
    before = metrics.REGISTRY.get_sample_value("voyagent_api_requests_in_progress")

    await table.send("GET", "/hello")
    await table.send("GET", "/refuse/500")

    assert metrics.REGISTRY.get_sample_value("voyagent_api_requests_in_progress") == before


async def test_a_client_that_leaves_is_counted_as_such(serve: Serve) -> None:
    slow, noted = Slow(), Event()
    client = await serve([Route("GET", "/slow", slow.wait, PUBLIC)])

    def note(_logger: Any, _method: str, event: Any) -> Any:
        noted.set()
        return event

    with structlog.testing.capture_logs(processors=[note]) as lines:
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            await slow.called.wait()
            writer.transport.abort()
            await noted.wait()

    assert [line["status"] for line in lines] == [499]
    assert counted("GET", "/slow", 499) == 1


async def test_of_a_stream_only_the_time_to_its_first_byte_is_measured(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([100.0, 101.5])
    monkeypatch.setattr("voyagent.http.middleware.perf_counter", lambda: next(moments))
    streaming = Streaming()
    client = await serve([Route("GET", "/long", streaming.stream, PUBLIC)])
    task = asyncio.ensure_future(client.send("GET", "/long"))
    async with asyncio.timeout(5):
        await streaming.called.wait()
        streaming.left.set()
        assert (await task).raw == b"first"

    assert seconds("/long", "count") == 1
    assert seconds("/long") == 1.5


async def test_r18_the_log_has_the_template_and_never_the_query(table: Client) -> None:
    with structlog.testing.capture_logs() as lines:
        await table.send("GET", "/refuse/404?token=secret-one")
        await table.send("GET", "/nope/secret-two?token=secret-three")

    assert [line["path"] for line in lines] == ["/refuse/{what}", "unmatched"]
    assert [line["status"] for line in lines] == [404, 404]
    assert "secret" not in repr(lines)


@pytest.mark.parametrize("what", sorted(REFUSALS))
async def test_the_access_line_has_the_client_and_what_a_refusal_was_told_as(table: Client, what: str) -> None:
    refusal = REFUSALS[what]
    with structlog.testing.capture_logs() as lines:
        await table.send("GET", f"/refuse/{what}")
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["client"] == "127.0.0.1"
    assert line["code"] == (refusal.code if isinstance(refusal, Refusal) else "internal_error")


async def test_behind_a_trusted_proxy_the_access_line_has_whom_it_speaks_for(serve: Serve) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    for trusted, told in (("127.0.0.1", "203.0.113.9"), ("", "127.0.0.1")):
        client = await serve([Route("GET", "/hello", hello, PUBLIC)], trusted_proxies=trusted)
        with structlog.testing.capture_logs() as lines:
            await client.send("GET", "/hello", headers=forwarded)
        (line,) = [line for line in lines if line["event"] == "request"]
        assert line["client"] == told
        assert "code" not in line


async def test_r55_the_log_names_only_people_whose_bearer_was_verified(table: Client) -> None:
    scopes: list[log.Scope] = []

    def scope(_logger: Any, _method: str, event: Any) -> Any:
        scopes.append(log.SCOPE.get())
        return event

    with structlog.testing.capture_logs(processors=[scope]) as lines:
        await table.send("GET", "/mine", who="agent", headers={"X-Request-ID": "known"})
        await table.send("GET", "/mine", who="forged", headers={"X-Voyagent-Tenant": "another"})

    known = table.accounts.bearers["agent"]
    assert lines[0]["user"] == known.user_id
    assert "user" not in lines[1]
    assert scopes[0] == log.Scope("known", known.tenant_id)
    assert scopes[1].tenant is None


@pytest.mark.parametrize(("level", "written"), [("info", [503]), ("debug", [200, 503])])
async def test_what_machines_ask_all_day_is_not_in_the_log_unless_it_fails(
    serve: Serve, level: str, written: list[int]
) -> None:
    client = await serve(log_level=level)

    with structlog.testing.capture_logs() as lines:
        await client.send("GET", "/health")
        await client.send("GET", "/health/db")

    assert [line["status"] for line in lines] == written
