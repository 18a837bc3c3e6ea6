"""Watching with a ticket in the address, as a browser's ``EventSource`` does (business 2.7)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from voyagent.actors.domain.ids import uuid7

if TYPE_CHECKING:
    from tests.service.conftest import Person, Running

NOBODY = (401, {"detail": "unauthorized"})


async def ticket_of(person: Person, session: str, **more: Any) -> str:
    status, body = await person.call("POST", f"/chat/sessions/{session}/ticket", **more)
    assert status == 201, body
    assert set(body) == {"ticket", "expires_at"}
    left = datetime.fromisoformat(body["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(minutes=60)
    return str(body["ticket"])


async def watch(running: Running, session: str, ticket: str, query: str = "") -> Any:
    return await running.http.get(f"{running.url}/chat/sessions/{session}/events?ticket={ticket}{query}")


async def outcome(running: Running, session: str, ticket: str) -> tuple[int, Any]:
    async with await watch(running, session, ticket, "&follow=0&last_event_id=0") as response:
        if response.status != 200:
            return response.status, await response.json()
        return 200, await response.read()


async def test_a_ticket_lets_any_role_watch_this_session_without_a_header_and_nothing_else(
    asha: Person, running: Running, member: Any, capfd: Any
) -> None:
    session, other = await asha.session(), await asha.session()
    said = await asha.say(session, "hello")
    await asha.say(other, "hello")
    viewer = await member(asha, "viewer")
    ticket = await ticket_of(viewer, session)
    status, body = await outcome(running, session, ticket)
    assert (status, body.count(b"event: agent_event")) == (200, len(said))
    assert (await outcome(running, session.upper(), ticket))[0] == 200
    for where in (other, uuid7(), "x"):
        assert await outcome(running, where, ticket) == NOBODY
    for bad in ("", "x", asha.token):
        assert await outcome(running, session, bad) == NOBODY
    async with await watch(running, session, f"{ticket}&ticket=x") as response:
        assert response.status == 401
    as_bearer = {"Authorization": f"Bearer {ticket}"}
    assert await viewer.call("GET", "/auth/me", headers=as_bearer) == NOBODY
    async with running.http.get(f"{running.url}/chat/sessions/{session}?ticket={ticket}") as response:
        assert response.status == 401
    written = capfd.readouterr()
    assert ticket not in written.out + written.err
    assert ticket.rpartition(".")[2] not in written.out + written.err


async def test_a_ticket_and_its_streams_end_with_the_sign_in_behind_it(asha: Person, running: Running) -> None:
    session = await asha.session()
    await asha.say(session, "hello")
    ticket = await ticket_of(asha, session)
    stream = await watch(running, session, ticket)
    assert stream.status == 200
    assert (await asha.call("POST", "/auth/sign-out"))[0] == 204
    async with asyncio.timeout(1.5):
        rest = await stream.read()
    assert b'"error_message":"unauthorized"' in rest
    assert await outcome(running, session, ticket) == NOBODY


async def test_a_ticket_of_a_key_ends_with_the_key_alone(asha: Person, running: Running) -> None:
    session = await asha.session()
    await asha.say(session, "hello")
    status, made = await asha.call("POST", "/auth/api-keys", json={"name": "board"})
    assert status == 201
    ticket = await ticket_of(asha, session, headers={"Authorization": f"Bearer {made['key']}"})
    stream = await watch(running, session, ticket)
    assert (await asha.call("POST", f"/auth/api-keys/{made['api_key']['id']}/revoke"))[0] == 204
    async with asyncio.timeout(1.5):
        await stream.read()
    assert await outcome(running, session, ticket) == NOBODY
    assert (await outcome(running, session, await ticket_of(asha, session)))[0] == 200


async def test_a_ticket_is_for_sessions_of_the_own_agency(asha: Person, running: Running) -> None:
    session, outsider = await asha.session(), await running.sign_up()
    for person, where in ((outsider, session), (asha, uuid7()), (asha, "x")):
        status, body = await person.call("POST", f"/chat/sessions/{where}/ticket")
        assert (status, body) == (404, {"detail": "session_not_found"})
    async with running.http.post(f"{running.url}/chat/sessions/{session}/ticket") as response:
        assert response.status == 401
