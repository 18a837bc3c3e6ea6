"""Diagnoses an installation before it goes live: what works, what does not, and how to fix it.

Each check uses its part as the service does: it signs in, writes, calls the model, and runs a whole SMTP dialogue up to
the message.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import aiohttp

from ..storage.engine import fitness
from ..storage.engine.reach import TooOld
from ..storage.engine.redis_probe import RedisProbe
from ..storage.migrations.migrate import MissingRole, NotAdmitted, Unreachable
from .accounts.emails import Envelope, Smtp, Undelivered, wire_sender
from .foundation.clock import Clock
from .foundation.config import Settings, unknown_variables, variable
from .foundation.config_doubts import doubts
from .suppliers import supplier

TIMEOUT = 10.0
VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result for one part: whether it works, details, and how to fix it. ``vital`` ones must work to serve."""

    part: str
    works: bool
    text: str
    mend: str = ""
    vital: bool = False


async def examine(settings: Settings, environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Check everything the service depends on."""
    return [
        *_configuration(settings, os.environ if environ is None else environ),
        await asyncio.to_thread(_data_directory, settings),
        *await asyncio.gather(
            _database(settings), _migrations(settings), _redis(settings), _model(settings), _mail(settings)
        ),
    ]


def _configuration(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    findings = [
        Finding("configuration", works=False, text=text.partition(": ")[2], mend=f"look at {text.partition(':')[0]}")
        for text in doubts(settings)
    ]
    if unknown := unknown_variables(environ):
        text = f"nothing reads {', '.join(unknown)}"
        findings.append(Finding("configuration", works=False, text=text, mend="see .env.example for the names"))
    if undriven := supplier.without_driver(settings.suppliers):
        text, mend = f"no driver for {', '.join(undriven)}", f"correct {variable('suppliers')}"
        findings.append(Finding("suppliers", works=False, text=text, mend=mend, vital=True))
    return findings or [Finding("configuration", works=True, text=f"{settings.env}, {settings.public_url}", vital=True)]


def _data_directory(settings: Settings) -> Finding:
    """The directory of embedded servers, e-mail files and development secrets; optional in production."""
    directory = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    mend = f"make {directory} writable, or set {variable('data_dir')}"
    works = settings.production or _is_writable(directory)
    return Finding("data", works, str(settings.data_dir), mend, vital=not settings.production)


def _is_writable(directory: Path) -> bool:
    """Whether a file can be written; the mode does not show a full or read-only disk."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"voyagent")
            file.flush()
    except OSError:
        return False
    return True


async def _database(settings: Settings) -> Finding:
    """Check with the service's role: privileges, row security, sealing keys."""
    if settings.db_url is None:
        mend = f"set {variable('db_url')}, or use --embedded"
        return Finding("database", works=False, text="none is configured", mend=mend, vital=True)
    mend = "python run.py migrate makes tables, and says what an administrator has to do"
    try:
        wrong = await fitness.faults(settings.db_url, settings.sealing_keys)
        wrong = wrong or await fitness.troubles(settings.db_url, Clock().now())
    except (Unreachable, NotAdmitted) as error:
        return Finding("database", works=False, text=str(error), mend=f"look at {variable('db_url')}", vital=True)
    except (MissingRole, TooOld) as error:
        text, _, mend = str(error).partition("\n")
        return Finding("database", works=False, text=text, mend=mend or "upgrade the server", vital=True)
    if wrong:
        return Finding("database", works=False, text=" ".join(wrong), mend=mend, vital=True)
    text = "up to date, takes writes, opens what is sealed, and an unset agency sees no row"
    return Finding("database", works=True, text=text, vital=True)


async def _migrations(settings: Settings) -> Finding:
    """Check the owner's role, which migrations need."""
    if settings.owner_url is None:
        return Finding(
            "migrations", works=False, text="no role is configured", mend=f"set {variable('db_migrate_url')}"
        )
    try:
        async with fitness.signed_in(settings.owner_url) as db:
            foreign = await fitness.foreign_tables(db)
    except (Unreachable, NotAdmitted, TooOld) as error:
        return Finding("migrations", works=False, text=str(error), mend=f"look at {variable('db_migrate_url')}")
    if foreign:
        text = f"the role does not own {', '.join(foreign)}"
        return Finding("migrations", works=False, text=text, mend=f"name the owner in {variable('db_migrate_url')}")
    return Finding("migrations", works=True, text="the owner of the tables can sign in")


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        mend = f"set {variable('redis_url')}"
        return Finding("redis", works=False, text="none: caches and counters do not outlive the process", mend=mend)
    probe = RedisProbe(settings.redis_url)
    fault = await probe.trouble()
    await probe.close()
    mend = f"start Redis, or correct {variable('redis_url')}"
    text = "keeps what it is given" if fault is None else f"does not keep what it is given: {fault}"
    return Finding("redis", fault is None, text, mend)


async def _model(settings: Settings) -> Finding:
    """Request one token from the model, which checks key, model and credit."""
    if settings.anthropic_api_key is None:
        text = "no key: a rehearsal is played" if settings.embedded else "no key: turns end in model_not_configured"
        return Finding("model", works=settings.embedded, text=text, mend=f"set {variable('anthropic_api_key')}")
    headers = {"x-api-key": settings.anthropic_api_key, "anthropic-version": VERSION}
    body = {"model": settings.agent_model, "max_tokens": 1, "messages": [{"role": "user", "content": "ping"}]}
    url = f"{settings.anthropic_base_url}/v1/messages"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT), headers=headers) as client,
            client.post(url, json=body) as answer,
        ):
            return _answered(settings.agent_model, answer.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        mend = f"correct {variable('anthropic_base_url')}, or let the service out through the firewall"
        return Finding("model", works=False, text=f"cannot be reached: {type(error).__name__}", mend=mend)


REFUSALS = {
    400: ("refuses the request", f"look at the account's credit, and at {variable('agent_model')}"),
    401: ("refuses the key", f"correct {variable('anthropic_api_key')}"),
    402: ("asks for payment", "look at the account's credit"),
    403: ("refuses the key", f"correct {variable('anthropic_api_key')}, or what it may do"),
    404: ("does not know the model", f"choose another {variable('agent_model')}"),
    429: ("has no room for this account", "look at the account's limits"),
}
"""Finding and fix by HTTP status of the model's API."""


def _answered(model: str, status: int) -> Finding:
    if status < 300:  # noqa: PLR2004 -- any 2xx
        return Finding("model", works=True, text=f"{model} answers")
    text, mend = REFUSALS.get(status, ("does not answer as it should", "try again, and look at the vendor's status"))
    return Finding("model", works=False, text=f"{text} ({model}, {status})", mend=mend)


async def _mail(settings: Settings) -> Finding:
    """Run an SMTP dialogue from and to the sender's own address, aborted before the message."""
    if settings.smtp_url is None:
        text = f"none: e-mails become files under {settings.data_dir / 'mail'}"
        if settings.production:
            text = "none: no e-mail is sent"
        return Finding("mail", works=not settings.production, text=text, mend=f"set {variable('smtp_url')}")
    sender = wire_sender(settings.mail_from).addr_spec
    try:
        await Smtp(settings.smtp_url, TIMEOUT).try_out(Envelope(sender, sender, EmailMessage()))
    except Undelivered as refused:
        return Finding("mail", works=False, text=str(refused), mend=_mend_mail(refused.cause))
    return Finding("mail", works=True, text=f"the server takes e-mails from {sender}")


MAIL_MENDS = (
    ("server_", f"correct host and port in {variable('smtp_url')}, or let the service out through the firewall"),
    ("connection_", f"correct host and port in {variable('smtp_url')}; smtps:// is for port 465, smtp:// for 587"),
    ("tls_", f"smtps:// is for port 465, smtp:// for 587: correct {variable('smtp_url')}"),
    ("certificate_", "have the server's certificate issued for its name, or trust its issuer (SSL_CERT_FILE)"),
    (
        "starttls_not_offered",
        f"use a server that encrypts; on a trusted wire add ?tls=off to {variable('smtp_url')}",
    ),
    ("auth_", f"correct user and password in {variable('smtp_url')}; in a URL @ is %40 and / is %2F"),
    ("sender_", f"set {variable('mail_from')} to an address this server sends for"),
    ("smtputf8_", f"set {variable('mail_from')} to an address of ASCII letters"),
    ("recipient_", f"have the server relay for this machine, or give user and password in {variable('smtp_url')}"),
)
"""Fix by prefix of the cause."""


def _mend_mail(cause: str) -> str:
    return next(
        (mend for begins, mend in MAIL_MENDS if cause.startswith(begins)), "look into the mail server's own log"
    )
