"""Password reset requests: stored at once, resolved in the background, so that timing reveals no account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from ...storage.accounts.one_time_tokens import RESET
from ...storage.accounts.passwords import RequestReset, ResolveReset
from ..domain.audit import Origin
from ..domain.email_texts import Kind
from ..foundation.clock import Clock
from ..runtime.actor import Recipient
from .outgoing import OutgoingEmails

CLAIM_DELAY = timedelta(minutes=5)
"""How long the mail actor leaves a request alone that is resolved at once."""


class ResetRequests:
    """Stores and resolves requests. Known and unknown addresses leave the same row, in the same time."""

    def __init__(self, storage: Recipient, emails: OutgoingEmails, clock: Clock, *, ttl: int) -> None:
        """``ttl`` is the lifetime of a token in seconds."""
        self._storage = storage
        self._emails = emails
        self._clock = clock
        self._ttl = timedelta(seconds=ttl)

    async def request(self, email: str, origin: Origin) -> None:
        """Store the request, for the mail actor to resolve."""
        await self._keep(email, origin, timedelta())

    async def request_and_expose(self, email: str, origin: Origin) -> str | None:
        """Store and resolve the request and return the token, if any: for tests only."""
        request_id = await self._keep(email, origin, CLAIM_DELAY)
        return await self.resolve(request_id, email, asdict(origin))

    async def resolve(self, request_id: str, email: str, facts: Mapping[str, Any]) -> str | None:
        """Enqueue the e-mail, if the address is known. Returns its token."""
        now = self._clock.now()
        verification = self._emails.verification(Kind.PASSWORD_RESET, RESET, email, now + self._ttl)
        command = ResolveReset(
            request_id=request_id, token=verification.token, mail=verification.mail, origin=Origin(**facts), now=now
        )
        return verification.secret if await self._storage.ask(command) else None

    async def _keep(self, email: str, origin: Origin, delay: timedelta) -> str:
        now: datetime = self._clock.now()
        request = self._emails.request(email, asdict(origin), now + self._ttl)
        await self._storage.ask(RequestReset(request=request, now=now, due_at=now + delay))
        return request.id
