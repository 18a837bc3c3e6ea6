"""``/auth/totp`` and ``/auth/sign-in-totp``."""

from __future__ import annotations

from ...actors.accounts.second_factor import DisableTotp, SetUpTotp, SignInTotp, VerifyTotp
from ..request_context import Answer, RequestContext
from ..schemas.accounts import AuthResponse
from ..schemas.second_factor import (
    RecoveredAuthResponse,
    SignInTotpRequest,
    TotpDisableRequest,
    TotpSetupResponse,
    TotpStatusResponse,
    TotpVerifiedResponse,
    TotpVerifyRequest,
)


async def sign_in_totp(call: RequestContext) -> Answer:
    """Come in with address, password and a code of the device, or one of the recovery codes.

    Each code signs in once. After a recovery code the answer also has ``recovery_codes_left``.
    """
    body: SignInTotpRequest = call.body
    entered = await call.services.accounts.ask(
        SignInTotp(email=body.email, password=body.password, code=body.totp_code, origin=call.origin)
    )
    told = AuthResponse.of(entered.signed_in)
    if entered.recovery_codes_left is None:
        return Answer(told)
    return Answer(RecoveredAuthResponse(**dict(told), recovery_codes_left=entered.recovery_codes_left))


async def totp_setup(call: RequestContext) -> Answer:
    """A new secret for a device. It asks for nothing until its first code is verified."""
    seed = await call.services.accounts.ask(SetUpTotp(principal=call.person))
    return Answer(TotpSetupResponse(secret=seed.secret, otpauth_url=seed.otpauth_url))


async def totp_verify(call: RequestContext) -> Answer:
    """Show that the device works, which turns the factor on and gives ten recovery codes, once."""
    body: TotpVerifyRequest = call.body
    message = VerifyTotp(principal=call.person, code=body.code, origin=call.origin)
    codes = await call.services.accounts.ask(message)
    return Answer(TotpVerifiedResponse(totp_enabled=True, recovery_codes=codes))


async def totp_disable(call: RequestContext) -> Answer:
    """Turn the factor off, by password and code. Its secret and recovery codes are gone."""
    body: TotpDisableRequest = call.body
    await call.services.accounts.ask(
        DisableTotp(principal=call.person, password=body.password, code=body.code, origin=call.origin)
    )
    return Answer(TotpStatusResponse(totp_enabled=False))
