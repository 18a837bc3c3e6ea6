"""``/auth``."""

from __future__ import annotations

from ...actors.accounts.actor import Refresh, SignIn, SignOut, SignUp
from ..guards import bearer
from ..request_context import Answer, RequestContext
from ..schemas.accounts import (
    AuthResponse,
    PublicUser,
    RefreshRequest,
    SignInRequest,
    SignOutRequest,
    SignUpRequest,
    TokenPairResponse,
)


async def sign_up(call: RequestContext) -> Answer:
    """Found an agency and become its first admin; tokens at once."""
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


async def sign_in(call: RequestContext) -> Answer:
    """Come in with address and password."""
    body: SignInRequest = call.body
    signed_in = await call.services.accounts.ask(SignIn(email=body.email, password=body.password, origin=call.origin))
    return Answer(AuthResponse.of(signed_in))


async def refresh(call: RequestContext) -> Answer:
    """Exchange a refresh token for the next pair.

    The same token within half a minute answers the same successor; shown later it ends the session it belongs to.
    """
    body: RefreshRequest = call.body
    message = Refresh(refresh_token=body.refresh_token, origin=call.origin)
    return Answer(TokenPairResponse.of(await call.services.accounts.ask(message)))


async def sign_out(call: RequestContext) -> Answer:
    """End the session of the bearer, of the refresh token, or of both. What is unknown or lapsed is ignored."""
    body: SignOutRequest | None = call.body
    shown = None if body is None else body.refresh_token
    await call.services.accounts.ask(SignOut(bearer=bearer(call), refresh_token=shown, origin=call.origin))
    return Answer()


async def me(call: RequestContext) -> Answer:
    """Who one is, read from the row and not from the token."""
    return Answer(PublicUser.of(call.person))
