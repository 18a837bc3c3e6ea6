"""From a fact to a letter on its way: sealing what it holds, the envelope, and the ways out."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from ...storage import outbox
from ...storage.one_time_tokens import NewToken
from ...storage.sealing import Sealing, key_id
from ..config import Settings
from ..domain.letters import Kind, compose, link
from ..ids import uuid7
from .tokens import digest

SMTP_SECONDS = 30.0
"""For one conversation with the mail server."""

RESET_REQUEST = "password_reset_request"
"""The kind of an outbox row that is no letter: somebody asked, and whether we know them is found out later."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A one-time token and the letter that carries it, to be stored together."""

    token: NewToken
    letter: outbox.Letter
    secret: str
    """The token itself; it leaves the process in the letter alone."""


class Letters:
    """Makes outbox rows. Their payload can be read again here, and nowhere without the sealing key."""

    def __init__(self, settings: Settings) -> None:
        self._sealing = Sealing(settings.sealing_keys)
        self._host = urlsplit(settings.public_url).hostname or "localhost"

    def notice(self, kind: Kind, recipient: str) -> outbox.Letter:
        """A letter that only tells."""
        return self._letter(kind, recipient, None, None)

    def request(self, recipient: str, facts: Mapping[str, Any], expires_at: datetime) -> outbox.Letter:
        """Somebody's wish for a new password, to be looked into later."""
        return self._letter(RESET_REQUEST, recipient, facts, expires_at)

    def proof(self, kind: Kind, token_kind: str, recipient: str, expires_at: datetime) -> Proof:
        """A fresh one-time token of ``token_kind``, and the letter that brings it to ``recipient``."""
        secret = secrets.token_urlsafe(32)
        token = NewToken(id=uuid7(), kind=token_kind, token_hash=digest(secret), email=recipient, expires_at=expires_at)
        return Proof(token, self._letter(kind, recipient, {"token": secret}, expires_at), secret)

    def invite(self, invite_id: str, recipient: str, expires_at: datetime) -> tuple[outbox.Letter, str]:
        """The letter of an invite, under the invite's own id, and the token it brings."""
        secret = secrets.token_urlsafe(32)
        return self._letter(Kind.INVITE, recipient, {"token": secret}, expires_at, invite_id), secret

    def read(self, letter: outbox.Claimed) -> dict[str, Any]:
        """What was sealed with the letter. Raises ``sealing.NotOpened``."""
        if letter.payload_sealed is None:
            return {}
        plain = self._sealing.open(letter.payload_sealed, table=outbox.TABLE, column=outbox.COLUMN, row=letter.id)
        facts: dict[str, Any] = json.loads(plain)
        return facts

    def _letter(
        self,
        kind: str,
        recipient: str,
        facts: Mapping[str, Any] | None,
        expires_at: datetime | None,
        row: str | None = None,
    ) -> outbox.Letter:
        row = row or uuid7()
        sealed = None
        if facts is not None:
            plain = json.dumps(facts).encode()
            sealed = self._sealing.seal(plain, table=outbox.TABLE, column=outbox.COLUMN, row=row)
        return outbox.Letter(
            id=row,
            kind=kind,
            recipient=recipient,
            payload_sealed=sealed,
            key_id=None if sealed is None else key_id(sealed),
            expires_at=expires_at,
            message_id=f"<{row}@{self._host}>",
        )


@dataclass(frozen=True, slots=True)
class Envelope:
    """A letter as it goes out, and its link, which development shows in the log."""

    message: EmailMessage
    link: str | None


def envelope(letter: outbox.Claimed, facts: Mapping[str, Any], *, base: str, sender: str) -> Envelope:
    """The letter in its agency's language, plain and as HTML; every attempt makes the same one."""
    kind = Kind(letter.kind)
    token = facts.get("token")
    url = None if token is None else link(kind, base, token)
    composed = compose(kind, letter.locale or "", url)
    message = EmailMessage(policy=SMTP if letter.recipient.isascii() else SMTPUTF8)
    message["From"] = sender
    message["To"] = letter.recipient
    message["Subject"] = composed.subject
    message["Date"] = format_datetime(letter.created_at)
    message["Message-ID"] = letter.message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(composed.text)
    message.add_alternative(composed.html, subtype="html")
    return Envelope(message, url)


class Undelivered(Exception):
    """Nobody took the letter this time."""


class Transport(Protocol):
    """A way out for letters."""

    shows_links: bool
    """Whether links may be written to the log: the letter goes nowhere else."""

    async def deliver(self, message: EmailMessage) -> None:
        """Hand it over for good. Raises ``Undelivered``."""


class Smtp:
    """A mail server. ``smtps://`` is encrypted from the start; ``smtp://`` must become so, unless ``?tls=off``."""

    shows_links = False

    def __init__(self, url: str, seconds: float = SMTP_SECONDS) -> None:
        """``seconds`` is how long all of one conversation may take."""
        parts = urlsplit(url)
        self._seconds = seconds
        plain = parse_qs(parts.query).get("tls") == ["off"]
        self._options: dict[str, Any] = {
            "hostname": parts.hostname,
            "port": parts.port,
            "username": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "use_tls": parts.scheme == "smtps",
            "start_tls": parts.scheme == "smtp" and not plain,
            "timeout": seconds,
        }

    async def deliver(self, message: EmailMessage) -> None:
        """One conversation for one letter."""
        try:
            async with asyncio.timeout(self._seconds):
                await aiosmtplib.send(message, **self._options)
        except (aiosmtplib.SMTPException, OSError, ValueError) as refused:
            raise Undelivered(type(refused).__name__) from refused


class Folder:
    """A folder of ``.eml`` files, for a machine without a mail server."""

    shows_links = True

    def __init__(self, path: Path) -> None:
        self._path = path

    async def deliver(self, message: EmailMessage) -> None:
        """One file a letter; a second attempt writes the same file again."""
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as wrong:
            raise Undelivered(type(wrong).__name__) from wrong

    def _write(self, message: EmailMessage) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        draft = self._path / f".{name}.part"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(message.as_bytes())
        draft.rename(self._path / f"{name}.eml")


class Nowhere:
    """Production without a mail server: letters wait for one, and die in time."""

    shows_links = False

    async def deliver(self, message: EmailMessage) -> None:  # noqa: ARG002 -- as transports do
        """Refuse."""
        raise Undelivered("VOYAGENT_SMTP_URL is not set")


def transport(settings: Settings) -> Transport:
    """The way out these settings name."""
    if settings.smtp_url is not None:
        return Smtp(settings.smtp_url)
    return Nowhere() if settings.production else Folder(settings.data_dir / "mail")
