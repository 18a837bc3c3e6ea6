"""Whoever loses access loses the stream, within a second (business 3.6)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.service.conftest import Person, Running

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
