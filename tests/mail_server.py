"""A mail server on the loopback, as far as e-mails need one: it can refuse any step, keep silent, encrypt or not."""

from __future__ import annotations

import asyncio
import re
import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Self

GREETING = b"220 mail_server.example ESMTP\r\n"
ANSWERS = {
    b"EHLO": b"250 mail_server.example\r\n",
    b"HELO": b"250 mail_server.example\r\n",
    b"MAIL": b"250 ok\r\n",
    b"RCPT": b"250 ok\r\n",
    b"DATA": b"354 go on\r\n",
    b"RSET": b"250 ok\r\n",
    b"QUIT": b"221 bye\r\n",
}
LATER = b"451 come back later\r\n"


class MailServer:
    """Speaks SMTP (RFC 5321) with the extensions it is given. ``answers`` replaces what it says to a verb."""

    def __init__(self, *extensions: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.extensions = extensions
        self.tls = tls
        self.answers: dict[bytes, bytes] = {}
        self.emails: list[EmailMessage] = []
        self.commands: list[bytes] = []
        self.callers = 0
        self.refuses = False
        self.silent = False
        self._called = asyncio.Condition()
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?tls=off"

    async def had(self, callers: int = 0, emails: int = 0) -> None:
        """Wait until so many have called, and left so many emails."""
        async with asyncio.timeout(20), self._called:
            await self._called.wait_for(lambda: self.callers >= callers and len(self.emails) >= emails)

    def tokens(self) -> list[str]:
        """All one-time tokens in all emails, oldest first."""
        found: list[str] = []
        for email in self.emails:
            body = email.get_body(("plain",))
            assert body is not None
            found += re.findall(r"\?token=([\w-]{43})\s", body.get_content())
        return found

    def subjects(self) -> list[str]:
        """What everybody was told, in the order it arrived."""
        return [str(email["Subject"]) for email in self.emails]

    async def token(self, subject: str, number: int = 1) -> str:
        """The token in the newest e-mail with this subject, once there are so many."""
        async with asyncio.timeout(20), self._called:
            await self._called.wait_for(lambda: self.subjects().count(subject) >= number)
        body = next(each for each in reversed(self.emails) if each["Subject"] == subject).get_body(("plain",))
        assert body is not None
        found = re.search(r"\?token=([\w-]{43})\s", body.get_content())
        assert found is not None
        return found[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._note()
            if self.silent:
                await reader.read()
                return
            writer.write(GREETING)
            while line := await reader.readline():
                self.commands.append(line.strip())
                verb = line[:4].upper()
                answer = self._answer(verb)
                if not answer:
                    return  # hangs up in the middle
                writer.write(answer)
                if verb == b"STAR" and answer.startswith(b"220") and self.tls is not None:
                    await writer.drain()
                    await writer.start_tls(self.tls)
                if verb == b"DATA" and answer.startswith(b"354"):
                    await self._take(await reader.readuntil(b"\r\n.\r\n"))
                    writer.write(b"250 taken\r\n")
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass  # a caller who hangs up has changed their mind
        finally:
            self._open.discard(writer)
            writer.close()

    def _answer(self, verb: bytes) -> bytes:
        if verb in self.answers:
            return self.answers[verb]
        if verb == b"MAIL" and self.refuses:
            return LATER
        if verb == b"EHLO" and self.extensions:
            lines = [b"mail_server.example", *self.extensions]
            return b"".join(b"250-" + line + b"\r\n" for line in lines[:-1]) + b"250 " + lines[-1] + b"\r\n"
        return ANSWERS.get(verb, b"502 not known here\r\n")

    async def _note(self) -> None:
        async with self._called:
            self.callers += 1
            self._called.notify_all()

    async def _take(self, data: bytes) -> None:
        email = message_from_bytes(data.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n."), policy=policy.default)
        async with self._called:
            self.emails.append(email)
            self._called.notify_all()
