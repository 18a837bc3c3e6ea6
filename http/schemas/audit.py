"""Requests and responses of ``/audit`` (docs/contract/business.md 6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ...actors.domain.audit_reading import Stored
from ...storage.audit_chain import Broken, Point, Verdict
from ...storage.audit_lists import Events
from .shared import ADDITION, Closed, Offset, Query, QueryDate, QueryInt, Reply, UtcTime

VERIFY_LIMIT = 100_000
MAX_SEQ = 2**63 - 1
"""The largest ``seq`` of the database (bigint)."""


class AuditFilters(Query):
    """Filters, which all have to match. ``kind`` is repeated or comma-separated, and one of them has to match.

    ``from`` and ``to`` are days of ``created_at``, both inclusive: of UTC, or with ``tz=agency`` of the agency's zone.
    """

    actor_id: str | None = None
    kind: list[str] | None = None
    from_: QueryDate | None = Field(default=None, alias="from")
    to: QueryDate | None = None
    tz: Annotated[Literal["utc", "agency"], ADDITION] = "utc"

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """The kinds, trimmed and without blank ones; None if there are none."""
        parts = (part.strip() for each in self.kind or () for part in each.split(","))
        return tuple(dict.fromkeys(part for part in parts if part)) or None


class AuditListQuery(AuditFilters):
    """Filters and the page."""

    limit: Annotated[QueryInt, Field(ge=1, le=200)] = 50
    offset: Offset = 0


class AuditExportQuery(AuditFilters):
    """Filters; ``bom=1`` puts a byte order mark first, for spreadsheets."""

    bom: Annotated[Annotated[QueryInt, Field(ge=0, le=1)], ADDITION] = 0


class AuditVerifyQuery(Query):
    """The first row to check, and how many at most. The row before the first is trusted."""

    from_seq: Annotated[QueryInt, Field(ge=1, le=MAX_SEQ)] = 1
    limit: Annotated[QueryInt, Field(ge=1, le=VERIFY_LIMIT)] = VERIFY_LIMIT


class AuditEventResponse(Closed):
    """An audit event. ``seq`` is its place in the agency's chain, ``hash`` covers it and all before it."""

    id: str
    tenant_id: str
    actor_kind: str
    actor_id: str | None
    actor_email: str | None
    kind: str
    summary: str
    payload: dict[str, Any]
    status: str
    created_at: UtcTime
    seq: Annotated[int, ADDITION]
    hash: Annotated[str, ADDITION]

    @classmethod
    def of(cls, stored: Stored) -> AuditEventResponse:
        event = stored.event
        return cls(
            id=event.id,
            tenant_id=event.tenant_id,
            actor_kind=stored.actor_kind,
            actor_id=event.actor_id,
            actor_email=stored.actor_email,
            kind=event.kind,
            summary=stored.summary,
            payload=stored.payload(),
            status=stored.status,
            created_at=event.created_at,
            seq=stored.seq,
            hash=stored.hash,
        )


class AuditListResponse(Closed):
    """A page of audit events, newest first."""

    items: list[AuditEventResponse]
    total: int
    limit: int
    offset: int

    @classmethod
    def of(cls, found: Events, query: AuditListQuery) -> AuditListResponse:
        items = [AuditEventResponse.of(stored) for stored in found.items]
        return cls(items=items, total=found.total, limit=query.limit, offset=query.offset)


class BrokenRow(Reply):
    """The first row that is wrong; ``id`` is null if it is missing."""

    seq: int
    id: str | None
    why: Literal["hash", "prev_hash", "gap"]

    @classmethod
    def of(cls, broken: Broken) -> BrokenRow:
        return cls(seq=broken.seq, id=broken.id, why=broken.why)


class AuditVerifyResponse(Reply):
    """The result of a verification. ``last_seq`` is the last row that is right, ``head_seq`` the newest there is.

    ``signed_head`` says whether the chain was compared with its signed head, the row ``signed_seq``: there may be
    ``none`` yet, the checked rows may not reach it, and one that is ``unreadable`` makes the chain not ``ok``.
    """

    ok: bool
    from_seq: int
    last_seq: int
    checked: int
    head_seq: int
    head_hash: str
    broken: BrokenRow | None
    signed_head: Literal["compared", "not_reached", "none", "unreadable"]
    signed_seq: int | None

    @classmethod
    def of(cls, verdict: Verdict, signed: Point | None, *, readable: bool) -> AuditVerifyResponse:
        return cls(
            ok=verdict.ok and readable,
            from_seq=verdict.from_seq,
            last_seq=verdict.last_seq,
            checked=verdict.checked,
            head_seq=verdict.head.seq,
            head_hash=verdict.head.hash,
            broken=None if verdict.broken is None else BrokenRow.of(verdict.broken),
            signed_head=_compared(verdict, signed) if readable else "unreadable",
            signed_seq=None if signed is None else signed.seq,
        )


def _compared(verdict: Verdict, signed: Point | None) -> Literal["compared", "not_reached", "none"]:
    if signed is None:
        return "none"
    reached = verdict.from_seq <= signed.seq <= verdict.last_seq
    return "compared" if reached or not verdict.ok else "not_reached"
