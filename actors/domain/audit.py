"""Audit events and their hash chain, one per agency."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal

from .ids import uuid7

ActorKind = Literal["human", "agent", "system"]
Status = Literal["started", "succeeded", "failed", "rejected", "cancelled"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})

HASH_VERSION = 1
GENESIS = "0" * 64
"""``prev_hash`` of an agency's first audit event."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from; the part of every human act's inputs that is not about the act."""

    request_id: str
    ip: str | None = None
    user_agent: str | None = None
    via: Literal["api_key"] | None = None
    api_key_id: str | None = None

    def inputs(self) -> dict[str, Any]:
        """The common inputs of an audit event; the API key's id only if one was used."""
        common: dict[str, Any] = {"request_id": self.request_id, "ip": self.ip, "user_agent": self.user_agent}
        if self.via is not None:
            common |= {"via": self.via, "api_key_id": self.api_key_id}
        return common


@dataclass(frozen=True, slots=True)
class Author:
    """The user who acts, with role, and the origin of the request."""

    user_id: str
    role: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One audit event before it has a place in the chain. JSON values hold strings, ints, bools and nulls only."""

    id: str
    tenant_id: str
    created_at: datetime
    kind: str
    status: Status
    actor_kind: ActorKind
    actor_id: str | None = None
    driver: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    entity_refs: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    approval_required: bool = False
    approved_by: str | None = None
    approved_at: datetime | None = None
    completed_at: datetime | None = None

    @classmethod
    def by_person(
        cls,
        kind: str,
        tenant_id: str,
        user_id: str,
        origin: Origin,
        now: datetime,
        *,
        status: Status = "succeeded",
        inputs: Mapping[str, Any] = _NOTHING,
        refs: Mapping[str, Any] = _NOTHING,
    ) -> AuditEvent:
        """An act of a user, with the origin of the request among its inputs."""
        return cls(
            id=uuid7(),
            tenant_id=tenant_id,
            created_at=now,
            kind=kind,
            status=status,
            actor_kind="human",
            actor_id=user_id,
            inputs={**origin.inputs(), **inputs},
            entity_refs=dict(refs),
        )

    @classmethod
    def by_system(
        cls,
        kind: str,
        tenant_id: str,
        now: datetime,
        *,
        origin: Origin | None = None,
        status: Status = "succeeded",
        inputs: Mapping[str, Any] = _NOTHING,
        refs: Mapping[str, Any] = _NOTHING,
    ) -> AuditEvent:
        """An act of the system, with the ``origin`` of the request that caused it, if one did.

        So is one at a client's request of whom nothing is proved.
        """
        return cls(
            id=uuid7(),
            tenant_id=tenant_id,
            created_at=now,
            kind=kind,
            status=status,
            actor_kind="system",
            inputs={**(origin.inputs() if origin is not None else {}), **inputs},
            entity_refs=dict(refs),
        )

    @classmethod
    def by_agent(
        cls,
        kind: str,
        tenant_id: str,
        user_id: str,
        now: datetime,
        *,
        status: Status,
        inputs: Mapping[str, Any],
        refs: Mapping[str, Any],
        approval_required: bool,
    ) -> AuditEvent:
        """An act of the agent for a user."""
        return cls(
            id=uuid7(),
            tenant_id=tenant_id,
            created_at=now,
            kind=kind,
            status=status,
            actor_kind="agent",
            actor_id=user_id,
            inputs=inputs,
            entity_refs=dict(refs),
            approval_required=approval_required,
        )


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return wire_time(value)
    raise TypeError(type(value).__name__)


def wire_time(moment: datetime) -> str:
    """RFC 3339 in UTC with exactly six digits of microseconds and ``Z``."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:26] + "Z"


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)
_PLACE: Final[Mapping[str, Any]] = {"prev_hash": "", "seq": 0}
_NO_PLACE: Final = '"prev_hash":"","seq":0'


def canonical(value: Mapping[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, compact, UTF-8; times as RFC 3339 UTC with six digits and ``Z``."""
    return _ENCODER.encode(value).encode()


def unchained(entry: AuditEvent) -> tuple[str, str]:
    """The canonical JSON of an event before and after ``prev_hash`` and ``seq``, which its place in the chain gives.

    What follows them are texts, so that their last occurrence is theirs, whatever an event contains.
    """
    columns = {name: getattr(entry, name) for name in AuditEvent.__slots__}
    before, _, after = _ENCODER.encode({**columns, "hash_v": HASH_VERSION, **_PLACE}).rpartition(_NO_PLACE)
    return before, after


def chained(entry: AuditEvent, seq: int, prev_hash: str) -> str:
    """SHA-256 (64 hex) over the canonical JSON of every stored column but the hash itself, version 1."""
    columns = {name: getattr(entry, name) for name in AuditEvent.__slots__}
    return hashlib.sha256(canonical(columns | {"seq": seq, "prev_hash": prev_hash, "hash_v": HASH_VERSION})).hexdigest()
