"""``/auth``: verification of e-mail addresses."""

from __future__ import annotations

from ...actors.accounts.actor import ResendVerification, VerifyEmail
from ..operation import THROTTLED, operation
from ..request_context import Answer, RequestContext
from ..schemas.email_verification import SendVerificationEmailResponse, VerifyEmailRequest, VerifyEmailResponse


@operation(reply=SendVerificationEmailResponse, refusals=THROTTLED)
async def send_verification_email(call: RequestContext) -> Answer:
    """Resend the verification e-mail. Nothing is sent if the address is already verified."""
    await call.services.accounts.ask(ResendVerification(principal=call.person, origin=call.origin))
    return Answer(SendVerificationEmailResponse(queued=True))


@operation(body=VerifyEmailRequest, reply=VerifyEmailResponse, refusals={**THROTTLED, 400: ("token_invalid",)})
async def verify_email(call: RequestContext) -> Answer:
    """Verify an e-mail address with the token from an e-mail, or undo a change of address. Does not sign in."""
    body: VerifyEmailRequest = call.body
    await call.services.accounts.ask(VerifyEmail(token=body.token, origin=call.origin))
    return Answer(VerifyEmailResponse(verified=True))
