"""Whoever loses access loses the stream, within a second (business 3.6)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from voyagent.http.service import Service

from .shifted_clock import ShiftedClock

if TYPE_CHECKING:
    from tests.service.conftest import Make, Person, Running

WAYS = ["deactivated", "signed out", "signed out elsewhere", "password changed", "key revoked", "session deleted"]


async def lose(way: str, admin: Person, person: Person, key: Any, session: str) -> tuple[int, Any]:
    """Take access away from ``person``, or from the key."""
    match way:
        case "deactivated":
            return await admin.call("PATCH", f"/auth/members/{person.user['id']}", json={"is_active": False})
        case "signed out":
            return await person.call("POST", "/auth/sign-out")
        case "signed out elsewhere":
            (own,) = (await person.get("/auth/sessions"))["items"]
            return await person.call("POST", f"/auth/sessions/{own['id']}/revoke")
        case "password changed":
            body = {"current_password": "a long password 1", "new_password": "another long password 2"}
            return await person.call("POST", "/auth/change-password", json=body)
        case "key revoked":
            return await person.call("POST", f"/auth/api-keys/{key['api_key']['id']}/revoke")
        case _:
            return await admin.call("DELETE", f"/chat/sessions/{session}")


@pytest.mark.parametrize("way", WAYS)
async def test_b60_a_stream_ends_within_a_second_of_the_loss_of_access(
    way: str, asha: Person, running: Running, member: Any
) -> None:
    lead = await member(asha, "ticketing_lead")
    _, key = await lead.call("POST", "/auth/api-keys", json={"name": "board"})
    session = await asha.session()
    program = type(lead)(lead.http, lead.url, key["key"], lead.user)
    lost = await (program if way == "key revoked" else lead).watch(session)
    kept = await asha.watch(session)
    assert (await lose(way, asha, lead, key, session))[0] in {200, 204}
    async with asyncio.timeout(1.0):
        events = await lost.all()
    expected = "session_deleted" if way == "session deleted" else "unauthorized"
    assert [(event.id, event.data["error_message"]) for event in events] == [(None, expected)]
    if way != "session deleted":
        assert (await asha.say(session, "still here?"))[-1].kind == "final"
        await kept.until("final")
    kept.response.close()


async def test_b60_the_access_tokens_own_hour_ends_no_stream(
    settings_for: Make, rehearsal: Any, running_class: type[Running]
) -> None:
    settings, clock = settings_for(), ShiftedClock()
    rehearsal[0].reset()
    async with Service(settings, clock) as service, aiohttp.ClientSession() as http:
        running = running_class(service, rehearsal[0], http, settings)
        asha = await running.sign_up()
        session = await asha.session()
        stream = await asha.watch(session)
        clock.shift(3700)
        assert (await asha.call("GET", "/auth/me"))[0] == 401
        body = {"email": asha.user["email"], "password": "a long password 1"}
        async with http.post(f"{running.url}/auth/sign-in", json=body) as response:
            again = (await response.json())["access_token"]
        said = await type(asha)(http, asha.url, again, asha.user).say(session, "still here?")
        await stream.until("final")
        assert [event.raw for event in stream.events] == [event.raw for event in said]
        stream.response.close()
