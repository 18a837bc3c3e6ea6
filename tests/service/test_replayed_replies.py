"""A request repeated under its ``Idempotency-Key`` gets the first response again, byte for byte."""

from __future__ import annotations

import json
from typing import Any

PASSWORD = "a long password 1"
REPLAYED = {"Idempotency-Replayed": "true"}


async def twice(person: Any, path: str, key: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of a request whose repetition differs by its one header."""
    status, headers, first = await person.raw("POST", path, key, body)
    assert REPLAYED.items().isdisjoint(headers.items())
    assert await person.raw("POST", path, key, body) == (status, {**headers, **REPLAYED}, first)
    return status, json.loads(first) if first else None


async def test_b17_every_idempotent_request_is_answered_twice_with_the_same_bytes(asha: Any, running: Any) -> None:
    status, session = await twice(asha, "/chat/sessions", "session")
    assert (status, [*session]) == (201, ["session_id"])
    status, made = await twice(asha, "/auth/api-keys", "key", {"name": "K\u00e4sse \u20ac", "expires_in_days": 3})
    assert (status, [*made]) == (201, ["key", "warning", "api_key"])
    assert await twice(asha, f"/auth/api-keys/{made['api_key']['id']}/revoke", "gone") == (204, None)
    status, invited = await twice(asha, "/auth/invites", "invite", {"email": "ravi@example.com", "role": "viewer"})
    assert (status, [*invited]) == (201, ["invite", "invite_link"])
    status, revoked = await twice(asha, f"/auth/invites/{invited['invite']['id']}/revoke", "no")
    assert (status, revoked["invite"]["status"]) == (200, "revoked")
    assert (await asha.call("POST", "/auth/sign-in", json={"email": asha.user["email"], "password": PASSWORD}))[
        0
    ] == 200
    other = next(each for each in (await asha.get("/auth/sessions"))["items"] if not each["current"])
    assert await twice(asha, f"/auth/sessions/{other['id']}/revoke", "bye") == (204, None)
