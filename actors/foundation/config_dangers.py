"""Unsafe configurations: one row for each, refused in production."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import parse_qs, unquote, urlsplit

from .config_fields import SettingFields

PLACEHOLDER = re.compile(rb"change.?me|placeholder|replace|example|your.?(secret|key)|insecure|dummy", re.IGNORECASE)
DISTINCT_BYTES = 8
"""A random secret of 32 bytes or hex digits practically never has fewer distinct bytes."""

ARGON2_MEMORY, ARGON2_WORK = 19_456, 38_912
"""KiB of one hash, and those times its passes: the minimum of OWASP's Password Storage Cheat Sheet (19 MiB, t = 2)."""

FREE_ATTEMPTS, ACCOUNT_ATTEMPTS, NETWORK_ATTEMPTS = 20, 100, 1_000
MAX_DELAY_SECONDS, WINDOW_SECONDS = 60, 600
"""Maxima and minima within which throttles still slow password guessing."""

RESET_SECONDS = 86_400
"""Longest validity of a password reset link."""

PREFIXES = {4: 8, 6: 16}
"""Shortest prefix of a trusted proxy network, by IP version."""


def _guessable(key: bytes) -> bool:
    return 0 < len(set(key)) < DISTINCT_BYTES or PLACEHOLDER.search(key) is not None


def _is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_unencrypted(url: str) -> bool:
    """Whether e-mails to this server are sent unencrypted over a network."""
    parts = urlsplit(url)
    return parts.scheme == "smtp" and parse_qs(parts.query).get("tls") == ["off"] and not _is_loopback(url)


def _user(url: str) -> str | None:
    """The user of a database URL, from its query or its authority."""
    parts = urlsplit(url)
    return parse_qs(parts.query).get("user", [unquote(parts.username) if parts.username else None])[-1]


Danger = tuple[str, Callable[[SettingFields], bool], str]

DANGERS: tuple[Danger, ...] = (
    ("auth_secret", lambda s: not s.signing_keys, "must be set in production, or VOYAGENT_AUTH_SECRETS"),
    ("auth_secret", lambda s: _guessable((s.auth_secret or "").encode()), "is a placeholder, not a secret"),
    (
        "auth_secrets",
        lambda s: any(_guessable(secret.encode()) for secret in (s.auth_secrets or {}).values()),
        "holds a placeholder, not a secret",
    ),
    ("kms_key", lambda s: not s.kms_key, "must be set in production, or secrets would be stored unsealed"),
    ("kms_key", lambda s: any(map(_guessable, s.sealing_keys.values())), "holds a placeholder, not a key"),
    (
        "auth_skip_email_verification",
        lambda s: s.auth_skip_email_verification,
        "is refused in production: anybody could sign up with anybody's address",
    ),
    ("auth_debug_tokens", lambda s: s.auth_debug_tokens, "is refused in production: it gives password resets away"),
    (
        "auth_argon2_memory_cost",
        lambda s: s.auth_argon2_memory_cost < ARGON2_MEMORY,
        f"must be at least {ARGON2_MEMORY} in production",
    ),
    (
        "auth_argon2_time_cost",
        lambda s: s.auth_argon2_memory_cost * s.auth_argon2_time_cost < ARGON2_WORK,
        f"times VOYAGENT_AUTH_ARGON2_MEMORY_COST must be at least {ARGON2_WORK} in production",
    ),
    (
        "auth_password_reset_ttl_seconds",
        lambda s: s.auth_password_reset_ttl_seconds > RESET_SECONDS,
        f"must be at most {RESET_SECONDS} in production",
    ),
    ("throttle", lambda s: s.throttle != "on", "must be on in production: without it nothing slows a guess"),
    (
        "throttle_free_attempts",
        lambda s: s.throttle_free_attempts > FREE_ATTEMPTS,
        f"must be at most {FREE_ATTEMPTS} in production",
    ),
    (
        "throttle_account_free_attempts",
        lambda s: s.throttle_account_free_attempts > ACCOUNT_ATTEMPTS,
        f"must be at most {ACCOUNT_ATTEMPTS} in production",
    ),
    (
        "throttle_network_free_attempts",
        lambda s: (s.throttle_network_free_attempts or 0) > NETWORK_ATTEMPTS,
        f"must be at most {NETWORK_ATTEMPTS} in production",
    ),
    (
        "throttle_max_delay_seconds",
        lambda s: s.throttle_max_delay_seconds < MAX_DELAY_SECONDS,
        f"must be at least {MAX_DELAY_SECONDS} in production",
    ),
    (
        "throttle_window_seconds",
        lambda s: s.throttle_window_seconds < WINDOW_SECONDS,
        f"must be at least {WINDOW_SECONDS} in production",
    ),
    (
        "duffel_base_url",
        lambda s: urlsplit(s.duffel_base_url).scheme == "http" and not _is_loopback(s.duffel_base_url),
        "must be https in production: each request carries a token",
    ),
    ("smtp_url", lambda s: s.smtp_url is None, "must be set in production: addresses are verified by e-mail"),
    (
        "smtp_url",
        lambda s: s.smtp_url is not None and _is_unencrypted(s.smtp_url),
        "tls=off is refused in production for a server that is not on this machine: e-mails hold tokens",
    ),
    ("public_url", lambda s: not s.public_url.startswith("https://"), "must begin with https:// in production"),
    (
        "api_cors_origins",
        lambda s: not all(origin.startswith("https://") and "*" not in origin for origin in s.api_cors_origins),
        "must be https:// origins in production; neither * nor null is one",
    ),
    (
        "trusted_proxies",
        lambda s: any(network.prefixlen < PREFIXES[network.version] for network in s.trusted_proxies),
        "names more than anybody's own proxies: at least /8, or /16 of IPv6, is asked for in production",
    ),
    (
        "metrics_token",
        lambda s: any(_guessable(token.encode()) for token in s.metrics_token),
        "is a placeholder, not a secret",
    ),
    (
        "anthropic_base_url",
        lambda s: s.anthropic_base_url.startswith("http://") and not _is_loopback(s.anthropic_base_url),
        "must begin with https:// in production: conversations and the key would be sent in clear",
    ),
    (
        "anthropic_api_key",
        lambda s: s.embedded and s.anthropic_api_key is None,
        "must be set in production: the rehearsal that stands in for the model is no agent",
    ),
    (
        "db_migrate_url",
        lambda s: s.db_migrate_url is not None,
        "is refused in production but for run.py migrate: the service must not know the owner of its tables",
    ),
)
"""Of the service and of the commands that work as it does: field, predicate, and message."""

MIGRATION_DANGERS: tuple[Danger, ...] = (
    ("db_migrate_url", lambda s: s.db_migrate_url is None, "must be set in production: it names the tables' owner"),
    ("db_url", lambda s: s.db_url is None, "must be set in production: it names the role that the service has"),
    (
        "db_migrate_url",
        lambda s: s.db_url is not None and s.db_migrate_url is not None and _user(s.db_url) == _user(s.db_migrate_url),
        "must name another user than VOYAGENT_DB_URL: the service does not run as the owner of its tables",
    ),
)
"""Of ``run.py migrate``, which needs nothing but the two URLs."""
