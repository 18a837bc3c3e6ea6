"""Acts repeated under one key."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from voyagent.actors.domain.errors import Conflict, NotFound, Unprocessable
from voyagent.storage.engine.idempotency import Fresh, IdempotencyKey, Once, Replayed, Stored
from voyagent.storage.engine.operations import Command
from voyagent.storage.engine.pool import Connection, Engine

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Command[int]):
    """Its effect can be counted: it moves a figure of the agency's settings."""

    refused: bool = False

    async def run(self, db: Connection) -> int:
        number: int = await db.fetchval(
            "UPDATE tenant_settings SET daily_token_budget = daily_token_budget + 1 RETURNING daily_token_budget"
        )
        if self.refused:
            raise NotFound("approval_not_found")
        return number


@pytest.fixture
def key(world: Any) -> IdempotencyKey:
    return IdempotencyKey(
        tenant_id=world["tenants"]["id"],
        user_id=world["users"]["id"],
        route="POST /chat/sessions",
        key="k-1",
        body_hash=hashlib.sha256(b"{}").digest(),
    )


@pytest.fixture
def once() -> Callable[..., Once[int]]:
    def make(key: IdempotencyKey, now: datetime = NOW, *, refused: bool = False) -> Once[int]:
        return Once(
            tenant_id=key.tenant_id,
            key=key,
            command=Number(tenant_id=key.tenant_id, refused=refused),
            reply=lambda number: Stored(201, f'{{"number":{number}}}'.encode(), {"Location": f"/{number}"}),
            now=now,
        )

    return make


Make = Callable[..., Once[int]]


async def test_the_second_answer_is_the_first_and_nothing_is_done_again(
    engine: Engine, key: IdempotencyKey, once: Make
) -> None:
    first = await engine.run(once(key))
    assert isinstance(first, Fresh)
    again = await engine.run(once(key, NOW + timedelta(hours=23)))
    assert again == Replayed(first.answer)
    other = await engine.run(once(replace(key, key="k-2")))
    assert isinstance(other, Fresh)
    assert other.value == first.value + 1


async def test_another_body_under_the_key_is_refused(engine: Engine, key: IdempotencyKey, once: Make) -> None:
    await engine.run(once(key))
    with pytest.raises(Unprocessable, match="idempotency_key_reused"):
        await engine.run(once(replace(key, body_hash=b"\0" * 32)))


async def test_a_key_is_one_persons_on_one_route(
    engine: Engine, key: IdempotencyKey, once: Make, admin: Connection
) -> None:
    colleague = "0193f5a0-0000-7000-8000-0000000000cc"
    await admin.execute(
        "INSERT INTO users (id, tenant_id, email, created_at) VALUES ($1, $2, 'c@example.com', $3)",
        colleague,
        key.tenant_id,
        NOW,
    )
    scopes = (key, replace(key, user_id=colleague), replace(key, route="POST /enquiries"))
    assert [type(await engine.run(once(scope))) for scope in scopes] == [Fresh] * 3


async def test_a_refusal_frees_the_key(engine: Engine, key: IdempotencyKey, once: Make) -> None:
    with pytest.raises(NotFound):
        await engine.run(once(key, refused=True))
    assert isinstance(await engine.run(once(key)), Fresh)


async def test_after_a_day_the_key_is_free_again(engine: Engine, key: IdempotencyKey, once: Make) -> None:
    first = await engine.run(once(key))
    reply_later = await engine.run(once(replace(key, body_hash=b"\1" * 32), NOW + timedelta(hours=24)))
    assert isinstance(first, Fresh)
    assert isinstance(reply_later, Fresh)
    assert reply_later.value == first.value + 1
    with pytest.raises(Unprocessable):
        await engine.run(once(key, NOW + timedelta(hours=25)))


async def test_of_many_at_once_one_acts(engine: Engine, key: IdempotencyKey, once: Make) -> None:
    outcomes = await asyncio.gather(*(engine.run(once(key)) for _ in range(30)), return_exceptions=True)
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert kinds[Fresh] == 1
    assert kinds[Fresh] + kinds[Replayed] + kinds[Conflict] == 30
    assert {str(o) for o in outcomes if isinstance(o, Conflict)} <= {"idempotency_key_in_flight"}


async def test_while_the_first_is_under_way_the_second_is_told_so(
    engine: Engine, key: IdempotencyKey, once: Make
) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Number):
        async def run(self, db: Connection) -> int:
            inside.set()
            await go_on.wait()
            return await Number.run(self, db)

    slow = asyncio.ensure_future(engine.run(replace(once(key), command=Slow(tenant_id=key.tenant_id))))
    await inside.wait()
    with pytest.raises(Conflict, match="idempotency_key_in_flight"):
        await engine.run(once(key))
    go_on.set()
    assert isinstance(await slow, Fresh)
    assert isinstance(await engine.run(once(key)), Replayed)
