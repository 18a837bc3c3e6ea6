"""``/auth``: e-mail verification, password reset and change, and the caller's profile."""

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
    """Resend the verification e-mail. Nothing is sent if the address is already verified."""
    await call.services.accounts.ask(ResendVerification(principal=call.person, origin=call.origin))
    return Answer(SendVerificationEmailResponse(queued=True))


async def verify_email(call: RequestContext) -> Answer:
    """Verify an e-mail address with the token from an e-mail, or undo a change of address. Does not sign in."""
    body: VerifyEmailRequest = call.body
    await call.services.accounts.ask(VerifyEmail(token=body.token, origin=call.origin))
    return Answer(VerifyEmailResponse(verified=True))


async def request_password_reset(call: RequestContext) -> Answer:
    """Request a password reset e-mail. The response is the same for known and unknown addresses."""
    body: RequestPasswordResetRequest = call.body
    token = await call.services.accounts.ask(RequestReset(email=body.email, origin=call.origin))
    return Answer(RequestPasswordResetResponse(queued=True, debug_token=token))


async def reset_password(call: RequestContext) -> Answer:
    """Set a new password with the token from the reset e-mail. Revokes all login sessions."""
    body: ResetPasswordRequest = call.body
    message = ResetPassword(token=body.token, new_password=body.new_password, origin=call.origin)
    await call.services.accounts.ask(message)
    return Answer(ResetPasswordResponse(reset=True))


async def change_password(call: RequestContext) -> Answer:
    """Change the password. Revokes all login sessions and returns tokens for a new one."""
    body: ChangePasswordRequest = call.body
    message = ChangePassword(
        principal=call.person,
        current_password=body.current_password,
        new_password=body.new_password,
        origin=call.origin,
    )
    return Answer(TokenPairResponse.of(await call.services.accounts.ask(message)))


async def update_profile(call: RequestContext) -> Answer:
    """Update the caller's name or e-mail address.

    A new address has to be verified. The previous address can undo the change for seven days.
    """
    body: UpdateProfileRequest = call.body
    message = UpdateProfile(principal=call.person, full_name=body.full_name, email=body.email, origin=call.origin)
    changed = await call.services.accounts.ask(message)
    return Answer(
        UpdateProfileResponse(user=PublicUser.of(changed.principal), email_verification_required=changed.moved)
    )
