"""Enquiries created and read by many at once: they share statements, and nobody can tell."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from voyagent.storage.audit_chain import Verify

from .enquiries import FULL, create

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

Join = Callable[["Person", str], Awaitable["Person"]]
END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'voyagent%'
   AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')
"""
"""All connections but the one of the lease: without that the agency would not be served."""


async def stored(admin: Admin) -> Counter[str]:
    return Counter(row[0] for row in await admin.db.fetch("SELECT customer_name FROM enquiries"))


async def is_chain_whole(running: Running, who: Person) -> bool:
    verified = await running.service.system.storage.ask(Verify(tenant_id=who.user["tenant_id"]))
    return bool(verified.ok)


async def test_each_of_many_has_its_own_answer_and_the_one_that_is_refused_its_own_refusal(
    asha: Person, member: Join, running: Running, admin: Admin
) -> None:
    ravi = await member(asha, "agent")
    other = await running.sign_up("other")
    people = [asha, ravi, other]

    async def post(n: int) -> tuple[int, Any]:
        body = {**FULL, "customer_name": f"N {n}", "session_id": str(uuid4()) if n % 20 == 7 else None}
        return await people[n % 3].call("POST", "/enquiries", json=body)

    answers = await asyncio.gather(*map(post, range(96)))
    for n, (status, body) in enumerate(answers):
        if n % 20 == 7:
            assert (status, body) == (422, {"detail": "session_not_found"})
        else:
            assert (status, body["customer_name"], body["session_id"]) == (201, f"N {n}", None)
            assert body["created_by_user_id"] == people[n % 3].user["id"]
            assert body["tenant_id"] == people[n % 3].user["tenant_id"]
    assert await stored(admin) == Counter(f"N {n}" for n in range(96) if n % 20 != 7)
    assert (await admin.audit_kinds()).count("enquiry.created") == 91
    assert await is_chain_whole(running, asha)
    assert await is_chain_whole(running, other)


async def test_whoever_was_told_of_an_enquiry_finds_it_on_the_page_however_many_read_it(asha: Person) -> None:
    done = False

    async def keep_reading() -> None:
        while not done:
            await asha.get("/enquiries?limit=5")

    readers = [asyncio.create_task(keep_reading()) for _ in range(8)]
    try:
        for _ in range(40):
            made = await create(asha)
            page = await asha.get("/enquiries?limit=5")
            assert page["items"][0]["id"] == made["id"]
    finally:
        done = True
        await asyncio.gather(*readers)


async def test_connections_that_break_lose_none_that_was_acknowledged_and_store_none_twice(
    asha: Person, running: Running, admin: Admin
) -> None:
    acknowledged: list[str] = []

    async def post(name: str) -> None:
        status, body = await asha.call("POST", "/enquiries", json={"customer_name": name})
        assert status in {201, 503}, body
        if status == 201:
            acknowledged.append(name)

    for attempt in range(10):
        posts = [asyncio.create_task(post(f"{attempt}-{n}")) for n in range(32)]
        await asyncio.sleep(0.004 * attempt)
        await admin.db.execute(END)
        await asyncio.gather(*posts)
    found = await stored(admin)
    assert acknowledged
    assert not [name for name in acknowledged if found[name] != 1]
    assert set(found.values()) == {1}
    assert (await admin.audit_kinds()).count("enquiry.created") == len(found)
    assert await is_chain_whole(running, asha)
