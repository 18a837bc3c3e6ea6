"""An agency: owner of its settings and limits, parent of its sessions and suppliers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar, assert_never

from ..storage.accounts import settings
from ..storage.conversation import approvals, usage
from ..storage.engine.idempotency import IdempotencyKey, IdempotentReply
from .agent import settling
from .agent.ports import Task
from .agent.tools.tool import ToolContext
from .conversation import session, session_messages
from .conversation.context import SessionServices
from .domain.approvals import Approval, Decision
from .domain.audit import Author, Origin
from .domain.errors import Unavailable
from .domain.settings import TenantSettings
from .domain.turns import ToolCall
from .foundation import log
from .foundation.clock import Timer
from .leased_store import LeasedStore
from .quota import Quota
from .runtime.actor import Message, NoReply, Outcome
from .runtime.supervisor import Child, Restart, Supervisor
from .suppliers import drivers, supplier

R = TypeVar("R")

IDLE_SECONDS = 900.0
ACTIVE_SESSIONS = 500
"""Active sessions of one agency, beyond which each activation asks the least recently used ones to passivate."""
PASSIVATION_BATCH = 16
"""How many of the least recently used are asked: some of them may have a viewer or work."""
DELETED_SESSION = "00000000-0000-0000-0000-000000000000"
"""Session id of a tool call whose session was deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToTenant(Message[R]):
    """A message routed to one agency."""

    tenant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve(ToTenant[IdempotentReply[Approval]]):
    """Decide an approval, whichever session it belongs to. Refusal: ``approval_not_found``."""

    who: Author
    decision: Decision
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(ToTenant[TenantSettings]):
    """Change settings; the next turn already uses them when this is answered."""

    changes: Mapping[str, Any]
    by: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Budget:
    """Today's tokens: the limit (None: none), used by finished model calls, and reserved by running ones."""

    limit: int | None
    used_today: int
    reserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBudget(ToTenant[Budget]):
    """Read today's token budget and its usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleWrites(ToTenant[None]):
    """Look up supplier writes with an unknown outcome, and record the outcome."""


Protocol = session_messages.ToSession[Any] | supplier.ToSupplier[Any] | Resolve | Change | ReadBudget | SettleWrites
"""What an agency handles or routes."""


class TenantActor(Supervisor[Protocol]):
    """Holds an agency's quota and routes to its sessions and suppliers."""

    def __init__(self, *, tenant_id: str, services: SessionServices) -> None:
        super().__init__(clock=services.clock)
        self.log_scope = log.Scope(tenant=tenant_id)
        self.tenant_id = tenant_id
        self.services = services
        self.idle_timer: Timer | None = None
        self.active_sessions: OrderedDict[str, None] = OrderedDict()
        self.settling: asyncio.Task[None] | None = None

    async def initialise(self) -> None:
        lease = self.services.ownership.grant(self.tenant_id)  # a restart may come after its shard was lost
        if lease is not None:
            self.services = replace(self.services, store=LeasedStore(self.services.store, lease))
        now = self.clock.now()
        stored = await self.services.store.ask(settings.Load(tenant_id=self.tenant_id, now=now))
        self.quota = Quota(stored, self.clock)
        used = await self.services.store.ask(usage.Read(tenant_id=self.tenant_id, now=now))
        self.quota.restore(used.turn_ages, used.tokens)
        self._check_idle_later()

    async def terminate(self, failure: BaseException | None) -> None:
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        if isinstance(failure, Unavailable):
            self.services.on_storage_lost()

    async def receive(self, message: Protocol) -> Any:
        match message:
            case session_messages.Pruned():
                return self._if_active(message)
            case session_messages.ToSession():
                self._mark_active(message.session_id)
                return self.route(self._session(message.session_id), message)
            case supplier.ToSupplier():
                return self.route(drivers.child(message.supplier, self._agency), message)
            case Resolve():
                return self.reply_later(self._resolve(message))
            case Change():
                return self._change(message)
            case SettleWrites():
                return self._settle_writes()
            case ReadBudget():
                quota = self.quota
                return Budget(quota.settings.daily_token_budget, quota.settled, quota.reserved)
            case _:
                assert_never(message)

    async def child_ended(self, name: str, _failure: BaseException | None) -> None:
        self.active_sessions.pop(name, None)

    def _mark_active(self, session_id: str) -> None:
        """Mark the session as most recently used; beyond ``ACTIVE_SESSIONS`` ask the oldest to passivate."""
        already_active = session_id in self.active_sessions
        self.active_sessions[session_id] = None
        self.active_sessions.move_to_end(session_id)
        if already_active or len(self.active_sessions) <= ACTIVE_SESSIONS:
            return
        for oldest in list(islice(self.active_sessions, PASSIVATION_BATCH)):
            self.active_sessions.move_to_end(oldest)  # one that cannot passivate is not asked again before all others
            with suppress(Unavailable):
                child = self.child(oldest)
                if child is not None:
                    child.tell(session_messages.PassivateIfIdle(tenant_id=self.tenant_id, session_id=oldest))

    def _if_active(self, message: session_messages.Pruned) -> None:
        active = self.child(message.session_id)
        if active is not None:
            active.tell(message)

    @property
    def _agency(self) -> drivers.Agency:
        services = self.services
        return drivers.Agency(
            tenant_id=self.tenant_id, store=services.store, clock=self.clock, settings=services.settings
        )

    def _settle_writes(self) -> None:
        if self.settling is None or self.settling.done():
            self.settling = self.spawn(
                settling.settle_writes(self.tenant_id, self.services.store, self.clock, self._tools), name="settling"
            )

    def _tools(self, call: ToolCall, session_id: str | None) -> ToolContext:
        task = Task(
            tenant_id=self.tenant_id,
            session_id=session_id or DELETED_SESSION,
            turn_id=call.turn_id,
            user_id=call.user_id,
            settings=self.quota.settings,
            model_name="",
            max_tokens=0,
            approval_ttl=timedelta(0),
        )
        return self.services.tools(task, self.services.store)

    def _session(self, session_id: str) -> Child:
        return Child(
            name=session_id,
            factory=lambda: session.SessionActor.start(
                tenant_id=self.tenant_id, session_id=session_id, quota=self.quota, services=self.services
            ),
            restart=Restart.TRANSIENT,
            shutdown=10.0,
        )

    async def _resolve(self, resolve: Resolve) -> IdempotentReply[Approval]:
        now = self.clock.now()
        get = approvals.Get(tenant_id=self.tenant_id, approval_id=resolve.decision.approval_id, now=now)
        approval = await self.services.store.ask(get)
        return await self.ref.ask(
            session_messages.Resolve(
                tenant_id=self.tenant_id,
                session_id=approval.session_id,
                who=resolve.who,
                decision=resolve.decision,
                key=resolve.key,
            )
        )

    def _change(self, change: Change) -> NoReply:
        stored = settings.Change(
            tenant_id=self.tenant_id,
            changes=change.changes,
            by=change.by,
            origin=change.origin,
            now=self.clock.now(),
        )
        return self.reply_after(self.services.store.ask(stored), self._changed)

    def _changed(self, outcome: Outcome[TenantSettings]) -> TenantSettings:
        self.quota.settings = replace(outcome.value)
        return outcome.value

    def _check_idle_later(self) -> None:
        self.idle_timer = self.clock.call_later(IDLE_SECONDS, lambda: self.run_soon(self._check_idle))

    def _check_idle(self) -> None:
        self._check_idle_later()
        settling = self.settling is not None and not self.settling.done()
        if not self.tree()["children_total"] and not self.quota.reserved and not settling:
            self.request_passivation()
