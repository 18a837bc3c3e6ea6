"""Requests and responses of e-mail verification (docs/contract/identity.md 9.8 and 9.9)."""

from __future__ import annotations

from .shared import LooseBody, Reply, Token


class SendVerificationEmailResponse(Reply):
    """The verification e-mail is queued, or the address is already verified."""

    queued: bool


class VerifyEmailRequest(LooseBody):
    """The token from a verification e-mail."""

    token: Token


class VerifyEmailResponse(Reply):
    """The address is verified."""

    verified: bool
