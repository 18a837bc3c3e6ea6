"""What all sessions of the process share, over fakes."""

from __future__ import annotations

from typing import Any

from tests.fakes.pass_ports import FakeBudget, FakeModel, FakePassLog
from tests.fakes.store import FakeStore
from tests.manual_clock import ManualClock
from voyagent.actors.agent.ports import PassLog, Ports, Task
from voyagent.actors.agent.tools.tool import ToolContext
from voyagent.actors.conversation.context import SessionServices
from voyagent.actors.foundation.config import Settings
from voyagent.actors.quota import Quota
from voyagent.actors.runtime.actor import Recipient
from voyagent.storage.engine.ownership import Ownership
from voyagent.storage.engine.sealing import Sealing


class FakeServices:
    """The services over one store and one clock; whether the process stops or leads is the test's to say."""

    def __init__(self, store: FakeStore, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.pass_log = FakePassLog()
        self.stopping = False
        self.ownership = Ownership(coordinated=False)
        self.storage_lost = 0
        """How often an actor said that it ended by unavailable storage."""

    @property
    def leads(self) -> bool:
        """Whether this node owns the agencies."""
        return not self.ownership.coordinated

    @leads.setter
    def leads(self, owns: bool) -> None:
        self.ownership.coordinated = not owns

    def made(self) -> SessionServices:
        """As sessions and agencies are handed them."""
        return SessionServices(
            store=self.store,
            clock=self.clock,
            settings=Settings(embedded=True),
            ports=self._ports,
            tools=self.tools,
            stopping=lambda: self.stopping,
            ownership=self.ownership,
            on_storage_lost=self._on_storage_lost,
        )

    def _on_storage_lost(self) -> None:
        self.storage_lost += 1

    def _ports(self, log: PassLog, quota: Quota, store: Recipient) -> Ports:
        del log, quota
        return Ports(
            model=FakeModel(),
            recorder=self.pass_log,
            store=store,
            budget=FakeBudget(),
            clock=self.clock,
            prices={},
            context=lambda task: self.tools(task, store),
        )

    def tools(self, task: Task, store: Recipient) -> ToolContext:
        """The context of a call, without offers or suppliers."""
        unused: Any = None
        return ToolContext(
            tenant_id=task.tenant_id,
            session_id=task.session_id,
            turn_id=task.turn_id,
            user_id=task.user_id,
            settings=task.settings,
            clock=self.clock,
            store=store,
            offers=unused,
            suppliers=unused,
            sealing=Sealing({}),
        )
