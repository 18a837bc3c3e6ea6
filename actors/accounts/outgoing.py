"""Builds outbox rows: the payload is sealed, and opened again for delivery."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from ...storage import outbox
from ...storage.accounts.account_recovery import ResetEmail
from ...storage.accounts.one_time_tokens import UNDO_RESET, NewToken
from ...storage.engine.sealing import Sealing, key_id
from ..domain.email_texts import Kind
from ..domain.ids import uuid7
from ..foundation.config import Settings
from .tokens import digest

RESET_REQUEST = "password_reset_request"
"""The kind of an outbox row that is no e-mail: a password reset request, resolved later."""


@dataclass(frozen=True, slots=True)
class VerificationToken:
    """A one-time token and the e-mail that contains it, stored together."""

    token: NewToken
    mail: outbox.QueuedEmail
    secret: str
    """The token in clear; it leaves the process only in the e-mail."""


class OutgoingEmails:
    """Builds outbox rows and opens their payloads, which are sealed."""

    def __init__(self, settings: Settings) -> None:
        self._sealing = Sealing(settings.sealing_keys)
        self._host = urlsplit(settings.public_url).hostname or "localhost"

    def notice(self, kind: Kind, recipient: str = "") -> outbox.QueuedEmail:
        """A notice without a token. Without ``recipient``, ``outbox.notify`` fills in the address."""
        return self._queued(kind, recipient, None, None)

    def request(self, recipient: str, facts: Mapping[str, Any], expires_at: datetime) -> outbox.QueuedEmail:
        """A password reset request, to be resolved later."""
        return self._queued(RESET_REQUEST, recipient, facts, expires_at)

    def verification(self, kind: Kind, token_kind: str, recipient: str, expires_at: datetime) -> VerificationToken:
        """A new one-time token of ``token_kind``, and the e-mail to ``recipient`` that contains it."""
        secret = secrets.token_urlsafe(32)
        token = NewToken(id=uuid7(), kind=token_kind, token_hash=digest(secret), email=recipient, expires_at=expires_at)
        return VerificationToken(token, self._queued(kind, recipient, {"token": secret}, expires_at), secret)

    def undo_reset(self, recipient: str, expires_at: datetime) -> ResetEmail:
        """The reset token and e-mail for an account that is returned to ``recipient``."""
        verification = self.verification(Kind.PASSWORD_RESET, UNDO_RESET, recipient, expires_at)
        return ResetEmail(token=verification.token, mail=verification.mail)

    def invite(self, invite_id: str, recipient: str, expires_at: datetime) -> tuple[outbox.QueuedEmail, str]:
        """The e-mail of an invite, under the invite's id, and its token."""
        secret = secrets.token_urlsafe(32)
        return self._queued(Kind.INVITE, recipient, {"token": secret}, expires_at, invite_id), secret

    def read(self, mail: outbox.Claimed) -> dict[str, Any]:
        """The e-mail's sealed payload. Raises ``sealing.NotOpened``."""
        if mail.payload_sealed is None:
            return {}
        plain = self._sealing.open(mail.payload_sealed, table=outbox.TABLE, column=outbox.COLUMN, row=mail.id)
        facts: dict[str, Any] = json.loads(plain)
        return facts

    def _queued(
        self,
        kind: str,
        recipient: str,
        facts: Mapping[str, Any] | None,
        expires_at: datetime | None,
        row: str | None = None,
    ) -> outbox.QueuedEmail:
        row = row or uuid7()
        sealed = None
        if facts is not None:
            plain = json.dumps(facts).encode()
            sealed = self._sealing.seal(plain, table=outbox.TABLE, column=outbox.COLUMN, row=row)
        return outbox.QueuedEmail(
            id=row,
            kind=kind,
            recipient=recipient,
            payload_sealed=sealed,
            key_id=None if sealed is None else key_id(sealed),
            expires_at=expires_at,
            message_id=f"<{row}@{self._host}>",
        )
