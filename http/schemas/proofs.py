"""The shapes of addresses proven and passwords renewed under ``/auth`` (identity 9.7 to 9.11, 10)."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from .accounts import Email, KnownPassword, NewPassword, PublicUser, named
from .shared import Body, LooseBody, Reply

Token = Annotated[str, Field(min_length=1, max_length=128)]
"""A one-time token as its letter carries it."""


class Closed(Reply):
    """A reply that is published as having nothing beside its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SendVerificationEmailResponse(Reply):
    """The letter is on its way, or the address is proven already."""

    queued: bool


class VerifyEmailRequest(LooseBody):
    """The token of a letter."""

    token: Token


class VerifyEmailResponse(Reply):
    """The address is proven."""

    verified: bool


class RequestPasswordResetRequest(Body):
    """Whose password is forgotten."""

    email: Email


class RequestPasswordResetResponse(Closed):
    """The same for every address. ``debug_token`` is null, but on test benches that give tokens away."""

    queued: bool
    debug_token: str | None = None


class ResetPasswordRequest(Body):
    """The token of a letter, and the new password."""

    token: Token
    new_password: NewPassword


class ResetPasswordResponse(Closed):
    """The password is the new one."""

    reset: bool


class ChangePasswordRequest(Body):
    """The password that is, and the one to be."""

    current_password: KnownPassword
    new_password: NewPassword


class UpdateProfileRequest(Body):
    """What is to be another; null or absent stays."""

    full_name: Annotated[str, Field(max_length=120), named("full_name_required")] | None = None
    email: Email | None = None


class UpdateProfileResponse(Closed):
    """The person afterwards, and whether a new address waits to be proven."""

    user: PublicUser
    email_verification_required: bool = False
