"""Hourly retention of accounts: prunes expired rows and closes accounts that stay unverified."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ...storage.accounts.retention import PIECES
from ...storage.accounts.unverified import CloseUnverified, FindOverdue, Outcome, Overdue
from ..domain import ids
from ..domain.audit import Origin
from ..domain.errors import Unavailable
from ..foundation import log
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Recipient
from ..runtime.periodic import Items
from .actor import Invalidate
from .outgoing import OutgoingEmails

STORAGE_TIMEOUT = 60.0
_log = log.get(__name__)


class AccountRetention:
    """The hourly job for accounts. Where addresses are not verified, no account is closed."""

    def __init__(self, *, store: Recipient, accounts: Recipient, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._emails = OutgoingEmails(settings)
        self._reset_ttl = timedelta(seconds=settings.auth_password_reset_ttl_seconds)
        gated = not settings.auth_skip_email_verification
        self._unverified_for = timedelta(seconds=settings.auth_unverified_ttl_seconds) if gated else None

    async def run(self, items: Items | None = None, store: Recipient | None = None) -> None:
        """Run all pieces in small transactions, each one of ``items``: a failure does not block the others.

        ``store`` writes under the lease of this round. Unavailable if storage is.
        """
        own, leased = items or Items("upkeep"), store or self._store
        for piece in PIECES:
            with own.one(piece=piece.__name__):
                prune = piece(now=self._clock.now())
                while await leased.ask(prune, within=STORAGE_TIMEOUT) >= prune.limit:
                    pass
        if self._unverified_for is not None:
            with own.one(piece=FindOverdue.__name__):
                await self._sweep(self._unverified_for, own, leased)

    async def _sweep(self, allowed: timedelta, items: Items, store: Recipient) -> None:
        origin = Origin(request_id=ids.uuid7())
        find = FindOverdue(now=self._clock.now(), allowed=allowed)
        while overdue := await store.ask(find, within=STORAGE_TIMEOUT):
            for account in overdue:
                with items.one(user=account.user_id):
                    await self._end(account, allowed, origin, store)
            find = replace(find, after=overdue[-1].user_id)

    async def _end(self, overdue: Overdue, allowed: timedelta, origin: Origin, store: Recipient) -> None:
        now = self._clock.now()
        reset = self._emails.undo_reset(overdue.email, now + self._reset_ttl)
        end = CloseUnverified(overdue=overdue, allowed=allowed, reset=reset, origin=origin, now=now)
        try:
            outcome = await store.ask(end, within=STORAGE_TIMEOUT)
        except Unavailable:  # the outcome is unknown: nothing remembered of the agency is used again
            self._accounts.tell(Invalidate(tenant_id=overdue.tenant_id))
            raise
        if outcome is Outcome.KEPT:
            return
        whole = outcome is Outcome.AGENCY_CLOSED
        user_id = None if whole else overdue.user_id
        self._accounts.tell(Invalidate(tenant_id=overdue.tenant_id, user_id=user_id, ended=True))
        _log.info("unverified_account_closed", tenant=overdue.tenant_id, user=overdue.user_id, outcome=outcome.value)
