"""Requests and responses of ``/auth`` (docs/contract/identity.md 4, 5 and 9)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from ...actors.accounts.login_sessions import SignedIn
from ...actors.accounts.refresh_tokens import TokenPair
from ...actors.domain.identity import PASSWORD_LENGTH, Principal, has_digit, has_letter, normal_email, opaque
from .shared import LooseBody, Reply, UtcTime, coded


def _has_letter_and_digit(password: str) -> str:
    if not (has_letter(password) and has_digit(password)):
        raise coded("password_must_contain_letter_and_digit")
    return password


def _opaque_below(length: int) -> BeforeValidator:
    """Normalize a password before its length is checked. One that is too long in any form is left as it is.

    No canonical composition makes one code point of more than four.
    """
    return BeforeValidator(lambda text: opaque(text) if isinstance(text, str) and len(text) < 4 * length else text)


def named(code: str) -> AfterValidator:
    """Trims a name; a blank one is refused with ``code``."""

    def trim(name: str) -> str:
        if not (trimmed := name.strip()):
            raise coded(code)
        return trimmed

    return AfterValidator(trim)


Email = Annotated[str, AfterValidator(normal_email), WithJsonSchema({"type": "string", "format": "email"})]
"""An e-mail address, normalized."""

NewPassword = Annotated[
    str,
    Field(min_length=PASSWORD_LENGTH.start, max_length=PASSWORD_LENGTH.stop - 1),
    _opaque_below(PASSWORD_LENGTH.stop),
    AfterValidator(_has_letter_and_digit),
]
"""A new password. It is checked against the list of common ones later: that error is a 400."""

KnownPassword = Annotated[str, Field(min_length=1, max_length=256), _opaque_below(257)]
"""A current password: no policy applies, it only has to match."""

FullName = Annotated[str, Field(min_length=1, max_length=120), named("full_name_required")]
AgencyName = Annotated[str, Field(min_length=1, max_length=120), named("agency_name_required")]


class SignUpRequest(LooseBody):
    """A new agency and its first admin."""

    email: Email
    password: NewPassword
    full_name: FullName
    agency_name: AgencyName


class SignInRequest(LooseBody):
    """E-mail and password."""

    email: Email
    password: KnownPassword


class RefreshRequest(LooseBody):
    """The current refresh token."""

    refresh_token: str = Field(min_length=1, max_length=512)


class SignOutRequest(LooseBody):
    """A login session to revoke, in addition to or instead of the bearer token's."""

    refresh_token: str | None = None


class PublicUser(Reply):
    """The authenticated user."""

    id: str
    email: str
    full_name: str | None
    role: str
    tenant_id: str
    tenant_name: str
    created_at: UtcTime
    email_verified: bool = False

    @classmethod
    def of(cls, principal: Principal) -> PublicUser:
        return cls(
            id=principal.user_id,
            email=principal.email,
            full_name=principal.full_name,
            role=principal.role,
            tenant_id=principal.tenant_id,
            tenant_name=principal.tenant_name,
            created_at=principal.created_at,
            email_verified=principal.email_verified,
        )


class AuthResponse(Reply):
    """Tokens and their user. ``expires_in`` is the lifetime of the access token in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    user: PublicUser

    @classmethod
    def of(cls, signed_in: SignedIn) -> AuthResponse:
        return cls(
            access_token=signed_in.access_token,
            refresh_token=signed_in.refresh_token,
            expires_in=signed_in.expires_in,
            user=PublicUser.of(signed_in.principal),
        )


class TokenPairResponse(Reply):
    """New tokens. ``expires_in`` is the lifetime of the access token in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int

    @classmethod
    def of(cls, pair: TokenPair) -> TokenPairResponse:
        return cls(access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in)
