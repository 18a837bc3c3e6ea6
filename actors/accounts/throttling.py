"""Throttles the operations that can be used for guessing: one line each, and the gate they pass."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ...storage.accounts.email_verification import Changed
from ..domain import throttles
from ..domain.audit import Origin
from ..domain.errors import Refusal
from ..domain.throttles import OK, Operation
from ..foundation import log
from ..runtime.actor import Message, Recipient
from ..throttling.throttle import Attempt, Begin, ClearGuesses, End
from .api_keys import CreateKey
from .email_verification import ResendVerification, UpdateProfile, VerifyEmail
from .invites import AcceptInvite, CreateInvite, LookUpInvite
from .password_reset import ChangePassword, RequestReset, ResetPassword
from .refresh_tokens import Refresh
from .second_factor import DisableTotp, SignInTotp, VerifyTotp
from .sign_in import SignIn, SignUp

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Malformed(Message[None]):
    """A malformed public request. Throttled ``too_many_attempts`` if its network sends many."""

    origin: Origin


THROTTLED: Final[Mapping[type, Operation]] = {
    SignUp: throttles.SIGN_UP,
    SignIn: throttles.SIGN_IN,
    SignInTotp: throttles.SIGN_IN_TOTP,
    Refresh: throttles.REFRESH,
    VerifyTotp: throttles.TOTP_VERIFY,
    DisableTotp: throttles.TOTP_DISABLE,
    ChangePassword: throttles.CHANGE_PASSWORD,
    ResetPassword: throttles.RESET_PASSWORD,
    VerifyEmail: throttles.VERIFY_EMAIL,
    RequestReset: throttles.REQUEST_RESET,
    ResendVerification: throttles.SEND_VERIFICATION,
    LookUpInvite: throttles.LOOK_UP_INVITE,
    AcceptInvite: throttles.ACCEPT_INVITE,
    CreateInvite: throttles.CREATE_INVITE,
    CreateKey: throttles.CREATE_KEY,
    Malformed: throttles.MALFORMED,
}
"""Message -> the operation it counts as. It has an ``origin``, and a ``principal`` or ``email`` where it names one."""

BY_EMAIL: Final = (SignIn, SignInTotp, RequestReset)
"""Public messages that name the account they are about; a sign-up's address is no account yet."""

UNCHANGED: Final = "unchanged"
"""The outcome of a change that changed nothing."""

_log = log.get("accounts.throttling")


class ThrottleGate:
    """Asks the throttle before an attempt and reports its outcome. Without a throttle all attempts pass."""

    def __init__(self, throttle: Recipient | None) -> None:
        self._throttle = throttle

    async def judged(self, message: M, judge: Callable[[M], Coroutine[Any, Any, Any]]) -> Any:
        """The reply of ``judge`` to ``message``. Throttled ``too_many_attempts`` before any work is done.

        An attempt that fails by a defect stays charged.
        """
        operation = _operation(message)
        if self._throttle is None or operation is None:
            return await judge(message)
        receipt = await self._throttle.ask(Begin(_attempt(operation, message)))
        try:
            answer = await judge(message)
        except Refusal as refusal:
            self._notify_throttle(self._throttle, End(receipt, refusal.code))
            raise
        self._notify_throttle(
            self._throttle, End(receipt, UNCHANGED if isinstance(answer, Changed) and not answer.moved else OK)
        )
        return answer

    def forgive(self, email: str, user_id: str) -> None:
        """Reset the counts of an account after a password reset."""
        if self._throttle is not None:
            self._notify_throttle(self._throttle, ClearGuesses(email, user_id))

    def _notify_throttle(self, throttle: Recipient, message: End | ClearGuesses) -> None:
        """Send the outcome; if the throttle's mailbox is full, the attempt stays charged."""
        try:
            throttle.tell(message)
        except Refusal as full:
            _log.warning("throttle_update_failed", refusal=full.code)


def _operation(message: object) -> Operation | None:
    """The operation a message is counted as. A profile update counts if it claims another address."""
    if isinstance(message, UpdateProfile):
        claims = message.email is not None and message.email != message.principal.email
        return throttles.CHANGE_ADDRESS if claims else None
    return THROTTLED.get(type(message))


def _attempt(operation: Operation, message: Any) -> Attempt:
    return Attempt(
        operation=operation,
        origin=message.origin,
        email=message.email if isinstance(message, BY_EMAIL) else None,
        principal=getattr(message, "principal", None),
    )
