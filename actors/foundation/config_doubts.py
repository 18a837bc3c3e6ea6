"""Warnings about a production configuration that is valid but probably unintended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..domain.identity import mailbox
from .config import Settings, variable

RESERVED = re.compile(
    r"(?:.+\.)?(?:example\.(?:com|net|org)|example|test|invalid|localhost|local)|\d[\d.]*|\[.*\]", re.IGNORECASE
)
"""Reserved names (RFC 2606, RFC 6761, RFC 6762) and IP addresses."""


def doubts(settings: Settings) -> list[str]:
    """One warning for each questionable setting, beginning with the variable's name; none in development."""
    return [*_places(settings), *_roles(settings), *_offers(settings)] if settings.production else []


def _places(settings: Settings) -> Iterator[str]:
    host = urlsplit(settings.public_url).hostname or ""
    if RESERVED.fullmatch(host):
        yield f"{variable('public_url')}: {host} is an example: links in e-mails lead nowhere"
    domain = mailbox(settings.mail_from)[1].rpartition("@")[2]
    if settings.smtp_url is not None and RESERVED.fullmatch(domain):
        yield f"{variable('mail_from')}: {domain} is an example: use an address your mail server sends for"
    if settings.smtp_url is None:
        yield f"{variable('smtp_url')}: is not set: no e-mail is sent, and nobody can reset a password"


def _roles(settings: Settings) -> Iterator[str]:
    if settings.db_url is None:
        yield f"{variable('db_url')}: is not set: all but the health of the service is refused"
    if settings.redis_url is None:
        yield f"{variable('redis_url')}: is not set: throttles and found offers do not outlive the process"


def _offers(settings: Settings) -> Iterator[str]:
    if settings.anthropic_api_key is None:
        yield f"{variable('anthropic_api_key')}: is not set: every turn ends in model_not_configured"
    if not settings.suppliers:
        yield f"{variable('suppliers')}: is empty: nothing can be searched or booked"
    if settings.production and (settings.duffel_token or "").startswith("duffel_test_"):
        yield f"{variable('duffel_token')}: is a test token: what is booked with it is no booking"
    if settings.bsp_dir is not None and not settings.bsp_dir.is_dir():
        yield f"{variable('bsp_dir')}: is no folder: no statement of a BSP is found"
    if settings.agent_model not in settings.model_prices:
        yield f"{variable('model_prices')}: has no price for {settings.agent_model}: its cost is counted as unknown"
