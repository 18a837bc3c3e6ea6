"""All of an account that goes by letter: proofs of addresses, new passwords, invites, changes that are told of."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_never

from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Recipient
from .email_verification import EmailVerificationFlows, ResendVerification, UpdateProfile, VerifyEmail
from .invites import AcceptInvite, ByInvite, CreateInvite, Invites, LookUpInvite, RevokeInvite
from .login_sessions import LoginSessions
from .outgoing import OutgoingEmails
from .password_reset import ChangePassword, PasswordFlows, RequestReset, ResetPassword
from .passwords import Passwords
from .reset_requests import ResetRequests
from .revocation import Revocation
from .sign_in import counted

ByLetter = ResendVerification | VerifyEmail | UpdateProfile | RequestReset | ResetPassword | ChangePassword | ByInvite


class EmailFlows:
    """Carries out what ends in a letter. ``posted`` is called when there may be one to deliver.

    ``forgive`` is called with the address and id of who has set a new password by letter.
    """

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        passwords: Passwords,
        families: LoginSessions,
        endings: Revocation,
        posted: Callable[[], None],
        forgive: Callable[[str, str], None],
    ) -> None:
        letters = OutgoingEmails(settings)
        resets = ResetRequests(storage, letters, clock, ttl=settings.auth_password_reset_ttl_seconds)
        self._proving = EmailVerificationFlows(
            storage,
            letters,
            clock,
            endings,
            proof_ttl=settings.auth_verification_ttl_seconds,
            reset_ttl=settings.auth_password_reset_ttl_seconds,
        )
        self._recovery = PasswordFlows(
            storage,
            passwords,
            families,
            letters,
            resets,
            clock,
            endings,
            openly=settings.auth_debug_tokens,
            forgive=forgive,
        )
        self.proof = self._proving.proof
        self._invites = Invites(storage, settings, clock, letters, passwords, families, proof=self.proof)
        self.posted = posted

    async def carry_out(self, message: ByLetter) -> Any:
        """The answer to ``message``; its letter is on disk by then, and on its way."""
        answer = await self._begin(message)
        self.posted()
        return answer

    def _begin(self, message: ByLetter) -> Coroutine[Any, Any, Any]:
        match message:
            case ResendVerification():
                return self._proving.send(message)
            case VerifyEmail():
                return counted("verify_email", self._proving.verify(message))
            case UpdateProfile():
                return self._proving.update(message)
            case RequestReset():
                return counted("request_password_reset", self._recovery.request(message))
            case ResetPassword():
                return counted("reset_password", self._recovery.reset(message))
            case ChangePassword():
                return counted("change_password", self._recovery.change(message))
            case CreateInvite() | RevokeInvite() | LookUpInvite() | AcceptInvite():
                return self._invites.carry_out(message)
            case _:
                assert_never(message)
