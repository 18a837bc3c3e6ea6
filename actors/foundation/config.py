"""All settings with defaults and bounds, validated once at start.

Nothing is read at import. ``Settings.load`` reads the environment (and ``.env`` beside it), refuses what is wrong by
the name of the variable, never by its value, and refuses a production configuration that would be unsafe.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..domain.turns import MAX_ROUNDS
from .config_dangers import DANGERS
from .config_values import (
    DEFAULT_KEY_ID,
    SECRET_BYTES,
    DatabaseUrl,
    Folder,
    Mailbox,
    MailUrl,
    Networks,
    Prices,
    RedisUrl,
    SealingRing,
    SigningRing,
    SigningSecret,
    Truth,
    WebUrl,
    Words,
    sealing_key,
)

PREFIX = "VOYAGENT_"
UNPREFIXED = frozenset({"anthropic_api_key", "anthropic_base_url", "sse_replay_buffer_cap"})
"""Fields whose variable has no prefix: names established elsewhere."""

METRICS_TOKEN_CHARACTERS = 16

Secret = Field(default=None, repr=False)


class ConfigurationError(Exception):
    """The service does not start: one sentence for each thing wrong, beginning with the variable's name."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def variable(field: str) -> str:
    """The environment variable that sets ``field``."""
    return field.upper() if field in UNPREFIXED else PREFIX + field.upper()


class Settings(BaseModel):
    """The settings. A field is its variable's name without ``VOYAGENT_``, in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)

    embedded: bool = False
    """Postgres and Redis run as child processes. Set on the command line, not by a variable."""

    env: Literal["development", "production"] = Field(
        default_factory=lambda known: "development" if known["embedded"] else "production"
    )
    host: str = "127.0.0.1"
    port: int = Field(default=8010, ge=0, le=65535)
    version: str = "0.0.0-dev"
    git_sha: str = "unknown"
    public_url: WebUrl = "http://127.0.0.1:8010"
    data_dir: Folder = Field(default_factory=lambda: Path("var").absolute())
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    db_url: DatabaseUrl | None = Secret
    db_migrate_url: DatabaseUrl | None = Secret
    redis_url: RedisUrl | None = Secret

    auth_secret: SigningSecret | None = Secret
    auth_secrets: SigningRing | None = Secret
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
    auth_skip_email_verification: Truth = Field(
        default_factory=lambda known: known["embedded"] and known["env"] != "production"
    )
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

    kms_key: SealingRing | None = Secret
    smtp_url: MailUrl | None = Secret
    mail_from: Mailbox = "Voyagent <no-reply@localhost>"
    api_cors_origins: Words = Field(
        default_factory=lambda known: () if known["env"] == "production" else ("http://localhost:3000",)
    )
    trusted_proxies: Networks = ()
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
    agent_max_rounds: int = Field(default=MAX_ROUNDS, ge=4, le=64)
    model_prices: Prices = Field(default_factory=dict)
    suppliers: Words = Field(default_factory=lambda known: ("house",) if known["embedded"] else ())

    sse_replay_buffer_cap: int = Field(default=200, ge=1, le=10_000)
    sse_stall_seconds: float = Field(default=30, gt=0)
    sse_streams_per_person: int = Field(default=50, ge=1)
    sse_streams_per_agency: int = Field(default=500, ge=1)
    sessions_per_minute: int = Field(default=600, ge=1)
    approval_ttl_seconds: int = Field(default=900, ge=60, le=86_400)
    drain_seconds: float = Field(default=20, ge=0, le=600)

    @classmethod
    def load(cls, *, embedded: bool = False, environ: Mapping[str, str] | None = None) -> Settings:
        """Read, check and complete the settings, or raise ``ConfigurationError`` with everything that is wrong.

        Without ``environ`` the process's environment is used, over ``.env`` in the working directory. In development
        missing keys are generated once and kept in the data directory.
        """
        environ = _environment() if environ is None else environ
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
        """Whether this is production, where development conveniences are refused."""
        return self.env == "production"

    @property
    def signing_keys(self) -> dict[str, str]:
        """Key id -> secret: the first signs access tokens, all verify; ``auth_secret`` beside a ring only verifies."""
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
        """The URL for migrations, which run as the owner of the tables."""
        return self.db_migrate_url or self.db_url

    def _with_kept_secrets(self) -> Settings:
        missing: dict[str, Any] = {}
        if not self.signing_keys:
            missing["auth_secret"] = _kept(self.data_dir / "secrets" / "auth_secret")
        if not self.kms_key:
            missing["kms_key"] = {DEFAULT_KEY_ID: sealing_key(_kept(self.data_dir / "secrets" / "kms_key"))}
        return self.model_copy(update=missing) if missing else self


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables with our prefix that set nothing; probably misspelt."""
    ours = {variable(field) for field in Settings.model_fields if field != "embedded"}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in ours)


def _environment() -> dict[str, str]:
    return {name: value for name, value in dotenv_values(".env").items() if value is not None} | dict(os.environ)


def _problems(failure: ValidationError) -> list[str]:
    """One line per variable; defaults that depend on another invalid field are left out."""
    return [
        f"{variable(str(error['loc'][0]))}: {_requirement(error['type'], error['msg'], error.get('ctx', {}))}"
        for error in failure.errors(include_input=False, include_url=False)
        if error["type"] != "default_factory_not_called"
    ]


REQUIREMENTS = {
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_short": "must have at least {min_length} characters",
}
"""Requirement by pydantic error type; its own messages are for programmers."""


def _requirement(kind: str, message: str, context: Mapping[str, Any]) -> str:
    return REQUIREMENTS[kind].format(**context) if kind in REQUIREMENTS else message.removeprefix("Value error, ")


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
    """Why this configuration is unsafe for production."""
    if settings.production:
        dangers = {(field, why): None for field, holds, why in DANGERS if holds(settings)}
        yield from (f"{variable(field)}: {why}" for field, why in dangers)


def _kept(path: Path) -> str:
    """The secret in ``path``, mode 0600, generated if it is missing. Concurrent processes agree on one."""
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
