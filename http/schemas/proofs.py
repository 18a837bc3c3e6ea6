"""Requests and responses of e-mail verification, passwords and profile (docs/contract/identity.md 9.7 to 9.11, 10)."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from .accounts import Email, KnownPassword, NewPassword, PublicUser, named
from .shared import Body, LooseBody, Reply

Token = Annotated[str, Field(min_length=1, max_length=128)]
"""A one-time token, as the e-mail carries it."""


class Closed(Reply):
    """A response published with ``additionalProperties: false``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SendVerificationEmailResponse(Reply):
    """The verification e-mail is queued, or the address is already verified."""

    queued: bool


class VerifyEmailRequest(LooseBody):
    """The token from a verification e-mail."""

    token: Token


class VerifyEmailResponse(Reply):
    """The address is verified."""

    verified: bool


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


class ChangePasswordRequest(Body):
    """The current password and the new one."""

    current_password: KnownPassword
    new_password: NewPassword


class UpdateProfileRequest(Body):
    """A new name or e-mail address. Null or omitted fields are kept."""

    full_name: Annotated[str, Field(max_length=120), named("full_name_required")] | None = None
    email: Email | None = None


class UpdateProfileResponse(Closed):
    """The updated user, and whether a new address has to be verified."""

    user: PublicUser
    email_verification_required: bool = False
