"""ThrottleActor: what it charges and to whom, what it asks the database, and what Redis keeps for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.manual_clock import ManualClock
from tests.waiting import Event, until
from voyagent.actors.domain import throttles
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Throttled, Unavailable
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.throttles import Operation
from voyagent.actors.foundation.config import Settings
from voyagent.actors.runtime.actor import Ref
from voyagent.actors.throttling import throttle
from voyagent.actors.throttling.throttle import Attempt, Begin, ClearGuesses, End, ThrottleActor
from voyagent.storage.accounts import throttles as throttle_store
from voyagent.storage.accounts.known_networks import AccountNetworks, Networks
from voyagent.storage.accounts.users import Record

if TYPE_CHECKING:
    from tests.conftest import Agency

HOME, AWAY = "198.51.100.1", "203.0.113.1"
WRONG = "invalid_credentials"


@dataclass(slots=True)
class Books:
    """What the guard asks of storage, answered by heart."""

    homes: dict[str, frozenset[str]] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    away: bool = False
    door: asyncio.Event | None = None

    async def ask(self, message: Any, within: float = 10.0) -> Any:
        assert within > 0
        self.asked.append(message)
        if self.door is not None:
            await self.door.wait()
        if self.away:
            raise Unavailable("storage_unavailable")
        if isinstance(message, Networks):
            name = message.email or message.user_id or ""
            return AccountNetworks("t", "u", self.homes[name]) if name in self.homes else None
        assert isinstance(message, Record)
        return None

    def tell(self, message: Any) -> None:  # noqa: ARG002  # as actors are told
        raise AssertionError("storage is asked, never told")

    def looks(self, email: str = "asha@example.com") -> int:
        """How often this account was looked up."""
        return sum(isinstance(message, Networks) and message.email == email for message in self.asked)


@dataclass(slots=True)
class Post:
    """A guard, and attempts that are made before it."""

    clock: ManualClock
    books: Books
    redis_url: str | None = None
    started: list[Ref] = field(default_factory=list)

    def start(self, **changes: Any) -> Ref:
        settings = Settings(
            auth_secret="a secret that is only for tests, and long",
            throttle="on",
            redis_url=self.redis_url,  # type: ignore[arg-type]  # as the environment gives it
            **changes,
        )
        self.started.append(ThrottleActor.start(self.books, settings, self.clock))
        return self.started[-1]

    async def attempt(
        self, outcome: str = WRONG, ip: str | None = HOME, *, operation: Operation = throttles.SIGN_IN, **who: Any
    ) -> float:
        """The wait it is refused with; 0 if it was judged."""
        if not who and operation.free.keys() & {"pair", "account"}:
            who = {"email": "asha@example.com"}
        origin = Origin(request_id="r-1", ip=ip)
        try:
            receipt = await self.started[-1].ask(Begin(Attempt(operation=operation, origin=origin, **who)))
        except Throttled as wait:
            return wait.retry_after or -1.0
        self.started[-1].tell(End(receipt, outcome))
        return 0.0

    async def end(self) -> None:
        for ref in self.started:
            await ref.stop_and_wait(5.0)


@pytest.fixture
async def throttled(clock: ManualClock) -> AsyncIterator[Post]:
    made = Post(clock, Books())
    made.start()
    yield made
    await made.end()


@pytest.fixture
async def kept(clock: ManualClock, redis_url: str) -> AsyncIterator[Post]:
    """With Redis behind it."""
    made = Post(clock, Books(), redis_url)
    made.start()
    yield made
    await made.end()


def admin(tenant_id: str = "tenant-1") -> Principal:
    return Principal(
        user_id="user-1",
        tenant_id=tenant_id,
        role=Role.AGENCY_ADMIN,
        email="asha@example.com",
        email_verified=True,
        full_name="Asha",
        tenant_name="Rao",
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
        token_version=0,
    )


@pytest.mark.parametrize("operation", [throttles.LOOK_UP_INVITE, throttles.ACCEPT_INVITE], ids=lambda one: one.name)
@pytest.mark.parametrize("code", ["invite_not_found", "invite_not_pending", "invite_expired"])
async def test_r8_tokens_of_invites_are_thirty_guesses_a_network(
    operation: Operation, code: str, throttled: Post
) -> None:
    assert [await throttled.attempt(code, operation=operation) for _ in range(31)] == [0.0] * 31
    assert await throttled.attempt(throttles.OK, operation=operation) == 2
    assert await throttled.attempt(code, AWAY, operation=operation) == 0


async def test_r8_an_agency_makes_two_hundred_invites_a_day(throttled: Post) -> None:
    async def invite(tenant_id: str = "tenant-1") -> float:
        return await throttled.attempt(throttles.OK, operation=throttles.CREATE_INVITE, principal=admin(tenant_id))

    for _ in range(5):
        await throttled.attempt("invite_already_exists", operation=throttles.CREATE_INVITE, principal=admin())
    assert [await invite() for _ in range(100)] == [0.0] * 100
    throttled.clock.skip(2 * 3600)
    assert [await invite() for _ in range(101)] == [0.0] * 101
    assert await invite() == 2
    assert await invite("tenant-2") == 0
    throttled.clock.skip(11 * 3600)
    assert await invite() == 0


async def test_a_right_attempt_costs_no_look_up_and_leaves_nothing(throttled: Post) -> None:
    for _ in range(300):
        assert await throttled.attempt(throttles.OK) == 0
    assert throttled.books.asked == []


async def test_the_known_networks_are_read_once_for_an_account_and_again_after_a_success(throttled: Post) -> None:
    throttled.books.homes["asha@example.com"] = frozenset({HOME})
    for number in range(21):
        assert await throttled.attempt(ip=f"203.0.113.{number}") == 0
    for number in range(50):
        assert await throttled.attempt(ip=f"192.0.2.{number}") > 0
    assert throttled.books.looks() == 1
    assert await throttled.attempt(throttles.OK) == 0
    assert await throttled.attempt(ip=AWAY) > 0
    assert throttled.books.looks() == 2


async def test_a_hundred_who_ask_at_once_share_one_look_up(throttled: Post) -> None:
    for number in range(51):
        await throttled.attempt(email=f"nobody-{number}@example.com")
    throttled.books.door = Event()
    asking = asyncio.gather(*(throttled.attempt(email="asha@example.com") for _ in range(100)))
    await until(throttled.books.looks)
    throttled.books.door.set()
    assert all(await asking)
    assert throttled.books.looks() == 1


async def test_if_it_cannot_be_known_who_asks_they_wait_like_an_unknown_network(throttled: Post) -> None:
    throttled.books.homes["asha@example.com"] = frozenset({HOME})
    for number in range(51):
        await throttled.attempt(email=f"nobody-{number}@example.com")
    throttled.books.away = True
    assert await throttled.attempt() == 2
    await until(lambda: throttled.books.looks() == 2)  # the audit event looks the account up, too
    throttled.books.away = False
    await throttled.started[-1].ask(ClearGuesses("nobody@example.com", "user-0"))
    assert await throttled.attempt() == 0


async def test_callers_without_an_address_share_a_network(throttled: Post) -> None:
    for _ in range(51):
        assert await throttled.attempt("invalid_refresh_token", None, operation=throttles.REFRESH) == 0
    assert await throttled.attempt(ip=None, operation=throttles.REFRESH) == 2
    assert await throttled.attempt(operation=throttles.REFRESH) == 0


async def test_an_attempt_that_never_ended_stays_charged(throttled: Post) -> None:
    attempt = Attempt(operation=throttles.SIGN_IN, origin=Origin(request_id="r", ip=HOME), email="asha@example.com")
    for _ in range(6):
        await throttled.started[0].ask(Begin(attempt))
    assert await throttled.attempt() == 2


async def test_r11_a_throttle_that_is_restarted_forgives_nobody(throttled: Post) -> None:
    """Without Redis, too: the counts are not its own but lent to it."""
    counts = throttles.Throttles(throttles.Rules())
    settings = Settings(throttle="on")
    for _ in range(2):
        throttled.started.append(ThrottleActor.start(throttled.books, settings, throttled.clock, counts))
        for _ in range(3):
            await throttled.attempt()
    throttled.started[-1].cancel()
    throttled.started.append(ThrottleActor.start(throttled.books, settings, throttled.clock, counts))
    assert await throttled.attempt(throttles.OK) == 2


async def test_r11_a_process_that_was_killed_has_left_its_counts(kept: Post, redis_url: str) -> None:
    for _ in range(6):
        await kept.attempt()
    async with Redis.from_url(redis_url) as redis:

        async def written() -> bool:
            values = await redis.mget(await redis.keys("voyagent:guard:pair:*") or ["none"])
            return any((value or b"").startswith(b"6 ") for value in values)

        await until(written)
        await redis.set("voyagent:guard:pair:sign_in:odd", "what another release wrote")
        await redis.set("voyagent:guard:odd", "1 2")
        kept.start()
        assert await kept.attempt(throttles.OK) == 2


NAMES = st.one_of(st.text(), st.text().map("pair:a:".__add__), st.text().map("network:a:".__add__))
VALUES = st.one_of(
    st.none(),
    st.text(),
    st.binary(),
    st.tuples(st.integers(), st.floats()).map(lambda pair: f"{pair[0]} {pair[1]}"),
    st.sampled_from(["1 nan", "1 inf", "1 -inf", f"{'9' * 5000} 1", "999999999999 1764590400"]),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_whatever_is_found_in_redis_keeps_no_throttle_from_starting_nor_anybody_waiting_for_ever(
    found: list[tuple[str, str | bytes | None]],
) -> None:
    counts = throttles.Throttles(throttle.rules(Settings(env="development")))
    read = throttle_store._read([f"voyagent:guard:{name}" for name, _ in found], [value for _, value in found])
    for key, saved in sorted(read.items(), key=lambda item: item[1].last):
        counts.restore(key, saved, 1764590400.0)
        assert 0 <= counts.wait(key, 5, 1764590400.0) <= counts.rules.max_delay


async def test_r11_a_success_is_remembered_too(kept: Post, redis_url: str) -> None:
    for outcome in [WRONG] * 5 + [throttles.OK]:
        assert await kept.attempt(outcome) == 0
    async with Redis.from_url(redis_url) as redis:

        async def emptied() -> bool:
            return not await redis.keys("voyagent:guard:pair:*")

        await until(emptied)


async def test_r11_a_redis_that_comes_back_empty_is_told_everything(kept: Post, redis_url: str, servers: Any) -> None:
    for number in range(3):
        await kept.attempt(email=f"{number}@example.com")
    await servers.redis.stop()
    try:
        assert await kept.attempt(email="3@example.com") == 0
        await until(lambda: kept.clock.pending)
    finally:
        await servers.redis.start()
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
        await kept.clock.advance(throttle.FLUSH_TIMEOUT + 5)

        async def whole() -> bool:
            return len(await redis.keys("voyagent:guard:pair:*")) == 4

        await until(whole)


async def test_the_known_networks_of_an_account_are_read_from_its_families(agency: Agency) -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    for days, network in ((1, HOME), (2, HOME), (89, "2001:db8::/64"), (91, AWAY), (3, None)):
        await agency.db.execute(
            """INSERT INTO auth_families (id, tenant_id, user_id, counter, last_used_at, expires_at, ends_at, network,
                                          created_at, updated_at)
               VALUES (gen_random_uuid(), $1, $2, 0, $3, $3, $3, $4,
                       $3::timestamptz - make_interval(days => $5), $3)""",
            agency.tenant_id,
            agency.user_id,
            now,
            network,
            days,
        )
    expected = AccountNetworks(agency.tenant_id, agency.user_id, frozenset({HOME, "2001:db8::/64"}))
    email = f"{agency.user_id}@example.com"
    assert await agency.store.ask(Networks(email=email, now=now)) == expected
    assert await agency.store.ask(Networks(user_id=agency.user_id, now=now)) == expected
    assert await agency.store.ask(Networks(email="nobody@example.com", now=now)) is None
