"""Identity: roles, e-mail addresses, the password policy, and the principal of a request."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from .errors import WeakPassword

MAX_RAW_EMAIL = 2048
"""Longer input is refused unread: parsing costs more than linear time."""

MAX_EMAIL = 254
"""RFC 5321, 4.5.3.1.3, less the angle brackets."""

MAX_FORMS = 4
"""No canonical composition makes one code point of more. The time of a normalization grows with the square of a run of
combining marks: 2 KiB of them take 10 ms."""

PASSWORD_LENGTH = range(12, 129)
"""Code points of a new password."""

FORMER_ADDRESS_RESERVED = timedelta(days=7)
"""How long a replaced address stays reserved for its user, so that a hijacked change can be undone."""

BIRTH_VERSION = 0
"""The initial token version of a user."""

ENCODED_WORD = "=?"
"""How an encoded word begins. RFC 2047, 5 (3) allows none in an address, yet readers of headers decode it there."""

_BLANK = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
"""Unicode's space separators (Zs) that are not ASCII."""

_ORDINARY = re.compile(r"([a-z0-9]+(?:[._+-][a-z0-9]+)*)@([a-z0-9-]+(?:\.[a-z0-9-]+)+)", re.IGNORECASE | re.ASCII)
"""An address whose local part needs no look of the library: a dot-atom (RFC 5322, 3.4.1) of letters and digits."""
_MAX_LOCAL = 64
"""RFC 5321, 4.5.3.1.1."""

_NAMED = re.compile(r"[^<>\x00-\x1f\x7f]*<([^<>]+)>")


_PART = r"[^\s<>@,;:\"()\[\]\\]+"
_NAME = r"\"[^\"<>\r\n]*\"\s*|[^\"<>@,;:\r\n]*"
_MAILBOX = re.compile(rf"(?P<name>{_NAME})<(?P<named>{_PART}@{_PART})>|(?P<bare>{_PART}@{_PART})")


class Role(StrEnum):
    """What a member may do in their agency."""

    AGENCY_ADMIN = "agency_admin"
    TICKETING_LEAD = "ticketing_lead"
    ACCOUNTING_LEAD = "accounting_lead"
    AGENT = "agent"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The authenticated user of a request, with current data from the database, and the credential used."""

    user_id: str
    tenant_id: str
    role: Role
    email: str
    email_verified: bool
    full_name: str | None
    tenant_name: str
    created_at: datetime
    token_version: int
    family_id: str | None = None
    token_id: str | None = None
    api_key_id: str | None = None

    def with_token(self, token_id: str) -> Principal:
        """The same by one of their tokens. Written out: each request makes one, and ``replace`` asks every field."""
        return Principal(
            user_id=self.user_id,
            tenant_id=self.tenant_id,
            role=self.role,
            email=self.email,
            email_verified=self.email_verified,
            full_name=self.full_name,
            tenant_name=self.tenant_name,
            created_at=self.created_at,
            token_version=self.token_version,
            family_id=self.family_id,
            token_id=token_id,
            api_key_id=self.api_key_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What decides whether a user may sign in, apart from the password."""

    user_active: bool
    tenant_active: bool
    email_verified: bool
    totp_enabled: bool

    def refusal(self, *, verified_only: bool) -> str | None:
        """The code that a sign-in with the right password is refused with, or None; the first that applies."""
        if not (self.user_active and self.tenant_active):
            return "account_inactive"
        if verified_only and not self.email_verified:
            return "email_not_verified"
        if self.totp_enabled:
            return "totp_required"
        return None


def normal_email(text: str) -> str:
    """The one form an address is stored, compared and returned in: NFC, lower case, Unicode domain, no name around it.

    Raises ValueError ``invalid_email``. The DNS is never asked. What is returned is its own normal form.
    """
    address = text.strip()
    if len(text) > MAX_RAW_EMAIL:
        raise ValueError("invalid_email")
    if (ordinary := _ORDINARY.fullmatch(address)) and len(ordinary[1]) <= _MAX_LOCAL and len(address) <= MAX_EMAIL:
        return f"{ordinary[1].lower()}@{_domain(ordinary[2].lower())}"
    if named := _NAMED.fullmatch(address):
        address = named[1].strip()
    if len(address) > MAX_FORMS * MAX_EMAIL:
        raise ValueError("invalid_email")
    return _checked(address)


