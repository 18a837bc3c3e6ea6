"""The state of an actor changes in the task of the actor, while it handles a message, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.rehearsal import Gate, Turn
from voyagent.http.service import Service

from .state_watch import StateWatch, classes
from .test_approvals import ask_for_booking, resolve

PASSWORD = "a long password 1"


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> StateWatch:
    return StateWatch(monkeypatch)


@pytest.fixture
async def running(watch: StateWatch, settings_for: Any, rehearsal: Any, running_class: Any) -> AsyncIterator[Any]:
    """With throttling on, started when its state is watched already."""
    settings = settings_for(VOYAGENT_GUARD="on")
    rehearsal[0].reset()
    async with Service(settings) as service, aiohttp.ClientSession() as http:
        yield running_class(service, rehearsal[0], http, settings)


async def sign_in(running: Any, email: str, password: str = PASSWORD) -> tuple[int, Any]:
    body = {"email": email, "password": password}
    async with running.http.post(f"{running.url}/auth/sign-in", json=body) as response:
        return response.status, await response.json()


async def test_no_state_of_a_session_is_written_outside_its_receive(asha: Any, running: Any, watch: StateWatch) -> None:
    session, events = await ask_for_booking(asha, running, times=2)
    first, second = (event.data["approval_id"] for event in events if event.kind == "approval_request")
    gate = Gate()
    running.rehearsal.play(Turn("slow", gate=gate), *[Turn("fine")] * 8)
    chat = await asha.post(session, {"message": "meanwhile"})
    await gate.waiting()
    queued = await asha.post(session, {"message": "later", "on_busy": "queue"}, **{"Idempotency-Key": "k"})
    urgent = await asha.post(session, {"message": "no", "on_busy": "interrupt", "approvals": {first: True}})
    await gate.open()
    for stream in (chat, queued, urgent):
        await stream.all()
    await resolve(asha, second, granted=False)
    await asha.replay(session)
    await asha.call("PATCH", f"/chat/sessions/{session}", json={"title": "Dubai"})
    assert (await asha.call("DELETE", f"/chat/sessions/{session}"))[0] == 204
    assert {
        "TurnScheduler.current",
        "TurnScheduler.turns",
        "LogWriter.last",
        "PendingMessage.storing",
        "MessageIntake._intakes",
        "Deletion._request",
        "Slot.ref",
        "SupplierActor.writes",
        "TenantActor.active_sessions",
        "RootActor.agencies",
    } <= watch.written
    assert sorted(watch.outside) == []


async def test_no_state_of_people_and_limits_is_written_outside_a_receive(
    asha: Any, running: Any, watch: StateWatch, member: Any
) -> None:
    email = asha.user["email"]
    status, key = await asha.call("POST", "/auth/api-keys", json={"name": "a key"})
    assert status == 201
    by_key = {"Authorization": f"Bearer {key['key']}"}
    for _ in range(2):
        async with running.http.get(f"{running.url}/auth/me", headers=by_key) as response:
            assert response.status == 200
    agent = await member(asha, "agent")
    assert (await agent.call("PATCH", "/tenant-settings", json={}))[0] == 403
    change = {"role": "viewer"}
    assert (await asha.call("PATCH", f"/auth/members/{agent.user['id']}", json=change))[0] == 200
    assert (await asha.call("PATCH", "/tenant-settings", json={"rate_limit_per_minute": 30}))[0] == 200
    wrong = [(await sign_in(running, email, "a wrong password 1"))[0] for _ in range(7)]
    assert wrong[0] == 401
    assert wrong[-1] == 429
    _, other = await sign_in(running, agent.user["email"])
    stream = await asha.watch(await asha.session())
    assert (await asha.call("POST", f"/auth/api-keys/{key['api_key']['id']}/revoke"))[0] == 204
    for token in (other["access_token"], asha.token):
        by_token = {"Authorization": f"Bearer {token}"}
        async with running.http.post(f"{running.url}/auth/sign-out", json={}, headers=by_token) as response:
            assert response.status == 204
    stream.response.close()
    assert (await asha.call("GET", "/auth/me"))[0] == 401
    assert {
        "SingleFlightCache._entries",
        "SingleFlightCache._reads",
        "ApiKeys._used",
        "DenialAudit._counts",
        "WriteBehind._pending",
        "WriteBehind._writing",
        "_Bucket.count",
    } <= watch.written
    assert sorted(watch.outside) == []


def test_the_parts_of_every_actor_are_watched() -> None:
    assert {"SessionActor", "AccountsActor", "KnownNetworks", "Slot", "Turn", "Run", "_Bucket"} <= {
        kind.__name__ for kind in classes()
    }
