"""What a handler receives and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from ..actors.domain.audit import Origin
from ..actors.domain.errors import NotFound
from ..actors.domain.identity import Principal
from ..actors.domain.ids import parse_uuid
from ..actors.domain.placement import Lease
from ..actors.foundation.clock import Clock
from ..actors.foundation.config import Settings
from ..actors.leased_store import leased
from ..actors.runtime.actor import Recipient
from ..storage.engine.idempotency import IdempotencyKey, IdempotentReply, Once
from ..storage.engine.operations import Command, Write
from ..storage.engine.ownership import Ownership
from . import client_address
from .health import Health
from .quotas import NewSessions, OpenStreams
from .request_info import RequestInfo
from .streams import Streams

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """All that handlers use; made once, at the start."""

    root: Recipient
    storage: Recipient
    accounts: Recipient
    settings: Settings
    clock: Clock
    health: Health
    streams: Streams
    open_streams: OpenStreams
    new_sessions: NewSessions
    ownership: Ownership


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """One request, decoded as its operation declares.

    ``body`` and ``query`` are the operation's models (``None`` if it has none, or an optional body was not sent).
    ``path`` has the path parameters as sent; read ids with ``id``.
    """

    request: web.Request
    services: Services
    info: RequestInfo
    path: Mapping[str, str]
    principal: Principal | None = None
    lease: Lease | None = None
    """What it was admitted under; None where nodes are not told apart, and for what any node serves."""
    body: Any = None
    query: Any = None
    raw_body: bytes = b""
    idempotency: IdempotencyKey | None = None
    _origin: Origin | None = field(default=None, init=False)

    @property
    def person(self) -> Principal:
        """The principal, for routes whose guard requires one."""
        if self.principal is None:
            raise RuntimeError(f"{self.info.template} has no principal: its guard requires none")
        return self.principal

    @property
    def origin(self) -> Origin:
        """The origin of the request, for audit events."""
        if self._origin is None:
            self._origin = client_address.origin(self.request, self.info.request_id, self.info.client)
        key = self.principal.api_key_id if self.principal else None
        if key is not None and self._origin.api_key_id != key:
            self._origin = replace(self._origin, via="api_key", api_key_id=key)
        return self._origin

    @property
    def storage(self) -> Recipient:
        """Storage for the caller's agency, under the lease that the request was admitted under."""
        return leased(self.services.storage, self.lease)

    async def once(self, command: Command[R] | Write[R], reply: type[R], now: datetime) -> IdempotentReply[R]:
        """Execute a command of the caller's agency, under the request's idempotency key if it has one."""
        if self.idempotency is None:
            return IdempotentReply(await self.storage.ask(command))
        tenant_id = self.person.tenant_id
        return await self.storage.ask(
            Once(tenant_id=tenant_id, key=self.idempotency, command=command, reply=reply, now=now)
        )

    def id(self, name: str, *, missing: str) -> str:
        """The UUID in the path, in lower case. NotFound ``missing`` if it is malformed."""
        found = parse_uuid(self.path[name])
        if found is None:
            raise NotFound(missing)
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response. A model is sent as JSON, bytes as they are, with the ``Content-Type`` of ``headers``.

    Without ``status`` the route's is sent.
    """

    body: BaseModel | bytes | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def mark_replayed(self, replayed: bool) -> Answer:  # noqa: FBT001  # whether, not how
        """The answer with ``Idempotency-Replayed`` if its command was executed earlier under the same key."""
        return replace(self, headers={**self.headers, "Idempotency-Replayed": "true"}) if replayed else self


def encoded(body: BaseModel | bytes | None) -> bytes:
    """A response body as bytes."""
    if isinstance(body, BaseModel):
        return body.__pydantic_serializer__.to_json(body, by_alias=True)
    return body or b""
