"""Who may call what: every line of the table, every kind of caller."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.manual_clock import ManualClock
from voyagent.actors.accounts.actor import Authenticate, Denied
from voyagent.http.guards import ADMIN, DECIDER, MYSELF, PERSON, PERSON_ADMIN, PERSON_WRITER, PUBLIC, READER, WRITER
from voyagent.http.health import DATABASE, Health
from voyagent.http.request_context import Answer, RequestContext
from voyagent.http.route import Route
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from tests.http.conftest import Client, Serve

PROTECTED = [route for route in ROUTES if route.guard.needs_bearer]
BUSINESS = [route for route in PROTECTED if not route.path.startswith("/auth/")]
WRITES = [route for route in BUSINESS if route.method != "GET" and not route.path.endswith("/ticket")]
FOR_PEOPLE = [
    route
    for route in PROTECTED
    if (route.path.startswith("/auth/") and route.path != "/auth/me") or route.path.endswith("/resolve")
]


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


async def fine(_call: RequestContext) -> Answer:
    return Answer(b"{}")


@pytest.mark.parametrize("route", PROTECTED, ids=name)
async def test_r61_without_a_bearer_a_protected_route_is_401_whatever_is_sent(client: Client, route: Route) -> None:
    answer = await client.send(route.method, route.path, data=b"\xff" * 100)

    assert (answer.status, answer.detail) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.accounts.asked == []


@pytest.mark.parametrize("route", WRITES, ids=name)
async def test_r41_b29_a_viewer_writes_nowhere(client: Client, route: Route) -> None:
    answer = await client.send(route.method, route.path, who="viewer")

    assert (answer.status, answer.detail) == (403, "forbidden_role")


@pytest.mark.parametrize("route", FOR_PEOPLE, ids=name)
async def test_r38_b59_where_a_person_is_asked_for_an_api_key_is_refused(client: Client, route: Route) -> None:
    answer = await client.send(route.method, route.path, who="key")

    assert (answer.status, answer.detail) == (403, "api_key_not_allowed")


@pytest.mark.parametrize("route", BUSINESS, ids=name)
async def test_r26_an_unverified_person_reaches_auth_only(client: Client, route: Route) -> None:
    answer = await client.send(route.method, route.path, who="unverified")

    assert (answer.status, answer.detail) == (403, "email_not_verified")


async def test_r26_an_unverified_person_and_a_key_read_who_they_are(client: Client) -> None:
    for who in ("unverified", "key", "viewer"):
        assert (await client.send("GET", "/auth/me", who=who)).status == 200


async def test_no_gate_exists_where_verification_is_skipped(serve: Serve) -> None:
    client = await serve([Route("GET", "/x", fine, READER)], auth_skip_email_verification=True)

    assert (await client.send("GET", "/x", who="unverified")).status == 200


@pytest.mark.parametrize(
    ("guard", "welcome"),
    [
        (PUBLIC, "viewer agent ticketing_lead accounting_lead agency_admin key unverified nobody"),
        (MYSELF, "viewer agent ticketing_lead accounting_lead agency_admin key unverified"),
        (PERSON, "viewer agent ticketing_lead accounting_lead agency_admin unverified"),
        (PERSON_WRITER, "agent ticketing_lead accounting_lead agency_admin unverified"),
        (PERSON_ADMIN, "agency_admin unverified"),
        (READER, "viewer agent ticketing_lead accounting_lead agency_admin key"),
        (WRITER, "agent ticketing_lead accounting_lead agency_admin key"),
        (ADMIN, "agency_admin key"),
        (DECIDER, "agent ticketing_lead accounting_lead agency_admin"),
    ],
)
async def test_each_guard_lets_in_whom_it_names_and_nobody_else(serve: Serve, guard: object, welcome: str) -> None:
    client = await serve([Route("POST", "/x", fine, guard)])
    everybody = ["viewer", "agent", "ticketing_lead", "accounting_lead", "agency_admin", "key", "unverified", "nobody"]

    let_in = [who for who in everybody if (await client.send("POST", "/x", who=who)).status == 200]

    assert sorted(let_in) == sorted(welcome.split())


async def test_the_refusals_come_in_order_key_then_address_then_role(serve: Serve) -> None:
    client = await serve([Route("POST", "/x", fine, DECIDER)])
    known = client.accounts.bearers
    known["three"] = replace(known["viewer"], api_key_id="k", email_verified=False)
    known["two"] = replace(known["viewer"], email_verified=False)

    details = [(await client.send("POST", "/x", who=who)).detail for who in ("three", "two", "viewer")]

    assert details == ["api_key_not_allowed", "email_not_verified", "forbidden_role"]


@pytest.mark.parametrize(
    "header",
    ["bearer agent", "BEARER   agent  ", "Bearer\tagent", "  Bearer agent"],
)
async def test_the_scheme_is_read_in_any_case_with_any_run_of_blanks(client: Client, header: str) -> None:
    assert (await client.send("GET", "/auth/me", headers={"Authorization": header})).status == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic agent", "agent", "Beareragent", "Bearer a\u00e9"])
async def test_anything_else_is_nobody_and_asks_nobody(client: Client, header: str) -> None:
    answer = await client.send("GET", "/auth/me", headers={"Authorization": header})

    assert (answer.status, answer.detail) == (401, "unauthorized")
    assert client.accounts.asked == []


async def test_accounts_learn_for_which_request_a_bearer_was_refused(client: Client) -> None:
    await client.send("GET", "/chat/sessions/some-id", who="nobody", headers={"X-Request-ID": "r-1", "User-Agent": "t"})

    [asked] = client.accounts.asked
    assert isinstance(asked, Authenticate)
    assert asked.request is not None
    assert (asked.request.method, asked.request.path) == ("GET", "/chat/sessions/{session_id}")
    assert (asked.request.origin.request_id, asked.request.origin.ip, asked.request.origin.user_agent) == (
        "r-1",
        "127.0.0.1",
        "t",
    )


async def test_b38_a_refused_person_is_told_to_accounts_for_the_audit(client: Client) -> None:
    await client.send("POST", "/approvals/ap-1/resolve", who="key")

    [told] = client.accounts.told
    assert isinstance(told, Denied)
    assert (told.status, told.code, told.request.path) == (
        403,
        "api_key_not_allowed",
        "/approvals/{approval_id}/resolve",
    )
    assert told.request.origin.via == "api_key"
    assert told.request.origin.api_key_id == told.principal.api_key_id


async def test_an_unknown_caller_is_told_to_nobody(client: Client) -> None:
    await client.send("GET", "/auth/me", who="nobody")

    assert client.accounts.told == []


async def test_r50_requests_at_once_to_a_node_that_owns_nothing_share_one_look_at_the_database(
    serve: Serve, clock: ManualClock
) -> None:
    looks: list[int] = []

    async def look() -> bool:
        looks.append(1)
        return True

    health = Health(clock, process_status=lambda: "ok", required={DATABASE: look})
    client = await serve(health=health, owns=False)

    answers = await asyncio.gather(*(client.send("GET", "/tenant-settings", who="agent") for _ in range(20)))

    assert {(answer.status, answer.detail) for answer in answers} == {(503, "not_ready")}
    assert len(looks) == 1
    assert client.storage.asked == []


async def test_what_was_seen_of_the_database_before_the_shards_were_lost_does_not_count(
    serve: Serve, clock: ManualClock
) -> None:
    looks = [True, False]

    async def look() -> bool:
        return looks.pop(0)

    health = Health(clock, process_status=lambda: "ok", required={DATABASE: look})
    assert await health.works(DATABASE)
    await clock.advance(0.1)
    client = await serve(health=health, owns=False, lost_at=clock.monotonic())

    answers = [await client.send("GET", "/tenant-settings", who="agent") for _ in range(2)]

    assert {(answer.status, answer.detail) for answer in answers} == {(503, "storage_unavailable")}
    assert looks == []


async def test_a_node_that_owns_nothing_and_has_no_database_says_so(serve: Serve) -> None:
    answer = await (await serve(owns=False)).send("GET", "/tenant-settings", who="agent")

    assert (answer.status, answer.detail) == (503, "storage_unavailable")
