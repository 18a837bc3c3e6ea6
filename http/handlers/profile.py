"""``/auth``: the caller's own account."""

from __future__ import annotations

from ...actors.accounts.actor import ChangePassword, UpdateProfile
from ..operation import THROTTLED, operation
from ..request_context import Answer, RequestContext
from ..schemas.accounts import PublicUser, TokenPairResponse
from ..schemas.profile import ChangePasswordRequest, UpdateProfileRequest, UpdateProfileResponse


@operation(reply=PublicUser)
async def me(call: RequestContext) -> Answer:
    """Return the authenticated user."""
    return Answer(PublicUser.of(call.person))


@operation(
    body=UpdateProfileRequest,
    sends={"full_name": "Asha Rao"},
    reply=UpdateProfileResponse,
    refusals={**THROTTLED, 409: ("email_already_registered",)},
)
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


@operation(
    body=ChangePasswordRequest,
    reply=TokenPairResponse,
    refusals={**THROTTLED, 400: ("password_too_weak",), 403: ("invalid_password",)},
    addition=True,
)
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
