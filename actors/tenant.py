"""An agency: owner of its settings and limits, parent of its sessions and suppliers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

from ..storage.accounts import settings
from ..storage.conversation import approvals, usage
from ..storage.engine.idempotency import Encode, IdempotencyKey, Stored
from .agent import settling
from .agent.run import Task
from .agent.tools.tool import ToolContext
from .conversation import session
from .conversation.context import SessionServices
from .domain.approvals import Approval, Decision
from .domain.audit import Origin
from .domain.errors import Unavailable
from .domain.settings import TenantSettings
from .domain.turns import ToolCall
from .foundation.clock import Timer
from .quota import Quota
from .runtime.actor import Message
from .runtime.supervisor import Child, Restart, Supervisor
from .suppliers import supplier

R = TypeVar("R")

IDLE_SECONDS = 900.0
AWAKE_SESSIONS = 500
"""Sessions of one agency that are awake before those idle for longest passivate, each time another is activated."""
ASKED_AT_ONCE = 16
"""How many of the oldest are asked to: some of them may have a viewer, or something to do."""
GONE = "00000000-0000-0000-0000-000000000000"
"""The session of a call whose session has been deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToTenant(Message[R]):
    """A message on its way to one agency."""

    tenant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve(ToTenant[Approval | Stored]):
    """Decide an approval, whichever session it belongs to. Refusal: ``approval_not_found``."""

    who: session.Who
    decision: Decision
    key: IdempotencyKey | None = None
    reply: Encode[Approval] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(ToTenant[TenantSettings]):
    """Change settings; they are in force for the next turn before this answers."""

    changes: Mapping[str, Any]
    by: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Budget:
    """Today's tokens: the limit (None: none), what calls have used, and what calls under way have set aside."""

    limit: int | None
    used_today: int
    reserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBudget(ToTenant[Budget]):
    """What is left of today's tokens, as this moment's limits see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleWrites(ToTenant[None]):
    """Look up what became of supplier writes that ended without an outcome, and write it down."""


class TenantActor(Supervisor):
    """One agency."""

    def __init__(self, *, tenant_id: str, services: SessionServices) -> None:
        super().__init__(clock=services.clock)
        self.tenant_id = tenant_id
        self.services = services
        self.idle_timer: Timer | None = None
        self.awake: OrderedDict[str, None] = OrderedDict()
        self.settling: asyncio.Task[None] | None = None

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        now = self.clock.now()
        own = await self.services.store.ask(settings.Load(tenant_id=self.tenant_id, now=now))
        self.quota = Quota(own, self.clock)
        used = await self.services.store.ask(usage.Read(tenant_id=self.tenant_id, now=now))
        self.quota.restore(used.turn_ages, used.tokens)
        self._idle_later()

    async def terminate(self, failure: BaseException | None) -> None:
        if isinstance(failure, Unavailable):
            self.services.on_storage_lost()

    async def receive(self, message: Any) -> Any:
        match message:
            case session.Pruned():
                return self._if_awake(message)
            case session.ToSession():
                self._note_awake(message.session_id)
                return self.route(self._session(message.session_id), message)
            case supplier.ToSupplier():
                child = supplier.child(self.tenant_id, message.supplier, self.services.store, self.clock)
                return self.route(child, message)
            case Resolve():
                return self.reply_later(self._resolve(message))
            case Change():
                return self.reply_later(self._change(message))
            case SettleWrites():
                return self._settle_writes()
            case ReadBudget():
                own = self.quota
                return Budget(own.settings.daily_token_budget, own.settled, own.reserved)
            case _:
                return await super().receive(message)

    async def child_ended(self, name: str, failure: BaseException | None) -> None:  # noqa: ARG002 -- the hook's own
        self.awake.pop(name, None)

    def _note_awake(self, session_id: str) -> None:
        """The session is the youngest of those awake; if it comes on top of enough, the oldest are asked to go."""
        known = session_id in self.awake
        self.awake[session_id] = None
        self.awake.move_to_end(session_id)
        if known or len(self.awake) <= AWAKE_SESSIONS:
            return
        for oldest in list(islice(self.awake, ASKED_AT_ONCE)):
            self.awake.move_to_end(oldest)  # one that cannot go is not asked again before all others
            with suppress(Unavailable):
                child = self.child(oldest)
                if child is not None:
                    child.tell(session.MakeRoom(tenant_id=self.tenant_id, session_id=oldest))

    def _if_awake(self, message: session.Pruned) -> None:
        awake = self.child(message.session_id)
        if awake is not None:
            awake.tell(message)

    def _settle_writes(self) -> None:
        if self.settling is None or self.settling.done():
            self.settling = self.spawn(
                settling.settle_writes(self.tenant_id, self.services.store, self.clock, self._tools), name="settling"
            )

    def _tools(self, call: ToolCall, session_id: str | None) -> ToolContext:
        own = self.quota.settings
        task = Task(
            tenant_id=self.tenant_id,
            session_id=session_id or GONE,
            turn_id=call.turn_id,
            user_id=call.user_id,
            settings=own,
            model_name="",
            max_tokens=0,
            approval_ttl=timedelta(0),
        )
        return self.services.tools(task)

    def _session(self, session_id: str) -> Child:
        return Child(
            name=session_id,
            factory=lambda: session.SessionActor.start(
                tenant_id=self.tenant_id, session_id=session_id, quota=self.quota, services=self.services
            ),
            restart=Restart.TRANSIENT,
            shutdown=10.0,
        )

    async def _resolve(self, wanted: Resolve) -> Approval | Stored:
        now = self.clock.now()
        get = approvals.Get(tenant_id=self.tenant_id, approval_id=wanted.decision.approval_id, now=now)
        found = await self.services.store.ask(get)
        return await self.ref.ask(
            session.Resolve(
                tenant_id=self.tenant_id,
                session_id=found.session_id,
                who=wanted.who,
                decision=wanted.decision,
                key=wanted.key,
                reply=wanted.reply,
            )
        )

    async def _change(self, wanted: Change) -> TenantSettings:
        changed = await self.services.store.ask(
            settings.Change(
                tenant_id=self.tenant_id,
                changes=wanted.changes,
                by=wanted.by,
                origin=wanted.origin,
                now=self.clock.now(),
            )
        )
        self.quota.settings = replace(changed)
        return changed

    def _idle_later(self) -> None:
        self.idle_timer = self.clock.call_later(IDLE_SECONDS, self._maybe_sleep)

    def _maybe_sleep(self) -> None:
        if self.actor_stopped.is_set():
            return
        self._idle_later()
        settles = self.settling is not None and not self.settling.done()
        if not self.tree()["children_total"] and not self.quota.reserved and not settles:
            self.request_passivation()
