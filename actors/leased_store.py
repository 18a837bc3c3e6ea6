"""Storage for those who write for one agency: what they write carries the lease they began under."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from ..storage.engine.operations import Command, Write
from ..storage.engine.ownership import Ownership
from .database import Append
from .domain.placement import Lease
from .runtime.actor import Message, Recipient

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class LeasedStore:
    """``StorageActor`` for one owner of a shard.

    The lease is that of the agency's actor, from its start to its end, or of one request or round. It is never looked
    up when something is written: what an earlier owner began must fail, even if the node owns the shard again.
    """

    store: Recipient
    lease: Lease

    def ask(self, message: Message[R], within: float = 10.0) -> Coroutine[Any, Any, R]:
        """The reply, to be awaited."""
        return self.store.ask(self._leased(message), within)

    def tell(self, message: Message[Any]) -> None:
        """Send and forget."""
        self.store.tell(self._leased(message))

    def request(self, message: Message[R]) -> asyncio.Future[R]:
        """The reply as a future without a timeout."""
        return self.store.request(self._leased(message))

    def _leased(self, message: Message[R]) -> Message[R]:
        if isinstance(message, Append):
            return cast("Message[R]", Append(message.rows, self.lease))
        return replace(message, lease=self.lease) if isinstance(message, Command | Write) else message


def leased_for(store: Recipient, ownership: Ownership, tenant_id: str) -> Recipient:
    """The store for who begins to work for an agency. Refusal: ``not_ready``, if another node owns it."""
    return leased(store, ownership.grant(tenant_id))


def leased(store: Recipient, lease: Lease | None) -> Recipient:
    """The store under ``lease``; where nodes are not told apart there is none."""
    return store if lease is None else LeasedStore(store, lease)
