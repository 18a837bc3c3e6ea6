"""Parses variables: booleans, comma-separated lists, URLs, key rings, prices.

A ``ValueError`` states the requirement and never the value, which may be a secret: it is printed.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from ..domain.identity import mailbox

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_KEY_ID = "default"
"""The key id of a secret without one."""

SECRET_BYTES = 32
"""Shortest signing secret (RFC 7518, 3.2: as long as the hash) and the exact length of a sealing key (AES-256)."""


TOKEN_CHARACTERS = 16
"""Shortest metrics token."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """USD per million tokens of one model, and the day the figures were taken from the price list."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    as_of: date


def _truth(value: object) -> object:
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise ValueError("must be one of 1 true yes on, or 0 false no off")


def _words(value: object) -> object:
    """Split a comma-separated list; blanks and empty items are dropped."""
    return tuple(word for part in value.split(",") if (word := part.strip())) if isinstance(value, str) else value


def _tokens(value: object) -> object:
    """Split a comma-separated list of tokens, which are secrets of some length."""
    tokens = _words(value)
    if isinstance(tokens, tuple) and any(len(token) < TOKEN_CHARACTERS for token in tokens):
        raise ValueError(f"must have at least {TOKEN_CHARACTERS} characters, or be a comma list of such")
    return tokens


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for part in value.split(",") if (word := part.strip()))
    except ValueError:
        raise ValueError("must be a comma list of addresses and networks") from None


def _prices(value: object) -> object:
    """From ``model=input/output/cache_read/cache_write@YYYY-MM-DD, …``."""
    if not isinstance(value, str):
        return value
    form = "must be a comma list of model=input/output/cache_read/cache_write@YYYY-MM-DD"
    prices: dict[str, ModelPrice] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            model, _, rest = part.partition("=")
            figures, _, day = rest.partition("@")
            amounts = [Decimal(figure) for figure in figures.split("/")]
            fresh, written, cache_read, cache_write = amounts
            price = ModelPrice(fresh, written, cache_read, cache_write, date.fromisoformat(day.strip()))
        except (InvalidOperation, TypeError, ValueError):
            raise ValueError(form) from None
        if not model.strip() or not all(amount.is_finite() and amount >= 0 for amount in amounts):
            raise ValueError(form)
        prices[model.strip()] = price
    return prices


def _differences(value: object) -> object:
    """From ``INR=100,KWD=5``: minor units by currency."""
    if not isinstance(value, str):
        return value
    pairs = [part.strip() for part in value.split(",") if part.strip()]
    if not all(re.fullmatch("[A-Z]{3}=[0-9]{1,9}", pair, re.ASCII) for pair in pairs):
        raise ValueError("must be a comma list of currency=minor units, INR=100 for example")
    return {pair[:3]: int(pair[4:]) for pair in pairs}


def _url(*schemes: str, host: bool = True) -> Callable[[str], str]:
    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            known = parts.scheme in schemes and bool(parts.netloc or not host) and (parts.port or 0) >= 0
        except ValueError:
            known = False
        if not known:
            raise ValueError("must be a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return value.rstrip("/")

    return check


def _long_enough(secret: str) -> str:
    if len(secret.encode()) < SECRET_BYTES:
        raise ValueError(f"must be at least {SECRET_BYTES} bytes")
    return secret


def _named(value: str) -> dict[str, str]:
    """From ``kid:secret,…``, in the order given."""
    ring: dict[str, str] = {}
    for part in value.split(","):
        kid, colon, secret = part.strip().partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", kid) or kid in ring:
            raise ValueError("must be kid:secret,… with each kid 1 to 32 of A-Z a-z 0-9 _ - and given once")
        ring[kid] = secret
    return ring


def _signing_ring(value: object) -> object:
    return {kid: _long_enough(secret) for kid, secret in _named(value).items()} if isinstance(value, str) else value


def _sealing_ring(value: object) -> object:
    if not isinstance(value, str):
        return value
    named = _named(value) if ":" in value else {DEFAULT_KEY_ID: value.strip()}
    return {kid: sealing_key(key) for kid, key in named.items()}


def sealing_key(text: str) -> bytes:
    """The 32 bytes of a key in base64, of either alphabet, padded or not."""
    unpadded = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != SECRET_BYTES:
        raise ValueError(f"must be {SECRET_BYTES} bytes in base64, or kid:key,… of such")
    return key


def _mailbox(text: str) -> str:
    try:
        mailbox(text)
    except ValueError:
        raise ValueError("must be one address, or Name <address>") from None
    return text


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


Truth = Annotated[bool, BeforeValidator(_truth)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Tokens = Annotated[tuple[str, ...], BeforeValidator(_tokens)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_networks)]
Prices = Annotated[dict[str, ModelPrice], BeforeValidator(_prices)]
Differences = Annotated[dict[str, int], BeforeValidator(_differences)]
Folder = Annotated[Path, AfterValidator(_absolute)]
DatabaseUrl = Annotated[str, AfterValidator(_url("postgresql", "postgresql+asyncpg", host=False))]
RedisUrl = Annotated[str, AfterValidator(_url("redis", "rediss", "unix", host=False))]
MailUrl = Annotated[str, AfterValidator(_url("smtps", "smtp"))]
WebUrl = Annotated[str, AfterValidator(_url("https", "http"))]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
SigningSecret = Annotated[str, AfterValidator(_long_enough)]
SigningRing = Annotated[dict[str, str], BeforeValidator(_signing_ring)]
SealingRing = Annotated[dict[str, bytes], BeforeValidator(_sealing_ring)]
