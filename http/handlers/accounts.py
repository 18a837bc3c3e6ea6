"""``/auth``."""

from __future__ import annotations

from ...actors.accounts.actor import SignIn, SignUp
from ..call import Answer, Call
from ..wire.accounts import AuthResponse, PublicUser, SignInRequest, SignUpRequest


async def sign_up(call: Call) -> Answer:
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


async def sign_in(call: Call) -> Answer:
    """Come in with address and password."""
    body: SignInRequest = call.body
    signed_in = await call.services.accounts.ask(SignIn(email=body.email, password=body.password, origin=call.origin))
    return Answer(AuthResponse.of(signed_in))


async def me(call: Call) -> Answer:
    """Who one is, read from the row and not from the token."""
    return Answer(PublicUser.of(call.person))
