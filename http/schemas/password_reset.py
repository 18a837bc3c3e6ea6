"""Requests and responses of password reset (docs/contract/identity.md 9.10 and 9.11)."""

from __future__ import annotations

from .accounts import Email, NewPassword
from .shared import Body, Closed, Token


class RequestPasswordResetRequest(Body):
    """The e-mail address of the account."""

    email: Email


class RequestPasswordResetResponse(Closed):
    """The same for every address. ``debug_token`` is null unless debug tokens are enabled, for tests."""

    queued: bool
    debug_token: str | None = None


class ResetPasswordRequest(Body):
    """The token from a password reset e-mail, and the new password."""

    token: Token
    new_password: NewPassword


class ResetPasswordResponse(Closed):
    """The new password is set."""

    reset: bool
