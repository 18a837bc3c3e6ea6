"""Renders outbox rows as e-mails and delivers them: message, envelope and transports."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, Policy
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from ...storage import outbox
from ..domain.email_texts import Kind, compose, link
from ..domain.identity import mailbox, wire_email
from ..foundation.config import Settings
from ..foundation.threads import in_thread

SMTP_SECONDS = 30.0
"""For one dialogue with the mail server."""

QUIT_SECONDS = 2.0

SEVEN_BIT = "7bit"
"""The encoding of every body: no server is asked for 8BITMIME."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An e-mail as it goes out. ``sender`` and ``recipient`` are the addresses of RFC 5321, without any name.

    ``link`` is what development shows in the log.
    """

    sender: str
    recipient: str
    message: EmailMessage
    link: str | None = None

    @property
    def international(self) -> bool:
        """Whether a server needs SMTPUTF8 (RFC 6531) to take it."""
        return not (self.sender.isascii() and self.recipient.isascii())


class AmbiguousAddress(ValueError):
    """An address that header parsers would read as a different one."""


def envelope(row: outbox.Claimed, facts: Mapping[str, Any], *, base: str, sender: str) -> Envelope:
    """The e-mail in its agency's language, plain and as HTML; every attempt makes the same one.

    Raises ValueError for an address that cannot be written so that it is read back as it is.
    """
    kind = Kind(row.kind)
    token = facts.get("token")
    url = None if token is None else link(kind, base, token)
    composed = compose(kind, row.locale or "", url)
    author, recipient = wire_sender(sender), wire_email(row.recipient)
    ready = Envelope(author.addr_spec, recipient, EmailMessage(policy=_policy(author.addr_spec, recipient)), url)
    message = ready.message
    message["From"] = author
    message["To"] = _address(recipient)
    message["Subject"] = composed.subject
    message["Date"] = format_datetime(row.created_at)
    message["Message-ID"] = row.message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(composed.text)
    message.add_alternative(composed.html, subtype="html")
    if read_back(message) != [recipient]:
        raise AmbiguousAddress("the address is read back as another one")
    return ready


def wire_sender(text: str) -> Address:
    """The author's name and address, as ``identity.mailbox`` reads them. Raises ValueError."""
    name, address = mailbox(text)
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def read_back(message: EmailMessage) -> list[str]:
    """The recipients as a parser of the serialized message reads them."""
    parsed: Any = message_from_bytes(message.as_bytes(), policy=message.policy)["To"]
    return [_decoded(address.addr_spec) for address in parsed.addresses]


def _decoded(text: str) -> str:
    """The parser leaves UTF-8 in headers as surrogates."""
    return text.encode("utf-8", "surrogateescape").decode()


