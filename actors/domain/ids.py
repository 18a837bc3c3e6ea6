"""The ids of this service: UUIDv7 as lower-case text for rows, short names for turns."""

from __future__ import annotations

import re
import secrets

import uuid_utils

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def uuid7() -> str:
    """A fresh UUIDv7 (RFC 9562), rising within the process, so that newer rows sort after older ones."""
    return str(uuid_utils.uuid7())


def turn_id() -> str:
    """A fresh name of a turn: ``t-`` and 12 hexadecimal digits."""
    return f"t-{secrets.token_hex(6)}"


def parse_uuid(text: object) -> str | None:
    """The hyphenated UUID in lower case, whatever its version; ``None`` if ``text`` is anything else."""
    if isinstance(text, str) and _UUID.fullmatch(text):
        return text.lower()
    return None
