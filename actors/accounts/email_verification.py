"""E-mail addresses: verification, change, and the undo of a change by somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ...storage.accounts.email_verification import Changed, ChangeProfile, Move, SendVerification, Undo, Verify
from ...storage.accounts.one_time_tokens import UNDO, VERIFICATION, Find, Found
from ..domain.audit import Origin
from ..domain.email_texts import Kind
from ..domain.identity import FORMER_ADDRESS_RESERVED, Principal
from ..foundation.clock import Clock
from ..runtime.actor import Message, Recipient
from .outgoing import OutgoingEmails, VerificationToken
from .revocation import Revocation
from .tokens import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ResendVerification(Message[None]):
    """Resend the verification e-mail, if the address is unverified."""

    principal: Principal
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyEmail(Message[None]):
    """Use an e-mailed token: verify an address, or undo its change. BadRequest ``token_invalid``."""

    token: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProfile(Message[Changed]):
    """Change name or address; ``None`` leaves the field unchanged. Conflict ``email_already_registered``."""

    principal: Principal
    full_name: str | None
    email: str | None
    origin: Origin


class EmailVerificationFlows:
    """Sends verification e-mails and accepts their tokens. Lifetimes in seconds."""

    def __init__(
        self,
        storage: Recipient,
        emails: OutgoingEmails,
        clock: Clock,
        revocation: Revocation,
        *,
        verification_ttl: int,
        reset_ttl: int,
    ) -> None:
        self._storage = storage
        self._emails = emails
        self._clock = clock
        self._revocation = revocation
        self._verification_ttl = timedelta(seconds=verification_ttl)
        self._reset_ttl = timedelta(seconds=reset_ttl)

    def verification(self, email: str) -> VerificationToken:
        """A verification token for ``email`` with its e-mail."""
        return self._emails.verification(
            Kind.VERIFICATION, VERIFICATION, email, self._clock.now() + self._verification_ttl
        )

    async def send(self, message: ResendVerification) -> None:
        """See ``ResendVerification``."""
        caller = message.principal
        if caller.email_verified:
            return
        verification = self.verification(caller.email)
        await self._storage.ask(
            SendVerification(
                agency_id=caller.tenant_id,
                user_id=caller.user_id,
                token=verification.token,
                mail=verification.mail,
                now=self._clock.now(),
            )
        )

    async def verify(self, message: VerifyEmail) -> None:
        """See ``VerifyEmail``."""
        now = self._clock.now()
        find = Find(token_hash=digest(message.token), kinds=(VERIFICATION, UNDO), now=now)
        token = await self._storage.ask(find)
        if token.kind == UNDO:
            await self._undo(token, message.origin)
            return
        try:
            await self._storage.ask(Verify(token=token, origin=message.origin, now=now))
        finally:  # also when the outcome is unknown
            self._revocation.invalidate_user(token.user_id)

    async def update(self, message: UpdateProfile) -> Changed:
        """See ``UpdateProfile``."""
        caller = message.principal
        command = ChangeProfile(
            agency_id=caller.tenant_id,
            user_id=caller.user_id,
            token_version=caller.token_version,
            family_id=caller.family_id,
            full_name=message.full_name,
            move=None if message.email is None or message.email == caller.email else self._move(caller, message.email),
            origin=message.origin,
            now=self._clock.now(),
        )
        try:
            return await self._storage.ask(command)
        finally:
            self._revocation.invalidate_user(caller.user_id)

    def _move(self, caller: Principal, email: str) -> Move:
        verification = self.verification(email)
        undo = self._emails.verification(
            Kind.EMAIL_CHANGED, UNDO, caller.email, self._clock.now() + FORMER_ADDRESS_RESERVED
        )
        return Move(email=email, token=verification.token, mail=verification.mail, undo=undo.token, notice=undo.mail)

    async def _undo(self, token: Found, origin: Origin) -> None:
        now = self._clock.now()
        reset = self._emails.undo_reset(token.email, now + self._reset_ttl)
        try:
            await self._storage.ask(Undo(token=token, reset=reset, origin=origin, now=now))
        finally:
            self._revocation.invalidate_user(token.user_id)
        self._revocation.revoke_user(token.user_id)
