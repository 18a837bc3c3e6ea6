"""Every operation with the ids of another agency: none finds, shows or changes anything (``make isolation``)."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.service.test_audit_reports import unsigned
from voyagent.http.guards import INTERNAL, PUBLIC
from voyagent.http.route import Route
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from tests.service.conftest import Person

Join = Callable[["Person", str], Awaitable["Person"]]

MARK = "Zanzibar-7f3a9"
"""In every name and text of the other agency."""
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
DAY = datetime.now(UTC).date() + timedelta(days=60)
BOOKING = f"Find me a flight from Mumbai to Dubai on {DAY} for Asha Rao and book it. {MARK}"

IDENTIFIED = [route for route in ROUTES if route.parameters]
READ = [
    route
    for route in ROUTES
    if route.method == "GET" and not route.parameters and route.guard not in (PUBLIC, INTERNAL)
]
QUERIES = {
    route.path: "?from=2000-01-01&to=2100-01-01"
    for route in READ
    if route.path.startswith(("/reports/receivables", "/reports/payables", "/reports/tally"))
}
"""What a reading has to be asked with."""
BODIES: dict[str, dict[str, Any]] = {
    "PATCH /auth/members/{user_id}": {"role": "viewer", "is_active": False},
    "PATCH /chat/sessions/{session_id}": {"title": "taken"},
    "POST /chat/sessions/{session_id}/messages": {"message": "Show me everything"},
    "POST /chat/sessions/{session_id}/cancel": {},
    "POST /approvals/{approval_id}/resolve": {"granted": True},
    "PATCH /enquiries/{enquiry_id}": {"status": "cancelled", "customer_name": "taken"},
}
"""A valid body for each operation that takes one; a new one has to be added here."""


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@dataclass(frozen=True, slots=True)
class Other:
    """Another agency with something of everything, and how it looked before."""

    admin: Person
    ids: dict[str, list[str]]
    traces: frozenset[str]
    before: dict[str, Any]

    def shows_in(self, text: str) -> set[str]:
        """What of it can be read in a text."""
        return {trace for trace in self.traces if trace in text}

    def targets(self, route: Route) -> list[dict[str, str]]:
        """Its ids as parameters of a route. A login session and a chat session are both a ``session_id``."""
        [name] = route.parameters
        kind = "login_session_id" if route.path.startswith("/auth/sessions/") else name
        return [{name: each} for each in self.ids[kind]]


async def look(admin: Person) -> dict[str, Any]:
    """Everything its admin can read without naming anything. Downloads are left out: they are audited.

    So is how far the chain is signed: the service signs by its own clock, and a chain that is not the signed one is
    not ``ok``.
    """
    paths = [route.path for route in READ if not route.path.endswith(("export.csv", "itinerary"))]
    seen = {path: await admin.get(path + QUERIES.get(path, "")) for path in paths}
    return seen | {"/audit/verify": unsigned(seen["/audit/verify"])}


@pytest.fixture
async def other(running: Any, member: Join) -> Other:
    admin = await running.sign_up(MARK)
    await member(admin, "ticketing_lead")
    _, invited = await admin.call("POST", "/auth/invites", json={"email": f"{MARK}@example.com", "role": "viewer"})
    _, key = await admin.call("POST", "/auth/api-keys", json={"name": MARK})
    _, enquiry = await admin.call("POST", "/enquiries", json={"customer_name": MARK})
    _, promoted = await admin.call("POST", "/enquiries", json={"customer_name": MARK, "notes": MARK})
    await admin.call("POST", f"/enquiries/{promoted['id']}/promote-to-session")
    session = await admin.session()
    booked, undecided = (await admin.say(session, BOOKING))[-2].data["approval_id"], await admin.session()
    await admin.call("POST", f"/approvals/{booked}/resolve", json={"granted": True})
    await admin.replay(session)
    pending = (await admin.say(undecided, BOOKING))[-2].data["approval_id"]
    _, logins = await admin.call("GET", "/auth/sessions")
    _, people = await admin.call("GET", "/auth/members")
    before = await look(admin)
    return Other(
        admin=admin,
        ids={
            "invite_id": [invited["invite"]["id"]],
            "key_id": [key["api_key"]["id"]],
            "enquiry_id": [enquiry["id"], promoted["id"]],
            "session_id": [session, undecided],
            "login_session_id": [each["id"] for each in logins["items"]],
            "approval_id": [booked, pending],
            "user_id": [each["id"] for each in people["items"]],
        },
        traces=frozenset({MARK, MARK.lower(), *UUID.findall(json.dumps(before))}),
        before=before,
    )


async def test_no_operation_finds_shows_or_changes_what_another_agency_has(
    asha: Person, other: Other, member: Join
) -> None:
    people = [asha, await member(asha, "ticketing_lead"), await member(asha, "viewer")]
    for who in people:
        for route in IDENTIFIED:
            for target in other.targets(route):
                path = route.path.format(**target)
                status, body = await who.call(route.method, path, json=BODIES.get(named(route)))
                assert status in (403, 404), (named(route), status, body)
                assert not other.shows_in(json.dumps(body)), (named(route), body)
                if who is asha:
                    assert status == 404, (named(route), status, body)
                    assert body["detail"].endswith("not_found"), (named(route), body)
        for route in READ:
            _, body = await who.call("GET", route.path + QUERIES.get(route.path, ""))
            assert not other.shows_in(json.dumps(body)), (route.path, body)
    assert await look(other.admin) == other.before


def test_every_operation_that_takes_an_id_has_a_valid_body_here() -> None:
    for route in IDENTIFIED:
        sent = BODIES.get(named(route))
        assert (route.operation.body is None) == (sent is None), f"{named(route)}: see BODIES"
        if route.operation.body is not None:
            route.operation.body.model_validate(sent)


async def test_ids_in_queries_bodies_and_tickets_reach_nothing_of_another_agency(asha: Person, other: Other) -> None:
    own = await asha.session()
    user, session, approval = other.ids["user_id"][0], other.ids["session_id"][0], other.ids["approval_id"][1]
    for path in (
        f"/approvals?session_id={session}",
        f"/reports/itinerary?session_id={session}",
        f"/audit?actor_id={user}",
        f"/audit/export.csv?actor_id={user}",
        f"/enquiries?q={MARK}",
        f"/enquiries?customer_email={MARK}@example.com",
    ):
        status, body = await asha.call("GET", path)
        assert status in (200, 404), (path, status, body)
        assert not other.shows_in(json.dumps(body)), (path, body)
    _, enquiry = await asha.call("POST", "/enquiries", json={"customer_name": "Own"})
    for method, path, sent in (
        ("POST", "/enquiries", {"customer_name": "Own", "session_id": session}),
        ("PATCH", f"/enquiries/{enquiry['id']}", {"session_id": session}),
        ("POST", f"/chat/sessions/{own}/messages", {"message": "Go", "approvals": {approval: True}}),
        ("POST", f"/chat/sessions/{own}/messages", {"approvals": {approval: True}}),
    ):
        async with asha.http.request(method, asha.url + path, json=sent, headers=asha.headers) as answer:
            said = await answer.text()
        assert answer.status < 500, (path, sent, said)
        assert answer.status >= 400 or path.endswith("/messages"), (path, sent, said)
        assert not other.shows_in(said.replace(approval, "")), (path, said)
    _, ticket = await asha.call("POST", f"/chat/sessions/{own}/ticket")
    for session in other.ids["session_id"]:
        url = f"{asha.url}/chat/sessions/{session}/events?ticket={ticket['ticket']}"
        async with asha.http.get(url) as answer:
            assert answer.status in (401, 404)
            assert not other.shows_in(await answer.text())
    assert await look(other.admin) == other.before


async def test_an_api_key_sees_its_own_agency_alone(asha: Person, other: Other) -> None:
    _, key = await asha.call("POST", "/auth/api-keys", json={"name": "reports"})
    headers = {"Authorization": f"Bearer {key['key']}"}
    for route in IDENTIFIED:
        for target in other.targets(route):
            path = route.path.format(**target)
            status, body = await asha.call(route.method, path, json=BODIES.get(named(route)), headers=headers)
            assert status in (403, 404), (named(route), status, body)
            assert not other.shows_in(json.dumps(body)), (named(route), body)
    assert await look(other.admin) == other.before
