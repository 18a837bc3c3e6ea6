"""The AccountsActor on a real database whose operations can be held back, and the rows as the superuser sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.actors.accounts.email_harness import ORIGIN, PASSWORD, SECRET, EmailHarness
from tests.manual_clock import ManualClock
from tests.waiting import Event
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.denial_audit import DeniedRequest
from voyagent.actors.accounts.login_sessions import SignedIn
from voyagent.actors.database import StorageActor
from voyagent.actors.domain.errors import Refusal, Unavailable
from voyagent.actors.domain.identity import Principal, Role
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.foundation.config import Settings
from voyagent.actors.runtime.actor import Recipient, Ref
from voyagent.storage.accounts.users import AddMember
from voyagent.storage.engine.idempotency import Once

if TYPE_CHECKING:
    from tests.conftest import Database


class Storage:
    """The way to the storage actor. Operations can be counted, held back, or lost on it."""

    def __init__(self, actor: Recipient) -> None:
        self._actor = actor
        self._held: dict[type, tuple[asyncio.Event, bool]] = {}
        self.asked: list[type] = []
        self.arrived = Event()
        self.away = False

    async def ask(self, message: Any, within: float = 10.0) -> Any:
        kind = type(message.command if isinstance(message, Once) else message)
        self.asked.append(kind)
        if self.away:
            raise Unavailable("storage_unavailable")
        request, before = self._held.get(kind, (None, False))
        if request is not None and before:
            await self._wait(request)
        reply = await self._actor.ask(message, within)
        if request is not None and not before:
            await self._wait(request)
        return reply

    async def _wait(self, request: asyncio.Event) -> None:
        self.arrived.set()
        await request.wait()

    def tell(self, message: Any) -> None:  # noqa: ARG002  # as actors are told
        raise AssertionError("storage is asked, never told")

    @contextmanager
    def hold(self, kind: type, *, before: bool = False) -> Iterator[None]:
        """Let operations of ``kind`` wait here, with their answer in hand or ``before`` they run."""
        request = Event()
        self._held[kind] = (request, before)
        self.arrived.clear()
        try:
            yield
        finally:
            del self._held[kind]
            request.set()


class AccountsHarness:
    """What a test does with accounts, in few words."""

    def __init__(self, storage: Storage, db: asyncpg.Connection[asyncpg.Record], clock: ManualClock) -> None:
        self.storage = storage
        self.db = db
        """As the superuser: every agency's rows."""
        self.clock = clock
        self._started: list[Ref] = []
        self.ref = self.start()

    def start(self, **changes: Any) -> Ref:
        """An actor with these settings besides the usual, cheap ones."""
        cheap: dict[str, Any] = {"auth_argon2_time_cost": 1, "auth_argon2_memory_cost": 8192}
        ring = {"default": bytes(range(32))}
        usual = {"auth_secret": SECRET, "kms_key": ring, "auth_skip_email_verification": True, **cheap}
        self._started.append(accounts.AccountsActor.start(self.storage, Settings(**usual | changes), self.clock))
        self.ref = self._started[-1]
        return self.ref

    @asynccontextmanager
    async def another_process(self, database: Database, **changes: Any) -> AsyncIterator[Ref]:
        """Accounts of another process on the same database, with storage of its own."""
        ref, storage, actor = self.ref, self.storage, StorageActor.start(database.url, size=4, system_size=4)
        self.storage = Storage(actor)
        other = self.start(**changes)
        self.ref, self.storage = ref, storage
        try:
            yield other
        finally:
            await other.stop_and_wait(5.0)
            await actor.stop_and_wait(5.0)

    async def end(self) -> None:
        for ref in self._started:
            await ref.stop_and_wait(5.0)

    async def sign_up(self, email: str = "asha@example.com", password: str = PASSWORD) -> SignedIn:
        return await self.ref.ask(
            accounts.SignUp(email=email, password=password, full_name="Asha", agency_name="Rao Travels", origin=ORIGIN)
        )

    async def sign_in(self, email: str = "asha@example.com", password: str = PASSWORD) -> SignedIn:
        return await self.ref.ask(accounts.SignIn(email=email, password=password, origin=ORIGIN))

    async def who(self, token: str, request: DeniedRequest | None = None) -> Principal:
        return await self.ref.ask(accounts.Authenticate(token, request))

    async def add(self, tenant_id: str, role: Role, email: str | None = None) -> str:
        """A member who signs in with nothing: tests mint their tokens."""
        user_id = uuid7()
        add = AddMember(
            tenant_id=tenant_id,
            user_id=user_id,
            email=email or f"{user_id}@example.com",
            role=role,
            now=self.clock.now(),
        )
        return str(await self.storage.ask(add))

    async def change(self, person: Principal, **changes: Any) -> Any:
        return await self.ref.ask(
            accounts.ChangeMember(tenant_id=person.tenant_id, user_id=person.user_id, by=None, origin=ORIGIN, **changes)
        )

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """The audit events of ``kind``, oldest first."""
        rows = await self.db.fetch(
            "SELECT *, inputs::text AS said FROM audit_events WHERE kind = $1 ORDER BY tenant_id, seq", kind
        )
        return [dict(row) for row in rows]

    async def count(self, table: str) -> int:
        return int(await self.db.fetchval(f"SELECT count(*) FROM {table}"))  # names of these tests' own


@pytest.fixture
async def harness(database: Database, clock: ManualClock) -> AsyncIterator[AccountsHarness]:
    storage = StorageActor.start(database.url, size=4, system_size=4)
    db = await asyncpg.connect(database.admin_url)
    made = AccountsHarness(Storage(storage), db, clock)
    yield made
    await made.end()
    await db.close()
    await storage.stop_and_wait(5.0)


@pytest.fixture
def refusal() -> Callable[[Awaitable[Any]], Awaitable[str]]:
    """The code an attempt is refused with."""

    async def code(attempt: Awaitable[Any]) -> str:
        with pytest.raises(Refusal) as refused:
            await attempt
        return refused.value.code

    return code


@pytest.fixture
async def emails(harness: AccountsHarness) -> EmailHarness:
    return EmailHarness(harness)


@pytest.fixture
async def strict(harness: AccountsHarness) -> EmailHarness:
    return EmailHarness(harness, auth_skip_email_verification=False)
