"""The order of checks, and the key that makes a repeated act one act."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import until
from voyagent.actors.domain.identity import Role
from voyagent.actors.runtime.actor import MailboxFull
from voyagent.http.decode import LIMIT
from voyagent.http.guards import WRITER
from voyagent.http.operation import operation
from voyagent.http.request_context import Answer, RequestContext
from voyagent.http.route import Route
from voyagent.http.routes import ROUTES
from voyagent.http.schemas.shared import Body, Paging
from voyagent.storage.engine.idempotency import IdempotencyKey

if TYPE_CHECKING:
    from tests.http.conftest import Client, Serve

JSON = {"Content-Type": "application/json"}
SESSION = "019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b"


class Named(Body):
    name: str


class Keeper:
    """A handler that keeps its calls."""

    def __init__(self) -> None:
        self.calls: list[RequestContext] = []

    async def act(self, call: RequestContext) -> Answer:
        """Do it."""
        self.calls.append(call)
        call.id("id", missing="thing_not_found")
        return Answer(b"{}")

    @property
    def key(self) -> IdempotencyKey | None:
        return self.calls[-1].idempotency


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
async def acting(serve: Serve, keeper: Keeper) -> Client:
    acts, acts_alone = operation(body=Named, query=Paging), operation(body=Named)
    return await serve(
        [
            Route("POST", "/things/{id}/act", acts(keeper.act), WRITER, idempotent=True),
            Route("POST", "/things/{id}/other", acts_alone(keeper.act), WRITER),
        ]
    )


def shape_of(answer: Any) -> Any:
    detail = answer.detail
    return [item["type"] for item in detail] if isinstance(detail, list) else detail


async def test_each_check_comes_before_the_next(acting: Client) -> None:
    """Everything is wrong with the first request; each next one has mended the fault that was told."""
    known = acting.accounts.bearers
    known["bad"] = replace(known["viewer"], email_verified=False)
    known["verified"] = known["viewer"]
    big, broken, wrong, right = b"{" * (LIMIT + 1), b"{", b"{}", b'{"name": "a"}'
    bad_key = {"Idempotency-Key": "\t"}
    path = "/things/no-id/act"
    asked: list[tuple[str, str, str | None, bytes, dict[str, str]]] = [
        ("GET", "/nope", None, b"", {}),
        ("GET", path, None, b"", {}),
        ("POST", f"{path}?limit=0", None, big, {}),
        ("POST", f"{path}?limit=0", "bad", big, {}),
        ("POST", f"{path}?limit=0", "viewer", big, {}),
        ("POST", f"{path}?limit=0", "agent", big, JSON),
        ("POST", f"{path}?limit=0", "agent", broken, {**JSON, **bad_key}),
        ("POST", f"{path}?limit=0", "agent", wrong, {**JSON, **bad_key}),
        ("POST", path, "agent", right, {**JSON, "Idempotency-Key": "x" * 256}),
        ("POST", path, "agent", right, JSON),
        ("POST", f"/things/{SESSION}/act", "agent", right, JSON),
    ]

    answers = []
    for method, target, who, data, headers in asked:
        sent: Any = io.BytesIO(data) if len(data) > LIMIT else data
        answers.append(await acting.send(method, target, who=who, data=sent, headers=headers))

    assert [(answer.status, shape_of(answer)) for answer in answers[:-1]] == [
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (401, "unauthorized"),
        (403, "email_not_verified"),
        (403, "forbidden_role"),
        (413, "body_too_large"),
        (422, ["json_invalid"]),
        (422, ["greater_than_equal", "missing"]),
        (422, "invalid_idempotency_key"),
        (404, "thing_not_found"),
    ]
    assert answers[-1].status == 200


async def send(client: Client, key: str | None, body: bytes = b'{"name": "a"}', **more: Any) -> Any:
    headers = dict(JSON) if key is None else {**JSON, "Idempotency-Key": key}
    return await client.send("POST", f"/things/{SESSION}/act", who="agent", data=body, headers=headers, **more)


@pytest.mark.parametrize("key", ["a", "x" * 255, "with blanks ~!", "019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b"])
async def test_a_key_is_scoped_to_agency_person_route_and_body(acting: Client, keeper: Keeper, key: str) -> None:
    assert (await send(acting, key)).status == 200

    known = acting.accounts.bearers["agent"]
    assert keeper.key == IdempotencyKey(
        tenant_id=known.tenant_id,
        user_id=known.user_id,
        route=f"POST /things/{SESSION}/act",
        key=key,
        body_hash=hashlib.sha256(b'{"name": "a"}').digest(),
    )


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "caf\u00e9"])
async def test_a_key_that_is_none_is_refused(acting: Client, keeper: Keeper, key: str) -> None:
    answer = await send(acting, key)

    assert (answer.status, answer.detail) == (422, "invalid_idempotency_key")
    assert keeper.calls == []


async def test_an_id_is_the_same_id_in_any_case(acting: Client, keeper: Keeper) -> None:
    headers = {**JSON, "Idempotency-Key": "k"}
    await acting.send("POST", f"/things/{SESSION.upper()}/act", who="agent", data=b'{"name": "a"}', headers=headers)

    assert keeper.key is not None
    assert keeper.key.route == f"POST /things/{SESSION}/act"


async def test_without_the_header_there_is_no_key(acting: Client, keeper: Keeper) -> None:
    await send(acting, None)

    assert keeper.key is None


async def test_routes_that_do_not_honour_the_header_ignore_it(acting: Client, keeper: Keeper) -> None:
    headers = {**JSON, "Idempotency-Key": "x" * 300}
    answer = await acting.send("POST", f"/things/{SESSION}/other", who="agent", data=b'{"name": "a"}', headers=headers)

    assert answer.status == 200
    assert keeper.key is None


async def test_an_audit_that_cannot_be_told_does_not_soften_the_refusal(
    acting: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_message: object) -> None:
        raise MailboxFull

    monkeypatch.setattr(type(acting.accounts), "tell", lambda _self, message: full(message))

    answer = await acting.send("POST", f"/things/{SESSION}/act", who="viewer")

    assert (answer.status, answer.detail) == (403, "forbidden_role")


NASTY = {
    "deep nesting": ("[" * 200 + "]" * 200, "json_invalid"),
    "NaN": ("NaN", "json_invalid"),
    "infinity": ("-Infinity", "json_invalid"),
    "endless integer": ("9" * 5000, "json_invalid"),
    "absurd exponent": ("1e999999999", "json_invalid"),
    "NUL": ('"a\\u0000b"', "value_error"),
    "lone surrogate": ('"a\\ud800b"', "value_error"),
    "huge integer": ("9" * 400, None),
    "wrong kind": ("[1, {}]", None),
}
FIELDS = [
    (route, field)
    for route in ROUTES
    if route.operation.body is not None
    for field in (list(route.operation.body.model_fields) or ["unknown"])
]


@pytest.mark.parametrize(("route", "field"), FIELDS, ids=lambda value: getattr(value, "path", value))
async def test_r49_b23_nothing_nasty_in_any_field_of_any_operation_crashes(
    client: Client, route: Route, field: str
) -> None:
    path = route.path.format(**dict.fromkeys(route.parameters, SESSION))
    for name, (value, kind) in NASTY.items():
        sent = f'{{"{field}": {value}}}'.encode()

        answer = await client.send(route.method, path, who="agency_admin", data=sent, headers=JSON)

        assert answer.status == 422, name
        kinds = [item["type"] for item in answer.detail]
        assert kind is None or kind in kinds, name
        assert "ctx" not in answer.detail[0] or json.dumps(answer.detail[0]["ctx"])


@pytest.mark.parametrize(
    ("lost", "status", "code"),
    [(None, 401, "unauthorized"), (Role.VIEWER, 403, "forbidden_role")],
    ids=["switched off", "demoted"],
)
async def test_r15_who_loses_their_access_while_their_body_arrives_is_refused(
    acting: Client, keeper: Keeper, lost: Role | None, status: int, code: str
) -> None:
    reader, writer = await asyncio.open_connection(acting.host, acting.port)
    writer.write(
        f"POST /things/{SESSION}/act HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer agent\r\n"
        "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n".encode()
    )
    async with asyncio.timeout(5):
        await until(lambda: bool(acting.accounts.asked))
        if lost is None:
            del acting.accounts.bearers["agent"]
        else:
            acting.accounts.bearers["agent"] = replace(acting.accounts.bearers["agent"], role=lost)
        writer.write(b'{"name": "a"}')
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()

    assert (int(head.split()[1]), json.loads(body)) == (status, {"detail": code})
    assert keeper.calls == []
    assert len(acting.accounts.told) == (lost is not None)


async def test_a_body_that_is_there_already_is_no_reason_to_ask_again_whose_it_is(acting: Client) -> None:
    await acting.raw(
        f"POST /things/{SESSION}/act HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer agent\r\n"
        'Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"name": "a"}'.encode()
    )

    assert len(acting.accounts.asked) == 1
