"""Requests and responses of the caller's own account (docs/contract/identity.md 9.7 and 10)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .accounts import Email, KnownPassword, NewPassword, PublicUser, named
from .shared import Body, Closed


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
