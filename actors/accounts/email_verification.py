"""Addresses: proven by letters, changed by their person, given back when it was somebody else."""

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
    """Another letter that proves one's address, if it is not proven yet."""

    principal: Principal
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyEmail(Message[None]):
    """Spend a letter's token: prove an address, or undo its change. BadRequest ``token_invalid``."""

    token: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProfile(Message[Changed]):
    """Take another name or address; ``None`` keeps what is. Conflict ``email_already_registered``."""

    principal: Principal
    full_name: str | None
    email: str | None
    origin: Origin


class EmailVerificationFlows:
    """Sends proofs of addresses and takes them back. Lifetimes in seconds."""

    def __init__(
        self,
        storage: Recipient,
        letters: OutgoingEmails,
        clock: Clock,
        endings: Revocation,
        *,
        proof_ttl: int,
        reset_ttl: int,
    ) -> None:
        self._storage = storage
        self._letters = letters
        self._clock = clock
        self._endings = endings
        self._proof_ttl = timedelta(seconds=proof_ttl)
        self._reset_ttl = timedelta(seconds=reset_ttl)

    def proof(self, email: str) -> VerificationToken:
        """A token that proves ``email``, and its letter."""
        return self._letters.proof(Kind.VERIFICATION, VERIFICATION, email, self._clock.now() + self._proof_ttl)

    async def send(self, message: ResendVerification) -> None:
        """See ``ResendVerification``."""
        who = message.principal
        if who.email_verified:
            return
        proof = self.proof(who.email)
        await self._storage.ask(
            SendVerification(
                agency_id=who.tenant_id,
                user_id=who.user_id,
                token=proof.token,
                letter=proof.letter,
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
            self._endings.doubt_person(token.user_id)

    async def update(self, message: UpdateProfile) -> Changed:
        """See ``UpdateProfile``."""
        who = message.principal
        command = ChangeProfile(
            agency_id=who.tenant_id,
            user_id=who.user_id,
            token_version=who.token_version,
            family_id=who.family_id,
            full_name=message.full_name,
            move=None if message.email is None or message.email == who.email else self._move(who, message.email),
            origin=message.origin,
            now=self._clock.now(),
        )
        try:
            return await self._storage.ask(command)
        finally:
            self._endings.doubt_person(who.user_id)

    def _move(self, who: Principal, email: str) -> Move:
        proof = self.proof(email)
        undo = self._letters.proof(Kind.EMAIL_CHANGED, UNDO, who.email, self._clock.now() + FORMER_ADDRESS_RESERVED)
        return Move(email=email, token=proof.token, letter=proof.letter, undo=undo.token, notice=undo.letter)

    async def _undo(self, token: Found, origin: Origin) -> None:
        now = self._clock.now()
        reset = self._letters.undo_reset(token.email, now + self._reset_ttl)
        try:
            await self._storage.ask(Undo(token=token, reset=reset, origin=origin, now=now))
        finally:
            self._endings.doubt_person(token.user_id)
        self._endings.ended_person(token.user_id)
