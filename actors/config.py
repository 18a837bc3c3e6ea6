"""What the service is told from outside: every setting, its default and its bounds, checked once at the start.

Nothing is read at import. ``Settings.load`` reads the environment (and ``.env`` beside it), refuses what is wrong by the
name of the variable and never by its value, and refuses a production configuration that would be unsafe.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PREFIX = "VOYAGENT_"
UNPREFIXED = frozenset({"anthropic_api_key", "anthropic_base_url", "sse_replay_buffer_cap"})
"""Fields whose variable is their upper-case name alone: names others already know."""

DEFAULT_KEY_ID = "default"
"""The key id of a secret that was given without one."""

SECRET_BYTES = 32
"""Shortest signing secret (RFC 7518, 3.2: as long as the hash) and the exact length of a sealing key (AES-256)."""

METRICS_TOKEN_CHARACTERS = 16
PLACEHOLDER = re.compile(rb"change.?me|placeholder|replace|example|your.?(secret|key)|not.?a.?secret|insecure|dummy", re.I)
DISTINCT_BYTES = 8
"""A random secret of 32 bytes or hex digits has fewer different ones than this about never; ``aaaa…`` has one."""


class ConfigurationError(Exception):
    """The service does not start: one sentence for each thing wrong, beginning with the variable's name."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """USD per million tokens of one model, and the day the figures were taken from the price list."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    as_of: date


def variable(field: str) -> str:
    """The environment variable that sets ``field``."""
    return field.upper() if field in UNPREFIXED else PREFIX + field.upper()


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
    """A comma list without its blanks and empty places."""
    return tuple(word for part in value.split(",") if (word := part.strip())) if isinstance(value, str) else value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for part in value.split(",") if (word := part.strip()))
    except ValueError:
        raise ValueError("must be a comma list of addresses and networks") from None


def _prices(value: object) -> object:
    """``model=input/output/cache_read/cache_write@YYYY-MM-DD, …``"""
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
    """``kid:secret,…`` in the order given."""
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
    return {kid: _sealing_key(key) for kid, key in named.items()}


def _sealing_key(text: str) -> bytes:
    unpadded = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != SECRET_BYTES:
        raise ValueError(f"must be {SECRET_BYTES} bytes in base64, or kid:key,… of such")
    return key


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


