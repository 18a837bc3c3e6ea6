"""Password reset by e-mailed token, and password change with the current one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...storage.accounts.one_time_tokens import RESET, UNDO_RESET, Find
from ...storage.accounts.passwords import ChangePassword as Change
from ...storage.accounts.passwords import Hash, Reset
from ..domain.audit import Origin
from ..domain.email_texts import Kind
from ..domain.errors import Forbidden
from ..domain.identity import Principal, check_password
from ..foundation.clock import Clock
from ..runtime.actor import Message, Recipient
from .hash_queue import Asker
from .login_sessions import LoginSessions
from .outgoing import OutgoingEmails
from .passwords import Passwords
from .refresh_tokens import TokenPair
from .reset_requests import ResetRequests
from .revocation import Revocation
from .tokens import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReset(Message[str | None]):
    """Send a reset e-mail to ``email``. Returns the token only where settings expose it, else None."""

    email: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPassword(Message[None]):
    """Set a password with a reset token. WeakPassword; BadRequest ``token_invalid``."""

    token: str
    new_password: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePassword(Message[TokenPair]):
    """Set a password, given the current one. Forbidden ``invalid_password``; WeakPassword."""

    principal: Principal
    current_password: str
    new_password: str
    origin: Origin


class PasswordFlows:
    """Sets new passwords and revokes the sessions of the old one."""

    def __init__(
        self,
        storage: Recipient,
        passwords: Passwords,
        families: LoginSessions,
        emails: OutgoingEmails,
        resets: ResetRequests,
        clock: Clock,
        revocation: Revocation,
        *,
        expose_tokens: bool,
        forgive: Callable[[str, str], None],
    ) -> None:
        """``expose_tokens`` returns reset tokens to the client, which production refuses."""
        self._storage = storage
        self._passwords = passwords
        self._families = families
        self._emails = emails
        self._resets = resets
        self._clock = clock
        self._revocation = revocation
        self._expose_tokens = expose_tokens
        self._forgive = forgive

    async def request(self, message: RequestReset) -> str | None:
        """See ``RequestReset``."""
        if self._expose_tokens:
            return await self._resets.request_and_expose(message.email, message.origin)
        await self._resets.request(message.email, message.origin)
        return None

    async def reset(self, message: ResetPassword) -> None:
        """See ``ResetPassword``. An invalid token costs no hash."""
        check_password(message.new_password)
        find = Find(token_hash=digest(message.token), kinds=(RESET, UNDO_RESET), now=self._clock.now())
        token = await self._storage.ask(find)
        password_hash = await self._passwords.hash(message.new_password, Asker.of(message.origin))
        command = Reset(
            token=token,
            password_hash=password_hash,
            notice=self._emails.notice(Kind.PASSWORD_WAS_RESET, token.email),
            origin=message.origin,
            now=self._clock.now(),
        )
        try:
            await self._storage.ask(command)
        finally:  # also when the outcome is unknown
            self._revocation.invalidate_user(token.user_id)
        self._revocation.revoke_user(token.user_id)
        self._forgive(token.email, token.user_id)

    async def change(self, message: ChangePassword) -> TokenPair:
        """See ``ChangePassword``."""
        caller = message.principal
        stored = await self._storage.ask(Hash(tenant_id=caller.tenant_id, user_id=caller.user_id))
        asker = Asker.of(message.origin, caller.email)
        if not await self._passwords.verify(stored, message.current_password, asker) or stored is None:
            raise Forbidden("invalid_password")
        check_password(message.new_password)
        password_hash = await self._passwords.hash(message.new_password, asker)
        now = self._clock.now()
        new_session = self._families.open(message.origin, now)
        command = Change(
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
            judged_hash=stored,
            password_hash=password_hash,
            notice=self._emails.notice(Kind.PASSWORD_CHANGED, caller.email),
            family=new_session.family,
            origin=message.origin,
            now=now,
        )
        try:
            principal = await self._storage.ask(command)
        finally:
            self._revocation.invalidate_user(caller.user_id)
        self._revocation.revoke_user(caller.user_id)
        issue_tokens = self._families.issue_tokens(principal, new_session, now)
        return TokenPair(
            access_token=issue_tokens.access_token,
            refresh_token=issue_tokens.refresh_token,
            expires_in=issue_tokens.expires_in,
        )
