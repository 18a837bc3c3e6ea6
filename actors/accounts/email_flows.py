"""Account operations that send e-mail: verification, password reset, invites and notices of changes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_never

from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Recipient
from .email_verification import EmailVerificationFlows, ResendVerification, UpdateProfile, VerifyEmail
from .invites import AcceptInvite, CreateInvite, InviteMessage, Invites, LookUpInvite, RevokeInvite
from .login_sessions import LoginSessions
from .outgoing import OutgoingEmails
from .password_reset import ChangePassword, PasswordFlows, RequestReset, ResetPassword
from .passwords import Passwords
from .reset_requests import ResetRequests
from .revocation import Revocation
from .sign_in import counted

EmailMessage = (
    ResendVerification | VerifyEmail | UpdateProfile | RequestReset | ResetPassword | ChangePassword | InviteMessage
)


class EmailFlows:
    """Executes operations that send e-mail. ``on_enqueued`` is called when one may be due.

    ``forgive`` is called with address and user id after a password reset.
    """

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        passwords: Passwords,
        families: LoginSessions,
        revocation: Revocation,
        on_enqueued: Callable[[], None],
        forgive: Callable[[str, str], None],
    ) -> None:
        emails = OutgoingEmails(settings)
        resets = ResetRequests(storage, emails, clock, ttl=settings.auth_password_reset_ttl_seconds)
        self._email_verification = EmailVerificationFlows(
            storage,
            emails,
            clock,
            revocation,
            verification_ttl=settings.auth_verification_ttl_seconds,
            reset_ttl=settings.auth_password_reset_ttl_seconds,
        )
        self._password_flows = PasswordFlows(
            storage,
            passwords,
            families,
            emails,
            resets,
            clock,
            revocation,
            expose_tokens=settings.auth_debug_tokens,
            forgive=forgive,
        )
        self.verification = self._email_verification.verification
        self._invites = Invites(storage, settings, clock, emails, passwords, families, verification=self.verification)
        self.on_enqueued = on_enqueued

    async def carry_out(self, message: EmailMessage) -> Any:
        """The reply to ``message``; its e-mail is stored in the outbox by then."""
        answer = await self._begin(message)
        self.on_enqueued()
        return answer

    def _begin(self, message: EmailMessage) -> Coroutine[Any, Any, Any]:
        match message:
            case ResendVerification():
                return self._email_verification.send(message)
            case VerifyEmail():
                return counted("verify_email", self._email_verification.verify(message))
            case UpdateProfile():
                return self._email_verification.update(message)
            case RequestReset():
                return counted("request_password_reset", self._password_flows.request(message))
            case ResetPassword():
                return counted("reset_password", self._password_flows.reset(message))
            case ChangePassword():
                return counted("change_password", self._password_flows.change(message))
            case CreateInvite() | RevokeInvite() | LookUpInvite() | AcceptInvite():
                return self._invites.carry_out(message)
            case _:
                assert_never(message)
