"""Invites: how people join an agency, by e-mail or by a link passed on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, assert_never

from ...storage.accounts.invites import Accept, Create, Find, Found, Invite, Invited, NewInvite, Revoke
from ...storage.accounts.users import IsEmailTaken
from ...storage.engine.idempotency import IdempotencyKey, IdempotentReply, Once
from ...storage.engine.operations import Command
from ...storage.engine.sealing import Sealing
from ..domain.audit import Origin
from ..domain.email_texts import Kind, link
from ..domain.errors import Conflict
from ..domain.identity import BIRTH_VERSION, Principal, Role, check_password
from ..domain.ids import uuid7
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Message, Recipient
from .hash_queue import Asker
from .login_sessions import LoginSessions, SignedIn
from .outgoing import OutgoingEmails, VerificationToken
from .passwords import Passwords
from .sign_in import counted
from .tokens import digest

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateInvite(Message[IdempotentReply[Invited]]):
    """Invite ``email`` in normal form. Conflict ``email_already_registered``, ``invite_already_exists``."""

    principal: Principal
    email: str
    role: Role
    origin: Origin
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeInvite(Message[IdempotentReply[Invite]]):
    """Revoke an invite. NotFound ``invite_not_found``; Conflict ``invite_not_pending``."""

    principal: Principal
    invite_id: str
    origin: Origin
    key: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUpInvite(Message[Found]):
    """Find an invite by either of its tokens. NotFound; BadRequest ``invite_not_pending``, ``invite_expired``."""

    token: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptInvite(Message[SignedIn]):
    """Join with either token. Refusals: WeakPassword, those of ``LookUpInvite``, Conflict."""

    token: str
    password: str
    full_name: str
    origin: Origin


InviteMessage = CreateInvite | RevokeInvite | LookUpInvite | AcceptInvite


class Invites:
    """Creates, revokes and accepts invites. ``verification`` makes the verification e-mail."""

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        emails: OutgoingEmails,
        passwords: Passwords,
        families: LoginSessions,
        *,
        verification: Callable[[str], VerificationToken],
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._passwords = passwords
        self._families = families
        self._emails = emails
        self._sealing = Sealing(settings.sealing_keys)
        self._base = settings.public_url
        self._lifetime = timedelta(seconds=settings.auth_invite_ttl_seconds)
        self._verified_only = not settings.auth_skip_email_verification
        self._verification = verification

    def carry_out(self, message: InviteMessage) -> Coroutine[Any, Any, Any]:
        """The reply to ``message``."""
        match message:
            case CreateInvite():
                return self._create(message)
            case RevokeInvite():
                return self._revoke(message)
            case LookUpInvite():
                return counted("invite_lookup", self._look_up(message))
            case AcceptInvite():
                return counted("accept_invite", self._accept(message))
            case _:
                assert_never(message)

    async def _create(self, message: CreateInvite) -> IdempotentReply[Invited]:
        """See ``CreateInvite``. The link's token differs from the e-mail's: it does not verify the address."""
        caller, now, invite_id = message.principal, self._clock.now(), uuid7()
        expires_at = now + self._lifetime
        mail, email_token = self._emails.invite(invite_id, message.email, expires_at)
        token = secrets.token_urlsafe(32)
        command = Create(
            agency_id=caller.tenant_id,
            user_id=caller.user_id,
            token_version=caller.token_version,
            invite=NewInvite(
                id=invite_id,
                email=message.email,
                role=message.role,
                token_hash=digest(token),
                letter_token_hash=digest(email_token),
                expires_at=expires_at,
                mail=mail,
                link=link(Kind.INVITE, self._base, token),
            ),
            verified_only=self._verified_only,
            origin=message.origin,
            now=now,
        )
        return await self._once(command, Invited, message.key)

    async def _revoke(self, message: RevokeInvite) -> IdempotentReply[Invite]:
        """See ``RevokeInvite``."""
        caller = message.principal
        command = Revoke(
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
            invite_id=message.invite_id,
            origin=message.origin,
            now=self._clock.now(),
        )
        return await self._once(command, Invite, message.key)

    async def _once(self, command: Command[R], reply: type[R], key: IdempotencyKey | None) -> IdempotentReply[R]:
        """Under an idempotency key the reply is stored sealed: it may contain a link."""
        once = Once(
            tenant_id=command.tenant_id,
            key=key,
            command=command,
            reply=reply,
            now=self._clock.now(),
            sealing=self._sealing,
        )
        return await self._storage.ask(once)

    async def _look_up(self, message: LookUpInvite) -> Found:
        """See ``LookUpInvite``."""
        return await self._storage.ask(Find(token_hash=digest(message.token), now=self._clock.now()))

    async def _accept(self, message: AcceptInvite) -> SignedIn:
        """See ``AcceptInvite``. An invalid token costs no hash."""
        check_password(message.password)
        token_hash = digest(message.token)
        found = await self._storage.ask(Find(token_hash=token_hash, now=self._clock.now()))
        if await self._storage.ask(IsEmailTaken(email=found.email, now=self._clock.now())):
            raise Conflict("email_already_registered")
        password_hash = await self._passwords.hash(message.password, Asker.of(message.origin))
        now = self._clock.now()
        new_session = self._families.open(message.origin, now)
        verified = found.by_email or not self._verified_only
        person = Principal(
            user_id=uuid7(),
            tenant_id=found.tenant_id,
            role=found.role,
            email=found.email,
            email_verified=verified,
            full_name=message.full_name,
            tenant_name=found.tenant_name,
            created_at=now,
            token_version=BIRTH_VERSION,
            family_id=new_session.family.id,
        )
        verification = None if verified else self._verification(found.email)
        await self._storage.ask(
            Accept(
                invite=found,
                token_hash=token_hash,
                person=person,
                password_hash=password_hash,
                family=new_session.family,
                verification=None if verification is None else (verification.token, verification.mail),
                origin=message.origin,
                now=now,
            )
        )
        return self._families.issue_tokens(person, new_session, now)
