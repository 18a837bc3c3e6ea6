"""Requests of every absurd shape and size: each gets a refusal with a reason, none a 500; none is carried out."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from voyagent.actors.accounts.invites import LookUpInvite
from voyagent.actors.accounts.throttling import Malformed
from voyagent.actors.domain.errors import NotFound
from voyagent.http.decode import LIMIT
from voyagent.http.guards import PUBLIC
from voyagent.http.route import SMALL_LIMIT
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from tests.http.conftest import Client

SHAPES: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "bench" / "shapes.py"))
SIZES = (1_000, SMALL_LIMIT - 200, SMALL_LIMIT + 5_000)
REFUSED = {400, 401, 404, 413, 414, 422, 431}


def _nothing(_message: object) -> None:
    raise NotFound("invite_not_found")


def refused(head: bytes, body: bytes) -> int:
    """The status of a refusal in our form."""
    status = int(head.split()[1])
    assert status in REFUSED, (head, body[:200])
    assert b"application/json" in head
    assert json.loads(body)["detail"]
    assert len(body) < 20_000
    return status


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES["BODIES"])
async def test_a_body_of_any_shape_is_refused_before_it_reaches_anybody(client: Client, shape: str, size: int) -> None:
    body = SHAPES["BODIES"][shape](size)
    status = refused(*await client.raw(SHAPES["post"]("/auth/sign-up", body)))

    assert (status == 413) == (len(body) > SMALL_LIMIT)
    assert [type(message) for message in client.accounts.asked] == [Malformed]


@pytest.mark.parametrize("size", [1_000, 7_000, 16_000, 40_000])
async def test_a_head_of_any_shape_is_answered_without_a_500(client: Client, size: int) -> None:
    client.accounts.answers[LookUpInvite] = _nothing
    for name, request in SHAPES["heads"](size):
        head, body = await client.raw(request)
        assert refused(head, body), name


def test_whoever_is_not_known_may_send_little() -> None:
    assert (SMALL_LIMIT, LIMIT) == (16 * 1024, 256 * 1024)
    assert {route.body_limit for route in ROUTES if route.operation.body is not None and route.guard is PUBLIC} == {
        SMALL_LIMIT
    }
    assert {route.body_limit for route in ROUTES if route.path.startswith("/auth/")} == {SMALL_LIMIT}
    assert max(route.body_limit for route in ROUTES) == LIMIT


@pytest.mark.parametrize(
    "path", sorted({route.path for route in ROUTES if route.operation.body and route.guard is PUBLIC})
)
async def test_r49_a_byte_more_than_the_route_takes_is_refused_unread(client: Client, path: str) -> None:
    head, body = await client.raw(SHAPES["post"](path, b" " * (SMALL_LIMIT + 1)))
    assert (head.split()[1], json.loads(body)) == (b"413", {"detail": "body_too_large"})
