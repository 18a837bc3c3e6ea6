"""Structured logs without secrets: JSON lines in production, readable text on a terminal."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
from collections.abc import Iterable, Mapping, MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final, NamedTuple, TextIO, cast

import structlog


class Scope(NamedTuple):
    """What the work being done belongs to: request, agency, session and turn. Copied into every envelope."""

    request_id: str | None = None
    tenant: str | None = None
    session: str | None = None
    turn: str | None = None

    def within(self, own: Scope) -> Scope:
        """The scope of a message in an actor that belongs to ``own``, which wins."""
        if own is NOBODY:
            return self
        return Scope(
            own.request_id or self.request_id,
            own.tenant or self.tenant,
            own.session or self.session,
            own.turn or self.turn,
        )


LIBRARIES: Final = {"alembic": logging.WARNING}
"""Minimum levels of libraries: Alembic logs its every plugin."""

NOBODY: Final = Scope()
SCOPE: ContextVar[Scope] = ContextVar("voyagent_scope", default=NOBODY)


def bind(*, request_id: str | None = None, tenant: str | None = None, session: str | None = None) -> None:
    """Set the given fields on later lines of this task and of the messages it sends; others are unchanged."""
    SCOPE.set(SCOPE.get().within(Scope(request_id, tenant, session)))


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry ``source=name``; may be made before ``configure``."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(source=name))


def configure(env: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all lines, those of libraries too, to ``stream`` (standard error): JSON in production, else text."""
    stream = stream or sys.stderr
    production = env == "production"
    threshold = logging.getLevelNamesMapping()[level.upper()]
    prepare: list[structlog.typing.Processor] = [
        _add_scope,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _clean,
    ]
    show: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer(_json), _hide_links]
        if production
        else [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    )
    structlog.configure(
        processors=[*prepare, *show],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,  # module loggers would keep the stream of the first call
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_source, *prepare],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *show],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.INFO), force=True)
    for name, least in LIBRARIES.items():
        logging.getLogger(name).setLevel(least)


class LogThrottle:
    """Rate limit for log lines: ``first`` lines, then none for ``pause`` seconds."""

    def __init__(self, first: int = 10, pause: float = 300.0) -> None:
        self._first = first
        self._pause = pause
        self._seen = 0
        self._silent_until = -math.inf

    def allows(self, now: float | None = None) -> bool:
        """Whether to write this one; ``now`` in monotonic seconds."""
        now = time.monotonic() if now is None else now
        if now < self._silent_until:
            return False
        self._seen += 1
        if self._seen >= self._first:
            self._seen = 0
            self._silent_until = now + self._pause
        return True


REDACTED = "[redacted]"
_SECRET_WORDS = frozenset(
    {
        *("password", "passwd", "passphrase", "secret", "secrets", "seed", "seeds", "otp", "totp", "pin"),
        *("token", "tokens", "key", "keys", "apikey", "code", "codes", "signature", "credential", "credentials"),
        *("ticket", "tickets", "authorization", "bearer", "cookie", "cookies", "dsn", "passport", "passports"),
    }
)
_SECRET_NAMES = frozenset({"document_number", "card_number", "cvc", "cvv"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_TEXT = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|\bvy_[\w-]{6,}|\bsk-[\w-]{8,}"  # keys of ours and of the model's vendor
    r"|(?<=Bearer )\S+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # the user and password of a URL
)
_SECRET_QUERY = re.compile(r"(?i)(?<=[?&])((?:\w*token|ticket|code|key)=)[^\s&\"'\\<>]+")
_LONGEST_TEXT = 2_000
_LONGEST_TRACE = 20_000
_MOST_ITEMS = 50
_DEEPEST = 4
_ENCODER = json.JSONEncoder(default=repr)
_WIDEST_INT = 256
"""Bits; Python refuses to print integers of more than 4,300 digits, and nobody reads them."""


def _add_source(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["source"] = event["_record"].name
    return event


def _add_scope(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    scope = SCOPE.get()
    if scope is not NOBODY:
        for name, value in zip(Scope._fields, scope, strict=True):
            if value is not None:
                event.setdefault(name, value)
    return event


def _clean(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact secrets, bound sizes, convert to plain JSON values. Lines with ``_clean`` are clean already."""
    if event.pop("_clean", False):
        return event
    exception = (
        {"exception": _text(event["exception"], _LONGEST_TRACE)} if isinstance(event.get("exception"), str) else {}
    )
    kept = {name: value for name, value in event.items() if name not in exception and not name.startswith("_")}
    hidden = {name: value for name, value in event.items() if name.startswith("_")}
    return {**_mapping(kept, 0), **exception, **hidden}


def _json(event: Any, **_options: Any) -> str:
    return _ENCODER.encode(event)


def _hide_links(_logger: Any, _method: str, line: Any) -> str:
    """Redact tokens in links. Development skips this: there, the log is how e-mails are delivered."""
    return _SECRET_QUERY.sub(rf"\1{REDACTED}", line) if "=" in line else line


def _mapping(values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if len(plain) >= _MOST_ITEMS:
            plain["…"] = f"{len(values) - _MOST_ITEMS} more"
            break
        key = _name(name) if isinstance(name, str) else _shown(name, 100)
        plain[key] = REDACTED if _is_secret(key, value) else _value(value, depth + 1)
    return plain


@lru_cache(maxsize=1024)  # field names are few, and the expression costs more than the rest of a field
def _name(name: str) -> str:
    return _text(name, 100)


@lru_cache(maxsize=1024)
def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(name))


def _is_secret(name: str, value: object) -> bool:
    if value is None or isinstance(value, bool):
        return False
    words = _words(name)
    if isinstance(value, int | float) and "tokens" in words:
        return False  # a count of the model's tokens
    return not _SECRET_WORDS.isdisjoint(words) or "_".join(words) in _SECRET_NAMES


def _value(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if type(value) is int:
        return value if value.bit_length() <= _WIDEST_INT else f"<integer of {value.bit_length()} bits>"
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _text(value, _LONGEST_TEXT)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth > _DEEPEST:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, list | tuple | set | frozenset):
        return _items(value, len(value), depth)
    return _shown(value, _LONGEST_TEXT)


def _items(values: Iterable[object], length: int, depth: int) -> list[Any]:
    plain = [_value(value, depth + 1) for value, _ in zip(values, range(_MOST_ITEMS), strict=False)]
    return [*plain, f"… {length - _MOST_ITEMS} more"] if length > _MOST_ITEMS else plain


def _shown(value: object, longest: int) -> str:
    try:
        return _text(repr(value), longest)
    except Exception as error:  # noqa: BLE001 - a line about a fault must not become a second fault
        return f"<{type(value).__name__}: repr failed with {type(error).__name__}>"


def _text(value: str, longest: int) -> str:
    clean = _SECRET_TEXT.sub(REDACTED, value[: 2 * longest])  # before the cut, which could halve a secret
    return clean if len(clean) <= longest else f"{clean[:longest]}… of {len(value)} characters"
