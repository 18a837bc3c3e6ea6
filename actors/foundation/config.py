"""Reads the settings once at start.

Nothing is read at import. ``Settings.load`` reads the environment (and ``.env`` beside it), refuses what is wrong by
the name of the variable, never by its value, and refuses a production configuration that would be unsafe.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from .config_dangers import DANGERS, MIGRATION_DANGERS, Danger
from .config_fields import SettingFields
from .config_values import DEFAULT_KEY_ID, SECRET_BYTES, sealing_key

PREFIX = "VOYAGENT_"
UNPREFIXED = frozenset({"anthropic_api_key", "anthropic_base_url", "sse_replay_buffer_cap"})
"""Fields whose variable has no prefix: names established elsewhere."""


class ConfigurationError(Exception):
    """The service does not start: one sentence for each thing wrong, beginning with the variable's name."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def variable(field: str) -> str:
    """The environment variable that sets ``field``. The throttle's are called guard, as the contract has them."""
    return field.upper() if field in UNPREFIXED else PREFIX + field.replace("throttle", "guard", 1).upper()


class Settings(SettingFields):
    """The settings, and how they are read."""

    @classmethod
    def load(
        cls, *, embedded: bool = False, migrating: bool = False, environ: Mapping[str, str] | None = None
    ) -> Settings:
        """Read, check and complete the settings, or raise ``ConfigurationError`` with everything that is wrong.

        Without ``environ`` the process's environment is used, over ``.env`` in the working directory. In development
        missing keys are generated once and kept in the data directory. ``migrating`` is for the command that changes
        the tables, whose environment is not the service's.
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
        dangers = MIGRATION_DANGERS if migrating else DANGERS
        if problems := [*_contradictions(settings), *_dangers(settings, dangers)]:
            raise ConfigurationError(problems)
        return settings if settings.production else settings._with_kept_secrets()

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


def database_url(settings: Settings) -> str:
    """The URL of the service's role. ConfigurationError if none is set."""
    if settings.db_url is None:
        raise ConfigurationError([f"{variable('db_url')}: must be set, or use --embedded"])
    return settings.db_url


def _environment() -> dict[str, str]:
    try:
        written = dotenv_values(".env")
    except UnicodeDecodeError:
        raise ConfigurationError([".env: is not text in UTF-8"]) from None
    return {name: value for name, value in written.items() if value is not None} | dict(os.environ)


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
    "string_pattern_mismatch": "must be one word of ASCII characters",
}
"""Requirement by pydantic error type; its own messages are for programmers."""


def _requirement(kind: str, message: str, context: Mapping[str, Any]) -> str:
    return REQUIREMENTS[kind].format(**context) if kind in REQUIREMENTS else message.removeprefix("Value error, ")


def _contradictions(settings: SettingFields) -> Iterator[str]:
    if settings.auth_family_max_age_seconds < settings.auth_refresh_ttl_seconds:
        yield f"{variable('auth_family_max_age_seconds')}: must not be less than {variable('auth_refresh_ttl_seconds')}"
    if settings.agent_model not in settings.agent_models:
        yield f"{variable('agent_model')}: must be one of {variable('agent_models')}"
    if settings.embedded:
        for field in ("db_url", "db_migrate_url", "redis_url"):
            if getattr(settings, field) is not None:
                yield f"{variable(field)}: cannot be set together with --embedded, which starts its own"


def _dangers(settings: SettingFields, dangers: tuple[Danger, ...]) -> Iterator[str]:
    """Why this configuration is unsafe for production."""
    if settings.production:
        found = {(field, why): None for field, holds, why in dangers if holds(settings)}
        yield from (f"{variable(field)}: {why}" for field, why in found)


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