def _address(address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(username=local, domain=domain)


def _policy(*addresses: str) -> Policy[Any]:
    plain = all(map(str.isascii, addresses))
    return (SMTP if plain else SMTPUTF8).clone(cte_type=SEVEN_BIT)


class Undelivered(Exception):
    """A failed delivery attempt. ``cause`` is a safe code for the stage and what went wrong.

    ``reply`` is the server's code (RFC 5321, 4.2). ``for_good``: a retry is pointless.
    """

    def __init__(self, cause: str, reply: int | None = None, *, for_good: bool = False) -> None:
        super().__init__(cause if reply is None else f"{cause} {reply}")
        self.cause = cause
        self.reply = reply
        self.for_good = for_good


class Transport(Protocol):
    """Delivers e-mails."""

    shows_links: bool
    """Whether links may be written to the log: the e-mail goes nowhere else."""

    async def deliver(self, ready: Envelope, /) -> None:
        """Deliver it. Raises ``Undelivered``."""


Act = Callable[[], Awaitable[Any]]


class Smtp:
    """A mail server. ``smtps://`` uses TLS from the start; ``smtp://`` requires STARTTLS, unless ``?tls=off``."""

    shows_links = False

    def __init__(self, url: str, seconds: float = SMTP_SECONDS) -> None:
        """``seconds`` is how long all of one dialogue may take."""
        parts = urlsplit(url)
        self._seconds = seconds
        self._host, self._port = parts.hostname, parts.port
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password or "")
        self._tls = parts.scheme == "smtps"
        self._starttls = not self._tls and parse_qs(parts.query).get("tls") != ["off"]

    async def deliver(self, ready: Envelope) -> None:
        """One dialogue for one e-mail."""
        content = ready.message.as_bytes()
        await self._speak(ready, lambda client: ("data", lambda: client.data(content)))

    async def try_out(self, ready: Envelope) -> None:
        """All a delivery does, but in place of the e-mail nothing is sent (RSET). Raises ``Undelivered``."""
        await self._speak(ready, lambda client: ("rset", client.rset))

    async def _speak(self, ready: Envelope, ending: Callable[[aiosmtplib.SMTP], tuple[str, Act]]) -> None:
        at = "connection"
        client = self._client()
        try:
            async with asyncio.timeout(self._seconds):
                for stage in (*self._stages(client, ready), ending(client)):
                    at, act = stage
                    await act()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise _undelivered(at, error) from error
        finally:
            await _quit(client)

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host, port=self._port, timeout=self._seconds, use_tls=self._tls, start_tls=False
        )

    def _stages(self, client: aiosmtplib.SMTP, ready: Envelope) -> Iterator[tuple[str, Act]]:
        """What comes before the e-mail itself, in the order of RFC 5321, 3.3."""
        yield "connection", client.connect
        yield "ehlo", client.ehlo
        if self._starttls:
            yield "starttls", lambda: self._encrypt(client)
        if self._user is not None:
            yield "auth", lambda: self._sign_in(client)
        yield "sender", lambda: _send_command(client, b"MAIL FROM:", ready.sender, ready)
        yield "recipient", lambda: _send_command(client, b"RCPT TO:", ready.recipient)

    async def _encrypt(self, client: aiosmtplib.SMTP) -> None:
        if not client.supports_extension("starttls"):
            raise Undelivered("starttls_not_offered")
        await client.starttls()
        await client.ehlo()

    async def _sign_in(self, client: aiosmtplib.SMTP) -> None:
        if not client.supported_auth_methods:
            raise Undelivered("auth_not_offered")
        await client.login(self._user or "", self._password)


async def _send_command(client: aiosmtplib.SMTP, verb: bytes, address: str, extended: Envelope | None = None) -> None:
    """MAIL or RCPT with exactly this address: the library would parse it once more."""
    options: list[bytes] = []
    if extended is not None and extended.international:
        if not client.supports_extension("smtputf8"):
            raise Undelivered("smtputf8_not_offered", for_good=True)
        options = [b"SMTPUTF8"]
    response = await client.execute_command(verb + b"<" + address.encode() + b">", *options)
    if response.code not in {aiosmtplib.SMTPStatus.completed, aiosmtplib.SMTPStatus.will_forward}:
        raise aiosmtplib.SMTPResponseException(response.code, response.message)


async def _quit(client: aiosmtplib.SMTP) -> None:
    """QUIT, its failure ignored: whether the e-mail was accepted is decided by now."""
    if client.is_connected:
        with suppress(aiosmtplib.SMTPException, OSError):
            await client.quit(timeout=QUIT_SECONDS)
    client.close()


def _undelivered(at: str, error: Exception) -> Undelivered:
    """The cause as a code for stage and failure. The server's text is untrusted and left out."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return Undelivered(f"{at}_refused", error.code)
    if isinstance(error, TimeoutError):
        return Undelivered(f"{at}_timed_out")
    if isinstance(error, ssl.SSLCertVerificationError) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return Undelivered("certificate_not_trusted")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return Undelivered("tls_failed")
    if at == "connection":
        return Undelivered("server_unreachable")
    return Undelivered(f"{at}_cut_off" if isinstance(error, OSError) else f"{at}_failed")


class Folder:
    """A folder of ``.eml`` files, for a machine without a mail server."""

    shows_links = True

    def __init__(self, path: Path) -> None:
        self._path = path

    async def deliver(self, ready: Envelope) -> None:
        """One file an e-mail; a second attempt writes the same file again."""
        try:
            await in_thread(self._write, ready.message)
        except OSError as wrong:
            raise Undelivered("folder_not_writable") from wrong

    def _write(self, message: EmailMessage) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        draft = self._path / f".{name}.part"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(message.as_bytes())
        draft.rename(self._path / f"{name}.eml")


class NoTransport:
    """Production without a mail server: e-mails wait for one, until they expire."""

    shows_links = False

    async def deliver(self, _ready: Envelope) -> None:
        """Refuse."""
        raise Undelivered("smtp_url_not_set")


def transport(settings: Settings) -> Transport:
    """The transport these settings configure."""
    if settings.smtp_url is not None:
        return Smtp(settings.smtp_url)
    return NoTransport() if settings.production else Folder(settings.data_dir / "mail")
