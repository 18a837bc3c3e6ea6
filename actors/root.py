"""The root: starts the singletons in order, stops them in reverse, and routes to agencies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, assert_never

from . import tenant
from .conversation import session_messages
from .conversation.context import SessionServices
from .domain.errors import Unavailable
from .domain.placement import SHARDS, shard_of
from .foundation.clock import Clock
from .runtime.actor import Message, NoReply, Recipient
from .runtime.supervisor import Child, NamedRef, Restart, Supervisor
from .suppliers import supplier

Plan = Callable[[Callable[[str], NamedRef], Recipient], tuple[list[Child], SessionServices]]
"""Maps named refs and the root to the singletons in start order and the services that sessions share."""


@dataclass(frozen=True, slots=True)
class Tree(Message[dict[str, Any]]):
    """The supervision tree as data."""


@dataclass(frozen=True, slots=True)
class StopAgencies(Message[None]):
    """Shards were lost: stop their agencies with all sessions and turns, and wait for that."""

    shards: Collection[int] = range(SHARDS)


Protocol = session_messages.ToSession[Any] | tenant.ToTenant[Any] | supplier.ToSupplier[Any] | StopAgencies | Tree
"""What the root handles or routes."""


class RootActor(Supervisor[Protocol]):
    """Starts, stops and routes; all work that can fail is done by its children."""

    def __init__(self, *, plan: Plan, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.singletons, self.services = plan(self.address, self.ref)
        self.agencies: set[str] = set()

    async def child_ended(self, name: str, _failure: BaseException | None) -> None:
        self.agencies.discard(name)

    def _stop_agencies(self, shards: Collection[int]) -> NoReply:
        lost = [name for name in self.agencies if shard_of(name) in shards]
        return self.reply_later(_all([self.stop_child(name) for name in lost]))

    async def initialise(self) -> None:
        for child in self.singletons:
            await self.start_child(child)

    async def receive(self, message: Protocol) -> Any:
        match message:
            case session_messages.Pruned():
                return self._if_active(message)
            case session_messages.ToSession() | tenant.ToTenant() | supplier.ToSupplier():
                if not self.services.ownership.owns(message.tenant_id):
                    raise Unavailable("not_ready")
                self.agencies.add(message.tenant_id)
                return self.route(self._tenant(message.tenant_id), message)
            case StopAgencies():
                return self._stop_agencies(message.shards)
            case Tree():
                return self.tree("root")
            case _:
                assert_never(message)

    def _if_active(self, message: session_messages.Pruned) -> None:
        agency = self.child(message.tenant_id)
        if agency is not None:
            agency.tell(message)

    def _tenant(self, tenant_id: str) -> Child:
        return Child(
            name=tenant_id,
            factory=lambda: tenant.TenantActor.start(tenant_id=tenant_id, services=self.services),
            restart=Restart.TRANSIENT,
            shutdown=12.0,
        )


async def _all(stops: Iterable[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*stops)
