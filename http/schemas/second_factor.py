"""The shapes of ``/auth/totp`` and ``/auth/sign-in-totp`` (identity 9.3 and 9.12 to 9.14)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ...actors.accounts.totp import clean_code
from .accounts import AuthResponse, Email, KnownPassword
from .shared import Body, Reply

TypedCode = Annotated[
    str,
    Field(min_length=6, max_length=8),
    BeforeValidator(lambda typed: clean_code(typed) if isinstance(typed, str) else typed),
]
"""What somebody typed, measured without what only groups it; whether it is a code at all is judged where a wrong one
is."""


class SignInTotpRequest(Body):
    """Who one says one is, and both proofs."""

    email: Email
    password: KnownPassword
    totp_code: TypedCode


class RecoveredAuthResponse(AuthResponse):
    """Tokens after a recovery code, and how many codes are left."""

    recovery_codes_left: int


class TotpSetupResponse(Reply):
    """The secret of a device, as text and as its app scans it."""

    secret: str
    otpauth_url: str


class TotpVerifyRequest(Body):
    """A code of the device."""

    code: TypedCode


class TotpDisableRequest(Body):
    """Both proofs. A recovery code is one too."""

    password: KnownPassword
    code: TypedCode


class TotpStatusResponse(Reply):
    """Whether a sign-in asks for a code."""

    totp_enabled: bool


class TotpVerifiedResponse(TotpStatusResponse):
    """The factor is on. The recovery codes are shown when it was turned on, and never again."""

    recovery_codes: list[str] | None
