"""``/auth``: sign-up, sign-in, refresh and sign-out."""

from __future__ import annotations

from ...actors.accounts.actor import Refresh, SignIn, SignOut, SignUp
from ..guards import bearer
from ..operation import THROTTLED, operation
from ..request_context import Answer, RequestContext
from ..schemas.accounts import (
    AuthResponse,
    RefreshRequest,
    SignInRequest,
    SignOutRequest,
    SignUpRequest,
    TokenPairResponse,
)


@operation(
    body=SignUpRequest,
    reply=AuthResponse,
    refusals={**THROTTLED, 400: ("password_too_weak",), 409: ("email_already_registered",)},
)
async def sign_up(call: RequestContext) -> Answer:
    """Create an agency and its first admin. Returns tokens."""
    body: SignUpRequest = call.body
    signed_in = await call.services.accounts.ask(
        SignUp(
            email=body.email,
            password=body.password,
            full_name=body.full_name,
            agency_name=body.agency_name,
            origin=call.origin,
        )
    )
    return Answer(AuthResponse.of(signed_in))


@operation(
    body=SignInRequest,
    reply=AuthResponse,
    refusals={**THROTTLED, 401: ("invalid_credentials", "account_inactive", "email_not_verified", "totp_required")},
)
async def sign_in(call: RequestContext) -> Answer:
    """Sign in with e-mail and password."""
    body: SignInRequest = call.body
    signed_in = await call.services.accounts.ask(SignIn(email=body.email, password=body.password, origin=call.origin))
    return Answer(AuthResponse.of(signed_in))


@operation(body=RefreshRequest, reply=TokenPairResponse, refusals={**THROTTLED, 401: ("invalid_refresh_token",)})
async def refresh(call: RequestContext) -> Answer:
    """Exchange a refresh token for a new access token and refresh token.

    Sent again within 30 seconds, the same token returns the same new refresh token. Sent again later, it revokes the
    login session it belongs to.
    """
    body: RefreshRequest = call.body
    message = Refresh(refresh_token=body.refresh_token, origin=call.origin)
    return Answer(TokenPairResponse.of(await call.services.accounts.ask(message)))


@operation(body=SignOutRequest, body_required=False)
async def sign_out(call: RequestContext) -> Answer:
    """Sign out: revoke the login session of the bearer token, of the refresh token, or of both.

    Unknown and expired tokens are ignored.
    """
    body: SignOutRequest | None = call.body
    refresh_token = None if body is None else body.refresh_token
    await call.services.accounts.ask(SignOut(bearer=bearer(call), refresh_token=refresh_token, origin=call.origin))
    return Answer()
