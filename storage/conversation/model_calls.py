"""Model calls: stored before they are made, and settled with their cost when it is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from ..engine.operations import Command

if TYPE_CHECKING:
    from ..engine.pool import Connection


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


SETTLE_CALL = """
UPDATE model_calls SET state = 'settled', outcome = $3, input_tokens = $4, output_tokens = $5, cache_read_tokens = $6,
                       cache_write_tokens = $7, cost_usd = $8, duration_ms = $9
 WHERE tenant_id = $1 AND id = $2
"""


async def settle(db: Connection, tenant_id: str | None, spent: ModelCallUsage) -> None:
    """Store what a model call used."""
    await db.execute(
        SETTLE_CALL,
        tenant_id,
        spent.id,
        spent.outcome,
        spent.input_tokens,
        spent.output_tokens,
        spent.cache_read_tokens,
        spent.cache_write_tokens,
        spent.cost_usd,
        spent.duration_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Command[None]):
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
        await db.execute(
            INSERT_MODEL_CALL,
            self.id,
            self.tenant_id,
            self.session_id,
            self.turn_id,
            self.pass_no,
            self.desk or "orchestrator",
            self.model,
            self.estimate,
            self.now,
        )


INSERT_MODEL_CALL = """
INSERT INTO model_calls (id, tenant_id, session_id, turn_id, pass_no, desk, model, state, outcome, estimate,
                         input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, duration_ms, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'started', 'started', $8, 0, 0, 0, 0, 0, $9)
"""
