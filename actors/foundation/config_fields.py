"""All settings with their defaults and bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..domain.turns import MAX_ROUNDS
from .config_values import (
    DEFAULT_KEY_ID,
    DatabaseUrl,
    Differences,
    Folder,
    Mailbox,
    MailUrl,
    Networks,
    Prices,
    RedisUrl,
    SealingRing,
    SigningRing,
    SigningSecret,
    Tokens,
    Truth,
    WebUrl,
    Words,
)

Secret = Field(default=None, repr=False)


class SettingFields(BaseModel):
    """All settings as they are used. A field is its variable's name without ``VOYAGENT_``, in lower case.

    Only ``throttle`` is called ``GUARD`` there.
    """

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
    public_url: WebUrl = Field(default_factory=lambda known: f"http://{known['host']}:{known['port'] or 8010}")
    """Where people reach the service: links in e-mails begin with it. By default where it listens."""
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

    throttle: Literal["on", "accounts", "off"] = Field(
        default_factory=lambda known: "on" if known["env"] == "production" else "accounts"
    )
    throttle_free_attempts: int = Field(default=5, ge=5)
    throttle_account_free_attempts: int = Field(default=20, ge=1)
    throttle_network_free_attempts: int | None = Field(default=None, ge=1)
    throttle_max_delay_seconds: int = Field(default=900, ge=1)
    throttle_window_seconds: int = Field(default=3600, ge=1)

    kms_key: SealingRing | None = Secret
    smtp_url: MailUrl | None = Secret
    mail_from: Mailbox = "Voyagent <no-reply@localhost>"
    api_cors_origins: Words = Field(
        default_factory=lambda known: () if known["env"] == "production" else ("http://localhost:3000",)
    )
    trusted_proxies: Networks = ()
    metrics_token: Tokens = Field(default=(), repr=False)

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
    duffel_token: str | None = Field(default=None, pattern="^[!-~]{1,4096}$", repr=False)
    duffel_base_url: WebUrl = "https://api.duffel.com"
    bsp_dir: Folder | None = None
    bsp_allowed_differences: Differences = Field(default_factory=dict)

    sse_replay_buffer_cap: int = Field(default=200, ge=1, le=10_000)
    sse_stall_seconds: float = Field(default=30, gt=0, le=120)
    sse_streams_per_person: int = Field(default=50, ge=1)
    sse_streams_per_agency: int = Field(default=500, ge=1)
    sessions_per_minute: int = Field(default=600, ge=1)
    approval_ttl_seconds: int = Field(default=900, ge=60, le=86_400)
    drain_seconds: float = Field(default=20, ge=0, le=600)

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
