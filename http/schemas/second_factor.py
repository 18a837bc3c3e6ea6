"""Requests and responses of ``/auth/totp`` and ``/auth/sign-in-totp`` (docs/contract/identity.md 9.3, 9.12 to 9.14)."""

from __future__ import annotations

from typing import Annotated

import segno
from pydantic import BeforeValidator, Field

from ...actors.accounts.second_factor import NewSeed
from ...actors.accounts.totp import clean_code
from .accounts import AuthResponse, Email, KnownPassword
from .shared import ADDITION, Body, Closed, Reply

TypedCode = Annotated[
    str,
    Field(min_length=6, max_length=8),
    BeforeValidator(lambda typed: clean_code(typed) if isinstance(typed, str) else typed),
]
"""A code as typed, without spaces and hyphens. A malformed code is refused like a wrong one, by the actor."""


class SignInTotpRequest(Body):
    """E-mail, password, and a TOTP code or recovery code."""

    email: Email
    password: KnownPassword
    totp_code: TypedCode


class RecoveredAuthResponse(AuthResponse):
    """Tokens after sign-in with a recovery code, and the number of codes left."""

    recovery_codes_left: int


class TotpSetupResponse(Closed):
    """The TOTP secret, as text and as the URL an authenticator app scans.

    ``qr_modules`` is the QR code of that URL, a text per row: ``1`` is dark. Four light modules around it are needed.
    """

    secret: str
    otpauth_url: str
    qr_modules: Annotated[list[str], ADDITION]

    @classmethod
    def of(cls, seed: NewSeed) -> TotpSetupResponse:
        return cls(secret=seed.secret, otpauth_url=seed.otpauth_url, qr_modules=qr_modules(seed.otpauth_url))


def qr_modules(text: str) -> list[str]:
    """The rows of a QR code that survives 15 % of it being hidden."""
    return ["".join(map(str, row)) for row in segno.make(text, error="m", micro=False).matrix]


class TotpVerifyRequest(Body):
    """A TOTP code."""

    code: TypedCode


class TotpDisableRequest(Body):
    """The password, and a TOTP code or recovery code."""

    password: KnownPassword
    code: TypedCode


class TotpStatusResponse(Reply):
    """Whether two-factor sign-in is enabled."""

    totp_enabled: bool


class TotpVerifiedResponse(TotpStatusResponse):
    """Two-factor sign-in is enabled. The recovery codes are shown only once, when it was enabled."""

    recovery_codes: list[str] | None