@lru_cache(maxsize=4096)  # most people's addresses are at few providers
def _domain(ascii_domain: str) -> str:
    """The domain in the form it is stored in. Raises ValueError ``invalid_email``."""
    return _checked(f"a@{ascii_domain}").removeprefix("a@")


def _checked(address: str) -> str:
    normal = _normal(address)
    if len(normal) > MAX_EMAIL or ENCODED_WORD in normal or _normal(normal) != normal:
        raise ValueError("invalid_email")
    return normal


def _normal(address: str) -> str:
    return unicodedata.normalize("NFC", _parsed(address).normalized.lower())


def wire_email(address: str) -> str:
    """``address`` as mail servers read it: the domain in A-labels (RFC 5890). Raises ValueError ``invalid_email``.

    Only a local part beyond ASCII is left to SMTPUTF8 (RFC 6531).
    """
    parsed = _parsed(address)
    return f"{parsed.local_part}@{parsed.ascii_domain}"


def mailbox(text: str) -> tuple[str, str]:
    """The name and the address in ``Name <address>``, or an address alone; the domain is in A-labels.

    For addresses of our own, which may be at ``localhost``. Raises ValueError unless it is exactly one.
    """
    given = _MAILBOX.fullmatch(text.strip())
    if given is None:
        raise ValueError("must be one address, or Name <address>")
    address = given["named"] or given["bare"]
    return (given["name"] or "").strip().strip('"'), address if address.isascii() else wire_email(address)


def _parsed(address: str) -> ValidatedEmail:
    try:
        return validate_email(address, check_deliverability=False)
    except EmailNotValidError as wrong:
        raise ValueError("invalid_email") from wrong


def opaque(text: str) -> str:
    """The one form a password is measured, compared and hashed in, whatever keyboard it was typed on.

    RFC 8265, 4.2 (OpaqueString): every blank is the ASCII one, then NFC. Never trimmed, nor is case touched.
    """
    return unicodedata.normalize("NFC", _BLANK.sub(" ", text))


def check_password(text: str) -> None:
    """Check a new password against the policy: NIST SP 800-63B's length and list, a letter and a digit of any script.

    Raises WeakPassword with the first rule it breaks.
    """
    if rule := _broken_rule(opaque(text)):
        raise WeakPassword(rule)


def _broken_rule(text: str) -> str | None:
    if not text.strip():
        return "password_blank"
    if len(text) < PASSWORD_LENGTH.start:
        return "password_too_short"
    if len(text) >= PASSWORD_LENGTH.stop:
        return "password_too_long"
    if not has_letter(text):
        return "password_no_letter"
    if not has_digit(text):
        return "password_no_digit"
    if text.strip().casefold() in common_passwords():
        return "password_common"
    return None


def has_letter(text: str) -> bool:
    """Whether a letter of any script is in ``text``."""
    return any(map(str.isalpha, text))


def has_digit(text: str) -> bool:
    """Whether a digit of any script is in ``text``."""
    return any(map(str.isdigit, text))


@cache
def common_passwords() -> frozenset[str]:
    """Common passwords, case-folded. Only whole passwords are compared, not parts of longer ones."""
    return frozenset((Path(__file__).parent / "common_passwords.txt").read_text("utf-8").splitlines())


def site_of(ip: str | None) -> str | None:
    """The /48 of an IPv6 address, which one customer usually has; None for any other. It holds 65,536 networks."""
    network = network_of(ip)
    if network is None or ":" not in network:
        return None
    return str(ip_network((IPv6Address(network.partition("/")[0]).packed[:6] + bytes(10), 48)))


def network_of(ip: str | None) -> str | None:
    """The network an address counts as: itself for IPv4, its /64 for IPv6, None where there is no address."""
    if ip is None:
        return None
    try:
        address = ip_address(ip)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address.packed[:8] + bytes(8), 64)))
    return str(address)
