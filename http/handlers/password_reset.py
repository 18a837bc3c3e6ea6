"""``/auth``: reset of a forgotten password."""

from __future__ import annotations

from ...actors.accounts.actor import RequestReset, ResetPassword
from ..operation import THROTTLED, operation
from ..request_context import Answer, RequestContext
from ..schemas.password_reset import (
    RequestPasswordResetRequest,
    RequestPasswordResetResponse,
    ResetPasswordRequest,
    ResetPasswordResponse,
)


@operation(body=RequestPasswordResetRequest, reply=RequestPasswordResetResponse, refusals=THROTTLED)
async def request_password_reset(call: RequestContext) -> Answer:
    """Request a password reset e-mail. The response is the same for known and unknown addresses."""
    body: RequestPasswordResetRequest = call.body
    token = await call.services.accounts.ask(RequestReset(email=body.email, origin=call.origin))
    return Answer(RequestPasswordResetResponse(queued=True, debug_token=token))


@operation(
    body=ResetPasswordRequest,
    reply=ResetPasswordResponse,
    refusals={**THROTTLED, 400: ("password_too_weak", "token_invalid")},
)
async def reset_password(call: RequestContext) -> Answer:
    """Set a new password with the token from the reset e-mail. Revokes all login sessions."""
    body: ResetPasswordRequest = call.body
    message = ResetPassword(token=body.token, new_password=body.new_password, origin=call.origin)
    await call.services.accounts.ask(message)
    return Answer(ResetPasswordResponse(reset=True))
