"""Model calls: stored before they are made, and settled with their cost when it is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from ..engine.operations import Write
from ..engine.statements import FENCE, Statement, binds, statement
from ..tables import model_calls

if TYPE_CHECKING:
    from ..engine.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallUsage:
    """What one model call cost; ``cost_usd`` is None where the price is unknown."""

    id: str
    model: str
    outcome: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Decimal | None
    duration_ms: int


_USAGE = (
    "outcome",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
    "duration_ms",
)
SETTLE = (
    update(model_calls)
    .filter_by(**binds("tenant_id"))
    .where(model_calls.c.id == bindparam("model_call_id"))
    .values(**binds(*_USAGE), state="settled")
)
SETTLE_CALL = statement(SETTLE)


async def settle(db: Connection, tenant_id: str | None, spent: ModelCallUsage) -> None:
    """Store what a model call used."""
    await SETTLE_CALL.execute(db, tenant_id=tenant_id, **usage_of(spent))


def usage_of(spent: ModelCallUsage | None) -> dict[str, Any]:
    """The parameters of ``SETTLE``, besides the agency's id; without a call it settles none."""
    if spent is None:
        return {"model_call_id": None, **dict.fromkeys(_USAGE)}
    return {"model_call_id": spent.id, **{name: getattr(spent, name) for name in _USAGE}}


_GIVEN = ("id", "tenant_id", "session_id", "turn_id", "pass_no", "desk", "model", "estimate", "created_at")
_CALL = select(
    *(bindparam(name, type_=model_calls.c[name].type) for name in _GIVEN),
    *(literal("started") for _ in ("state", "outcome")),
)


def _stored(row: Select[Any]) -> Statement:
    stored = insert(model_calls).from_select([*_GIVEN, "state", "outcome"], row)
    return statement(stored.on_conflict_do_nothing())


INSERT_MODEL_CALL = _stored(_CALL)
INSERT_FENCED = _stored(_CALL.select_from(FENCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Write[None]):
    """Store a model call before it is made, at its estimate, which is charged if it is never settled."""

    id: str
    session_id: str
    turn_id: str
    pass_no: int
    desk: str | None
    model: str
    estimate: int
    now: datetime

    async def run(self, db: Connection) -> None:
        call = {
            "id": self.id,
            "tenant_id": self.tenant_id,
            "session_id": self.session_id,
            "turn_id": self.turn_id,
            "pass_no": self.pass_no,
            "desk": self.desk or "orchestrator",
            "model": self.model,
            "estimate": self.estimate,
            "created_at": self.now,
        }
        if self.lease is None:
            await INSERT_MODEL_CALL.execute(db, **call)
        else:
            await INSERT_FENCED.execute(db, **call, **self.lease._asdict())
