"""Acts repeated under one key."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.waiting import Event
from voyagent.actors.domain.approvals import Approval
from voyagent.actors.domain.errors import Conflict, NotFound, Unprocessable
from voyagent.actors.domain.identity import Role
from voyagent.actors.domain.turns import Started
from voyagent.storage.accounts.api_keys import ApiKey, CreatedKey
from voyagent.storage.accounts.invites import Invite, Invited
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.idempotency import IdempotencyKey, IdempotentReply, Once, UnreadableReply, find, keep
from voyagent.storage.engine.operations import Command
from voyagent.storage.engine.pool import Engine
from voyagent.storage.engine.sealing import Sealing

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Never(Command[Any]):
    """It must not be executed."""

    async def run(self, db: Connection) -> Any:
        del db
        raise AssertionError("executed again")


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
            reply=int,
            now=now,
        )

    return make


Make = Callable[..., Once[int]]


async def test_the_second_answer_is_the_first_and_nothing_is_done_again(
    engine: Engine, key: IdempotencyKey, once: Make
) -> None:
    first = await engine.run(once(key))
    assert not first.replayed
    again = await engine.run(once(key, NOW + timedelta(hours=23)))
    assert again == IdempotentReply(first.value, replayed=True)
    other = await engine.run(once(replace(key, key="k-2")))
    assert other == IdempotentReply(first.value + 1)


async def test_without_a_key_a_command_is_executed_each_time(engine: Engine, key: IdempotencyKey, once: Make) -> None:
    plain = replace(once(key), key=None)
    first = await engine.run(plain)
    assert await engine.run(plain) == IdempotentReply(first.value + 1)


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
    assert [(await engine.run(once(scope))).replayed for scope in scopes] == [False] * 3


async def test_a_refusal_frees_the_key(engine: Engine, key: IdempotencyKey, once: Make) -> None:
    with pytest.raises(NotFound):
        await engine.run(once(key, refused=True))
    assert not (await engine.run(once(key))).replayed


async def test_after_a_day_the_key_is_free_again(engine: Engine, key: IdempotencyKey, once: Make) -> None:
    first = await engine.run(once(key))
    reply_later = await engine.run(once(replace(key, body_hash=b"\1" * 32), NOW + timedelta(hours=24)))
    assert (first.replayed, reply_later) == (False, IdempotentReply(first.value + 1))
    with pytest.raises(Unprocessable):
        await engine.run(once(key, NOW + timedelta(hours=25)))


async def test_of_many_at_once_one_acts(engine: Engine, key: IdempotencyKey, once: Make) -> None:
    outcomes = await asyncio.gather(*(engine.run(once(key)) for _ in range(30)), return_exceptions=True)
    replies = [outcome for outcome in outcomes if isinstance(outcome, IdempotentReply)]
    assert [reply.replayed for reply in replies].count(False) == 1
    assert len(replies) + sum(isinstance(outcome, Conflict) for outcome in outcomes) == 30
    assert {str(o) for o in outcomes if isinstance(o, Conflict)} <= {"idempotency_key_in_flight"}


async def test_while_the_first_is_under_way_the_second_is_told_so(
    engine: Engine, key: IdempotencyKey, once: Make
) -> None:
    inside, go_on = Event(), Event()

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
    assert not (await slow).replayed
    assert (await engine.run(once(key))).replayed


INVITE = Invite(
    id="i-1",
    tenant_id="t-1",
    email="ravi@example.com",
    role=Role.AGENT,
    status="pending",
    expires_at=NOW + timedelta(days=7, microseconds=1),
    created_at=NOW,
    accepted_at=None,
    revoked_at=NOW,
    invited_by_user_id="u-1",
)
KEY = ApiKey(
    id="k-1",
    name="till \u20ac",
    prefix="abcdefgh",
    scopes=("all",),
    created_at=NOW,
    expires_at=None,
    revoked_at=None,
    last_used_at=None,
)
APPROVAL = Approval(
    id="ap-1",
    session_id="s-1",
    turn_id="t-1",
    tool_call_id="c-1",
    tool_name="post_journal_entry",
    summary="Post it",
    requested_at=NOW,
    expires_at=NOW,
    status="granted",
    payload={"z": 1, "a": [1.5, 1e22, 12345678901234567890, None, True, {"\u00e9": "\u2028"}]},
    resolved_at=NOW,
    resolved_by_user_id="u-1",
    reason=None,
    approver_roles=("agency_admin",),
)


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (type(None), None),
        (str, "0193f5a0-0000-7000-8000-0000000000cc"),
        (CreatedKey, CreatedKey("vy_secret", KEY)),
        (Invited, Invited(INVITE, "https://voyagent.test/app/accept-invite?token=secret")),
        (Invite, INVITE),
        (Approval, APPROVAL),
        (Started, Started(("t-1", "t-2"), 41)),
        (Started, Started(("t-1",))),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_every_reply_is_read_back_as_it_was_stored(
    engine: Engine, key: IdempotencyKey, reply: type[Any], value: object
) -> None:
    sealing = Sealing({"k1": b"\1" * 32})
    sealed = replace(key, key="sealed")

    @dataclass(frozen=True, slots=True, kw_only=True)
    class KeepBoth(Command[None]):
        async def run(self, db: Connection) -> None:
            await keep(db, key, reply, value, NOW)
            await keep(db, sealed, reply, value, NOW, sealing)
            assert await find(db, key, reply, NOW) == IdempotentReply(value, replayed=True)
            assert await find(db, sealed, reply, NOW, sealing) == IdempotentReply(value, replayed=True)
            assert b"secret" not in await db.fetchval("SELECT reply FROM idempotency_keys WHERE key = 'sealed'")

    await engine.run(KeepBoth(tenant_id=key.tenant_id))


async def test_a_reply_of_another_release_is_not_read_and_not_told(
    engine: Engine, key: IdempotencyKey, admin: Connection
) -> None:
    """The command is not executed again either."""
    sealing = Sealing({"k1": b"\1" * 32})

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Keep(Command[None]):
        async def run(self, db: Connection) -> None:
            await keep(db, key, dict[str, str], {"key": "vy_secret"}, NOW, sealing)

    await engine.run(Keep(tenant_id=key.tenant_id))
    again = Once(tenant_id=key.tenant_id, key=key, command=Never(tenant_id=key.tenant_id), reply=CreatedKey, now=NOW)
    with pytest.raises(UnreadableReply) as refused:
        await engine.run(replace(again, sealing=sealing))
    assert "vy_secret" not in "".join(traceback.format_exception(refused.value))
