"""The shapes of ``/auth`` (identity 4, 5 and 9)."""

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
    """The form a password is measured in. What is too long in any form is left as it is, to be refused unread.

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
"""An address, read into its normal form."""

NewPassword = Annotated[
    str,
    Field(min_length=PASSWORD_LENGTH.start, max_length=PASSWORD_LENGTH.stop - 1),
    _opaque_below(PASSWORD_LENGTH.stop),
    AfterValidator(_has_letter_and_digit),
]
"""A password to be set. The list of common ones is held against it later: that refusal is a 400."""

KnownPassword = Annotated[str, Field(min_length=1, max_length=256), _opaque_below(257)]
"""A password that proves identity: no policy, it only has to be right."""

FullName = Annotated[str, Field(min_length=1, max_length=120), named("full_name_required")]
AgencyName = Annotated[str, Field(min_length=1, max_length=120), named("agency_name_required")]


class SignUpRequest(LooseBody):
    """An agency and its first admin."""

    email: Email
    password: NewPassword
    full_name: FullName
    agency_name: AgencyName


class SignInRequest(LooseBody):
    """Who one says one is, and the proof."""

    email: Email
    password: KnownPassword


class RefreshRequest(LooseBody):
    """The refresh token one holds."""

    refresh_token: str = Field(min_length=1, max_length=512)


class SignOutRequest(LooseBody):
    """A session to be ended, beside or instead of the bearer's."""

    refresh_token: str | None = None


class PublicUser(Reply):
    """A person as they see themselves."""

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
    """Tokens, and whose they are. ``expires_in`` is the access token's life in seconds."""

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
    """The tokens to go on with. ``expires_in`` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int

    @classmethod
    def of(cls, pair: TokenPair) -> TokenPairResponse:
        return cls(access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in)
