"""Checks of an installation before it serves: configuration, database, Redis, model, mail server.

Each check uses its part as the service does: it connects, writes, calls the model, runs a whole SMTP transaction.
A part is reported as working only if that succeeded.
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

from ..storage.engine import fitness, sealed_columns
from ..storage.engine.canary import counted
from ..storage.engine.reach import TooOld
from ..storage.engine.redis_probe import RedisProbe
from ..storage.migrations.migrate import MissingRole, NotAdmitted, Unreachable
from . import sealing_keys
from .accounts.emails import Envelope, Smtp, Undelivered, wire_sender
from .foundation.clock import Clock
from .foundation.config import Settings, unknown_variables, variable
from .foundation.config_doubts import doubts
from .foundation.threads import in_thread
from .suppliers import drivers

CHECK_TIMEOUT = 10.0
VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: whether the part works, a text, and a fix. ``vital`` parts must work to serve."""

    part: str
    works: bool
    text: str
    mend: str = ""
    vital: bool = False


async def examine(settings: Settings, environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Check everything the service depends on."""
    return [
        *_configuration(settings, os.environ if environ is None else environ),
        await in_thread(_data_directory, settings),
        *await asyncio.gather(
            _database(settings),
            _keys(settings),
            _nodes(settings),
            _migrations(settings),
            _redis(settings),
            _model(settings),
            _mail(settings),
        ),
    ]


def _configuration(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    found = [
        Finding("configuration", works=False, text=text.partition(": ")[2], mend=f"check {text.partition(':')[0]}")
        for text in doubts(settings)
    ]
    if unknown := unknown_variables(environ):
        text = f"unknown settings {', '.join(unknown)}"
        found.append(Finding("configuration", works=False, text=text, mend="see .env.example for the names"))
    if undriven := drivers.without_driver(settings.suppliers):
        text, mend = f"no driver for {', '.join(undriven)}", f"correct {variable('suppliers')}"
        found.append(Finding("suppliers", works=False, text=text, mend=mend, vital=True))
    return found or [Finding("configuration", works=True, text=f"{settings.env}, {settings.public_url}", vital=True)]


def _data_directory(settings: Settings) -> Finding:
    """The data directory, used by embedded servers and in development; optional in production."""
    place = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    mend = f"make {place} writable, or set {variable('data_dir')}"
    works = settings.production or _is_writable(place)
    return Finding("data", works, str(settings.data_dir), mend, vital=not settings.production)


def _is_writable(place: Path) -> bool:
    """Whether a file can be written: the mode does not show a full or read-only disk."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"voyagent")
            file.flush()
    except OSError:
        return False
    return True


async def _database(settings: Settings) -> Finding:
    """The service's role: its privileges, row-level security, writes and decryption."""
    if settings.db_url is None:
        mend = f"set {variable('db_url')}, or use --embedded"
        return Finding("database", works=False, text="not configured", mend=mend, vital=True)
    mend = "run python run.py migrate; it creates the tables, or reports what an administrator has to do"
    try:
        wrong = await fitness.faults(settings.db_url, settings.sealing_keys, as_owner=not settings.production)
        wrong = wrong or await fitness.troubles(settings.db_url, Clock().now())
    except (Unreachable, NotAdmitted) as error:
        return Finding("database", works=False, text=str(error), mend=f"check {variable('db_url')}", vital=True)
    except (MissingRole, TooOld) as error:
        text, _, mend = str(error).partition("\n")
        return Finding("database", works=False, text=text, mend=mend or "upgrade the server", vital=True)
    if wrong:
        return Finding("database", works=False, text=" ".join(wrong), mend=mend, vital=True)
    text = "up to date, writable, secrets can be decrypted, row-level security is active"
    return Finding("database", works=True, text=text, vital=True)


async def _keys(settings: Settings) -> Finding:
    """Which sealing keys are needed: whether a rotation has come to its end."""
    newest, *older = settings.sealing_keys or ("",)
    if settings.db_url is None or not newest:
        return Finding("keys", works=False, text="no database, or no key", mend=f"set {variable('kms_key')}")
    try:
        usage = await sealing_keys.usage(settings, settings.db_url)
    except (Unreachable, NotAdmitted, MissingRole, TooOld):
        return Finding("keys", works=False, text="cannot be read", mend="see database")
    if missing := {kid: usage[kid] for kid in sorted(usage.keys() - settings.sealing_keys.keys())}:
        texts = [f"key {kid!r} is missing, which {counted(columns)} need" for kid, columns in missing.items()]
        mend = f"put it back behind the key that seals in {variable('kms_key')}"
        return Finding("keys", works=False, text="; ".join(texts), mend=mend, vital=True)
    if left := sealed_columns.outdated(usage, newest):
        mend = "python run.py keys reseal; the service does so within an hour of its start"
        return Finding("keys", works=False, text=f"older keys are still needed by {counted(left)}", mend=mend)
    done = f"; nothing needs {', '.join(older)}: remove it from {variable('kms_key')}" if older else ""
    return Finding("keys", works=True, text=f"{newest} seals{done}")


async def _nodes(settings: Settings) -> Finding:
    """Which node owns how many shards of the agencies."""
    if settings.db_url is None:
        return Finding("nodes", works=False, text="no database", mend=f"set {variable('db_url')}, or use --embedded")
    try:
        found = await fitness.nodes(settings.db_url)
    except (Unreachable, NotAdmitted, MissingRole, TooOld):
        return Finding("nodes", works=False, text="cannot be read", mend="see database")
    owners = [node for node in found if node.shards and node.node is not None]
    texts = [
        f"{node.shards} shards: node {node.node} ({node.version}), epoch {node.epoch}, "
        + (f"lease for {node.seconds:.1f} s" if node.lives else "lease over")
        for node in owners
    ]
    if waiting := sum(bool(node.lives) and not node.shards for node in found):
        texts.append(f"{waiting} waiting")
    lives = all(node.lives for node in owners)
    mend = "" if lives else "nothing: the next process that starts takes the shards over"
    return Finding("nodes", works=lives, text="; ".join(texts) or "no process serves the database", mend=mend)


async def _migrations(settings: Settings) -> Finding:
    """The role of the tables' owner, which migrations need. In production the service does not know it."""
    if settings.production:
        text = "are run with an environment of their own, by python run.py migrate"
        return Finding("migrations", works=True, text=text)
    if settings.owner_url is None:
        return Finding("migrations", works=False, text="not configured", mend=f"set {variable('db_migrate_url')}")
    try:
        async with fitness.signed_in(settings.owner_url) as db:
            foreign = await fitness.foreign_tables(db)
    except (Unreachable, NotAdmitted, TooOld) as error:
        return Finding("migrations", works=False, text=str(error), mend=f"check {variable('db_migrate_url')}")
    if foreign:
        text = f"the role does not own {', '.join(foreign)}"
        return Finding(
            "migrations", works=False, text=text, mend=f"use the owner's role in {variable('db_migrate_url')}"
        )
    return Finding("migrations", works=True, text="the owner of the tables can sign in")


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        mend = f"set {variable('redis_url')}"
        return Finding(
            "redis", works=False, text="not configured: caches and counters are lost at a restart", mend=mend
        )
    probe = RedisProbe(settings.redis_url)
    error = await probe.trouble()
    await probe.close()
    mend = f"start Redis, or correct {variable('redis_url')}"
    text = "readable and writable" if error is None else f"cannot be read and written: {error}"
    return Finding("redis", error is None, text, mend)


async def _model(settings: Settings) -> Finding:
    """Request one token from the model, as a turn would: this checks key, model and credit at once."""
    if settings.anthropic_api_key is None:
        text = "no API key: the rehearsal model is used"
        if not settings.embedded:
            text = "no API key: turns fail with model_not_configured"
        return Finding("model", works=settings.embedded, text=text, mend=f"set {variable('anthropic_api_key')}")
    headers = {"authorization": f"Bearer {settings.anthropic_api_key}", "anthropic-version": VERSION}
    body = {"model": settings.agent_model, "max_tokens": 1, "messages": [{"role": "user", "content": "ping"}]}
    url = f"{settings.anthropic_base_url}/v1/messages"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(CHECK_TIMEOUT), headers=headers) as client,
            client.post(url, json=body) as answer,
        ):
            return _answered(settings.agent_model, answer.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        mend = f"correct {variable('anthropic_base_url')}, or allow outgoing connections in the firewall"
        return Finding("model", works=False, text=f"unreachable: {type(error).__name__}", mend=mend)


REFUSALS = {
    400: ("rejects the request", f"check the account's credit and {variable('agent_model')}"),
    401: ("rejects the API key", f"correct {variable('anthropic_api_key')}"),
    402: ("requires payment", "check the account's credit"),
    403: ("rejects the API key", f"correct {variable('anthropic_api_key')} or its permissions"),
    404: ("does not know the model", f"choose another {variable('agent_model')}"),
    429: ("rate-limits this account", "check the account's limits"),
}
"""Status of the model's API: its meaning and fix."""


def _answered(model: str, status: int) -> Finding:
    if status < 300:  # noqa: PLR2004 -- success
        return Finding("model", works=True, text=f"{model} answers")
    text, mend = REFUSALS.get(status, ("returns an unexpected status", "try again, and check the vendor's status page"))
    return Finding("model", works=False, text=f"{text} ({model}, {status})", mend=mend)


async def _mail(settings: Settings) -> Finding:
    """Run an SMTP transaction from the sender to the sender, aborted before the message is sent."""
    if settings.smtp_url is None:
        text = f"no mail server: e-mails are written to {settings.data_dir / 'mail'}"
        if settings.production:
            text = "not configured: no e-mail is sent"
        return Finding("mail", works=not settings.production, text=text, mend=f"set {variable('smtp_url')}")
    sender = wire_sender(settings.mail_from).addr_spec
    try:
        await Smtp(settings.smtp_url, CHECK_TIMEOUT).try_out(Envelope(sender, sender, EmailMessage()))
    except Undelivered as refused:
        return Finding("mail", works=False, text=str(refused), mend=_mend_mail(refused.cause))
    return Finding("mail", works=True, text=f"the server accepts e-mails from {sender}")


MAIL_MENDS = (
    ("server_", f"correct host and port in {variable('smtp_url')}, or allow outgoing connections in the firewall"),
    ("connection_", f"correct host and port in {variable('smtp_url')}; smtps:// is for port 465, smtp:// for 587"),
    ("tls_", f"smtps:// is for port 465, smtp:// for 587: correct {variable('smtp_url')}"),
    ("certificate_", "use a certificate issued for the server's name, or trust its issuer (SSL_CERT_FILE)"),
    (
        "starttls_not_offered",
        f"use a server with STARTTLS; on a trusted network add ?tls=off to {variable('smtp_url')}",
    ),
    ("auth_", f"correct user and password in {variable('smtp_url')}; in a URL @ is %40 and / is %2F"),
    ("sender_", f"set {variable('mail_from')} to an address this server accepts as sender"),
    ("smtputf8_", f"set {variable('mail_from')} to an ASCII address"),
    ("recipient_", f"allow this host to relay, or set user and password in {variable('smtp_url')}"),
)
"""Prefix of a cause, and its fix."""


def _mend_mail(cause: str) -> str:
    return next((mend for begins, mend in MAIL_MENDS if cause.startswith(begins)), "check the mail server's log")
