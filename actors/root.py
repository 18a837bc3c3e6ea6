"""The root: starts the singletons in order, stops them in reverse, and routes to agencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import session, tenant
from .clock import Clock
from .runtime import Message
from .supervisor import Child, Restart, Supervisor


@dataclass(frozen=True, slots=True)
class Tree(Message[dict[str, Any]]):
    """The supervision tree as data."""


class RootActor(Supervisor):
    """Dull on purpose: whatever can fail fails below it."""

    def __init__(self, *, singletons: Sequence[Child], clock: Clock) -> None:
        super().__init__(clock=clock)
        self.singletons = singletons
        self.world: session.World | None = None

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        for child in self.singletons:
            await self.start_child(child)

    async def receive(self, message: Any) -> Any:
        match message:
            case session.ToSession() | tenant.ToTenant():
                return self.route(self._tenant(message.tenant_id), message)
            case Tree():
                return self.tree("root")
            case _:
                return await super().receive(message)

    def _tenant(self, tenant_id: str) -> Child:
        world = self.world
        assert world is not None
        return Child(
            name=tenant_id,
            factory=lambda: tenant.TenantActor.start(tenant_id=tenant_id, world=world),
            restart=Restart.TRANSIENT,
            shutdown=12.0,
        )