Truth = Annotated[bool, BeforeValidator(_truth)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
DatabaseUrl = Annotated[str, AfterValidator(_url("postgresql", "postgresql+asyncpg", host=False))]
WebUrl = Annotated[str, AfterValidator(_url("https", "http"))]
Secret = Field(default=None, repr=False)


class Settings(BaseSettings):
    """Everything the service is told. A field is its variable's name without ``VOYAGENT_``, in lower case."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True, validate_default=False
    )

    embedded: bool = False
    """Postgres and Redis are our own children. Said on the command line, not by a variable."""

    env: Literal["development", "production"] = Field(
        default_factory=lambda known: "development" if known["embedded"] else "production"
    )
    host: str = "127.0.0.1"
    port: int = Field(default=8010, ge=0, le=65535)
    version: str = "0.0.0-dev"
    git_sha: str = "unknown"
    public_url: WebUrl = "http://127.0.0.1:8010"
    data_dir: Annotated[Path, AfterValidator(_absolute)] = Field(default_factory=lambda: _absolute(Path("var")))
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    db_url: DatabaseUrl | None = Secret
    db_migrate_url: DatabaseUrl | None = Secret
    redis_url: Annotated[str, AfterValidator(_url("redis", "rediss", "unix", host=False))] | None = Secret

    auth_secret: Annotated[str, AfterValidator(_long_enough)] | None = Secret
    auth_secrets: Annotated[dict[str, str], BeforeValidator(_signing_ring)] | None = Secret
    auth_access_ttl_seconds: int = Field(default=3600, ge=60)
    auth_refresh_ttl_seconds: int = Field(default=2_592_000, ge=3600)
    auth_family_max_age_seconds: int = Field(default=7_776_000, ge=3600)
    auth_refresh_grace_seconds: int = Field(default=30, ge=0, le=300)
    auth_leeway_seconds: int = Field(default=10, ge=0, le=60)
    auth_issuer: str = "voyagent"
    auth_audience: str = "voyagent-api"
    auth_argon2_time_cost: int = Field(default=2, ge=1)
    auth_argon2_memory_cost: int = Field(default=102_400, ge=8192)
    auth_argon2_parallelism: int = Field(default=1, ge=1)
    auth_hash_workers: int = Field(default_factory=lambda: min(os.cpu_count() or 1, 4), ge=1, le=64)
    auth_skip_email_verification: Truth = Field(default_factory=lambda known: bool(known["embedded"]))
    auth_debug_tokens: Truth = False
    auth_verification_ttl_seconds: int = Field(default=86_400, ge=60)
    auth_password_reset_ttl_seconds: int = Field(default=3600, ge=60)
    auth_invite_ttl_seconds: int = Field(default=604_800, ge=60)
    auth_unverified_ttl_seconds: int = Field(default=604_800, ge=3600)

    guard: Literal["on", "accounts", "off"] = Field(
        default_factory=lambda known: "on" if known["env"] == "production" else "accounts"
    )
    guard_free_attempts: int = Field(default=5, ge=5)
    guard_account_free_attempts: int = Field(default=20, ge=1)
    guard_network_free_attempts: int | None = Field(default=None, ge=1)
    guard_max_delay_seconds: int = Field(default=900, ge=1)
    guard_window_seconds: int = Field(default=3600, ge=1)

    kms_key: Annotated[dict[str, bytes], BeforeValidator(_sealing_ring)] | None = Secret
    smtp_url: Annotated[str, AfterValidator(_url("smtps", "smtp"))] | None = Secret
    mail_from: str = "Voyagent <no-reply@localhost>"
    api_cors_origins: Words = Field(
        default_factory=lambda known: () if known["env"] == "production" else ("http://localhost:3000",)
    )
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = ()
    metrics_token: str | None = Field(default=None, min_length=METRICS_TOKEN_CHARACTERS, repr=False)

    anthropic_api_key: str | None = Secret
    anthropic_base_url: WebUrl = "https://api.anthropic.com"
    agent_model: str = "claude-sonnet-5-5"
    agent_models: Words = (
        "claude-sonnet-5-5",
        "claude-opus-5-5",
        "claude-haiku-5-5",
        "claude-opus-4-6",
        "claude-haiku-4-5-20251001",
        "claude-sonnet-4-5",
    )
    agent_max_tokens: int = Field(default=4096, ge=64, le=16_384)
    model_prices: Annotated[Mapping[str, ModelPrice], BeforeValidator(_prices)] = Field(default_factory=dict)
    suppliers: Words = Field(default_factory=lambda known: ("house",) if known["embedded"] else ())

    sse_replay_buffer_cap: int = Field(default=200, ge=1, le=10_000)
    sse_stall_seconds: float = Field(default=30, gt=0)
    approval_ttl_seconds: int = Field(default=900, ge=60, le=86_400)
    drain_seconds: float = Field(default=20, ge=0, le=600)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what is handed over: ``load`` is the one place that reads the environment."""
        return (init_settings,)

    @classmethod
    def load(cls, embedded: bool = False, environ: Mapping[str, str] | None = None) -> Settings:
        """Read, check and complete the settings, or raise ``ConfigurationError`` with everything that is wrong.

        Without ``environ`` the process's environment counts, over what ``.env`` in the working directory says. In
        development missing keys are made once and kept in the data directory.
        """
        environ = _surroundings() if environ is None else environ
        given: dict[str, Any] = {
            field: value
            for field in cls.model_fields
            if field != "embedded" and (value := environ.get(variable(field), "").strip())
        }
        try:
            settings = cls(embedded=embedded, **given)
        except ValidationError as failure:
            raise ConfigurationError(_problems(failure)) from None
        if problems := [*_contradictions(settings), *_dangers(settings)]:
            raise ConfigurationError(problems)
        return settings if settings.production else settings._with_kept_secrets()

    @property
    def production(self) -> bool:
        """Strangers are served: what eases development is refused."""
        return self.env == "production"

    @property
    def signing_keys(self) -> dict[str, str]:
        """Key id -> secret of access tokens: the first signs, all verify. ``auth_secret`` beside a ring verifies only."""
        ring = dict(self.auth_secrets or {})
        if self.auth_secret is not None:
            ring.setdefault(DEFAULT_KEY_ID, self.auth_secret)
        return ring

    @property
    def sealing_keys(self) -> dict[str, bytes]:
        """Key id -> 32 bytes: the first seals, all open."""
        return dict(self.kms_key or {})

    @property
    def owner_url(self) -> str | None:
        """Where migrations run: as the owner of the tables."""
        return self.db_migrate_url or self.db_url

    def _with_kept_secrets(self) -> Settings:
        missing: dict[str, Any] = {}
        if not self.signing_keys:
            missing["auth_secret"] = _kept(self.data_dir / "secrets" / "auth_secret")
        if not self.kms_key:
            missing["kms_key"] = {DEFAULT_KEY_ID: _sealing_key(_kept(self.data_dir / "secrets" / "kms_key"))}
        return self.model_copy(update=missing) if missing else self


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Names that begin like ours and set nothing: misspelt, most likely."""
    ours = {variable(field) for field in Settings.model_fields if field != "embedded"}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in ours)


def _surroundings() -> dict[str, str]:
    return {name: value for name, value in dotenv_values(".env").items() if value is not None} | dict(os.environ)


def _problems(failure: ValidationError) -> list[str]:
    """One line a variable. Defaults that could not be worked out because of another mistake say nothing new."""
    return [
        f"{variable(str(error['loc'][0]))}: {error['msg'].removeprefix('Value error, ')}"
        for error in failure.errors(include_input=False, include_context=False, include_url=False)
        if error["type"] != "default_factory_not_called"
    ]


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.auth_family_max_age_seconds < settings.auth_refresh_ttl_seconds:
        yield f"{variable('auth_family_max_age_seconds')}: must not be less than {variable('auth_refresh_ttl_seconds')}"
    if settings.agent_model not in settings.agent_models:
        yield f"{variable('agent_model')}: must be one of {variable('agent_models')}"
    if settings.embedded:
        for field in ("db_url", "db_migrate_url", "redis_url"):
            if getattr(settings, field) is not None:
                yield f"{variable(field)}: cannot be set together with --embedded, which starts its own"


def _dangers(settings: Settings) -> Iterator[str]:
    """Why this may not serve strangers (contract, identity 14)."""
    if not settings.production:
        return
    if not settings.signing_keys:
        yield f"{variable('auth_secret')}: must be set in production, or {variable('auth_secrets')}"
    if settings.auth_secret is not None and _guessable(settings.auth_secret.encode()):
        yield f"{variable('auth_secret')}: is a placeholder, not a secret"
    if any(_guessable(secret.encode()) for secret in (settings.auth_secrets or {}).values()):
        yield f"{variable('auth_secrets')}: holds a placeholder, not a secret"
    if not settings.kms_key:
        yield f"{variable('kms_key')}: must be set in production, or secrets would be stored unsealed"
    elif any(_guessable(key) for key in settings.kms_key.values()):
        yield f"{variable('kms_key')}: holds a placeholder, not a key"
    if settings.auth_debug_tokens:
        yield f"{variable('auth_debug_tokens')}: is refused in production: it gives away password resets"
    if settings.guard == "off":
        yield f"{variable('guard')}: off is refused in production"
    if settings.smtp_url is None and not settings.auth_skip_email_verification:
        yield f"{variable('smtp_url')}: must be set in production while addresses are verified"
    if not settings.public_url.startswith("https://"):
        yield f"{variable('public_url')}: must begin with https:// in production"
    if "*" in settings.api_cors_origins:
        yield f"{variable('api_cors_origins')}: * is refused in production"
    if any(network.prefixlen == 0 for network in settings.trusted_proxies):
        yield f"{variable('trusted_proxies')}: the whole internet is refused in production"
    if settings.db_url is not None and settings.db_migrate_url is None:
        yield f"{variable('db_migrate_url')}: must be set in production: the service does not run as the tables' owner"


def _guessable(key: bytes) -> bool:
    return len(set(key)) < DISTINCT_BYTES or PLACEHOLDER.search(key) is not None


def _kept(path: Path) -> str:
    """The secret in ``path``, mode 0600, made now if it is not there. Two processes at once agree on one."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
