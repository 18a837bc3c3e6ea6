"""``/auth/totp`` and ``/auth/sign-in-totp``."""

from __future__ import annotations

from ...actors.accounts.second_factor import DisableTotp, SetUpTotp, SignInTotp, VerifyTotp
from ...storage.accounts.second_factor import Read
from ..operation import THROTTLED, operation
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


@operation(
    body=SignInTotpRequest,
    reply=AuthResponse,
    refusals={
        **THROTTLED,
        400: ("totp_not_enabled",),
        401: ("invalid_credentials", "account_inactive", "email_not_verified", "totp_invalid"),
    },
)
async def sign_in_totp(call: RequestContext) -> Answer:
    """Sign in with e-mail, password and a TOTP code or recovery code.

    Each code can be used once. After a recovery code the response includes ``recovery_codes_left``.
    """
    body: SignInTotpRequest = call.body
    result = await call.services.accounts.ask(
        SignInTotp(email=body.email, password=body.password, code=body.totp_code, origin=call.origin)
    )
    tokens = AuthResponse.of(result.signed_in)
    if result.recovery_codes_left is None:
        return Answer(tokens)
    return Answer(RecoveredAuthResponse(**dict(tokens), recovery_codes_left=result.recovery_codes_left))


@operation(name="totp_status", reply=TotpStatusResponse, addition=True)
async def totp_status(call: RequestContext) -> Answer:
    """Whether the caller has enabled two-factor sign-in."""
    caller = call.person
    factor = await call.services.storage.ask(Read(tenant_id=caller.tenant_id, user_id=caller.user_id))
    return Answer(TotpStatusResponse(totp_enabled=factor.enabled))


@operation(reply=TotpSetupResponse, refusals={409: ("totp_already_enabled",)})
async def totp_setup(call: RequestContext) -> Answer:
    """Create a TOTP secret. Two-factor sign-in is not enabled until a first code is verified."""
    seed = await call.services.accounts.ask(SetUpTotp(principal=call.person))
    return Answer(TotpSetupResponse.of(seed))


@operation(
    body=TotpVerifyRequest,
    reply=TotpStatusResponse,
    refusals={**THROTTLED, 400: ("totp_not_initialized",), 401: ("totp_invalid",)},
)
async def totp_verify(call: RequestContext) -> Answer:
    """Verify a TOTP code. The first one enables two-factor sign-in and returns ten recovery codes, shown only once."""
    body: TotpVerifyRequest = call.body
    message = VerifyTotp(principal=call.person, code=body.code, origin=call.origin)
    codes = await call.services.accounts.ask(message)
    return Answer(TotpVerifiedResponse(totp_enabled=True, recovery_codes=codes))


@operation(
    body=TotpDisableRequest,
    reply=TotpStatusResponse,
    refusals={**THROTTLED, 403: ("invalid_password", "totp_invalid")},
)
async def totp_disable(call: RequestContext) -> Answer:
    """Disable two-factor sign-in with password and code. Deletes the secret and the recovery codes."""
    body: TotpDisableRequest = call.body
    await call.services.accounts.ask(
        DisableTotp(principal=call.person, password=body.password, code=body.code, origin=call.origin)
    )
    return Answer(TotpStatusResponse(totp_enabled=False))
