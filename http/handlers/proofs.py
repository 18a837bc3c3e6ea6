"""``/auth``: addresses proven, passwords renewed, one's own profile."""

from __future__ import annotations

from ...actors.accounts.actor import (
    ChangePassword,
    RequestReset,
    ResendVerification,
    ResetPassword,
    UpdateProfile,
    VerifyEmail,
)
from ..request_context import Answer, RequestContext
from ..schemas.accounts import PublicUser, TokenPairResponse
from ..schemas.proofs import (
    ChangePasswordRequest,
    RequestPasswordResetRequest,
    RequestPasswordResetResponse,
    ResetPasswordRequest,
    ResetPasswordResponse,
    SendVerificationEmailResponse,
    UpdateProfileRequest,
    UpdateProfileResponse,
    VerifyEmailRequest,
    VerifyEmailResponse,
)


async def send_verification_email(call: RequestContext) -> Answer:
    """Have another letter sent that proves one's address. A proven address gets none."""
    await call.services.accounts.ask(ResendVerification(principal=call.person, origin=call.origin))
    return Answer(SendVerificationEmailResponse(queued=True))


async def verify_email(call: RequestContext) -> Answer:
    """Prove an address with its letter's token, or undo a change of address; signs nobody in."""
    body: VerifyEmailRequest = call.body
    await call.services.accounts.ask(VerifyEmail(token=body.token, origin=call.origin))
    return Answer(VerifyEmailResponse(verified=True))


async def request_password_reset(call: RequestContext) -> Answer:
    """Have a letter sent for setting a new password. Known and unknown addresses are answered alike."""
    body: RequestPasswordResetRequest = call.body
    token = await call.services.accounts.ask(RequestReset(email=body.email, origin=call.origin))
    return Answer(RequestPasswordResetResponse(queued=True, debug_token=token))


async def reset_password(call: RequestContext) -> Answer:
    """Set a new password with a letter's token. Every session ends."""
    body: ResetPasswordRequest = call.body
    message = ResetPassword(token=body.token, new_password=body.new_password, origin=call.origin)
    await call.services.accounts.ask(message)
    return Answer(ResetPasswordResponse(reset=True))


async def change_password(call: RequestContext) -> Answer:
    """Set a new password, knowing the old one. Every other session ends; the answer begins a new one."""
    body: ChangePasswordRequest = call.body
    message = ChangePassword(
        principal=call.person,
        current_password=body.current_password,
        new_password=body.new_password,
        origin=call.origin,
    )
    return Answer(TokenPairResponse.of(await call.services.accounts.ask(message)))


async def update_profile(call: RequestContext) -> Answer:
    """Take another name or address. A new address is to be proven; the old one can undo the change for a week."""
    body: UpdateProfileRequest = call.body
    message = UpdateProfile(principal=call.person, full_name=body.full_name, email=body.email, origin=call.origin)
    changed = await call.services.accounts.ask(message)
    return Answer(
        UpdateProfileResponse(user=PublicUser.of(changed.principal), email_verification_required=changed.moved)
    )
