"""What a viewer gets of events that have left the ring of the event log."""

from __future__ import annotations

from ...storage.conversation import session_state
from ..domain.events import transient_frame
from ..foundation.clock import Clock
from ..runtime.actor import Recipient
from .event_log import SseFrame, frames_of


class History:
    """Reads one session's stored events; used in the tasks of viewers."""

    def __init__(self, tenant_id: str, session_id: str, store: Recipient, clock: Clock) -> None:
        self._tenant_id = tenant_id
        self._session_id = session_id
        self._store = store
        self._clock = clock

    async def read(self, after: int, through: int) -> list[SseFrame]:
        """The events after the first id, through the last."""
        replay = session_state.Replay(
            tenant_id=self._tenant_id, session_id=self._session_id, after=after, through=through
        )
        rows = await self._store.ask(replay)
        return frames_of((row.seq, row.turn_id, row.kind, row.data) for row in rows)

    def gap(self, through: int) -> bytes:
        """The frame in place of events that are no longer stored."""
        why = f"replay_failed: events up to {through} are no longer kept"
        return transient_frame("error", self._session_id, self._clock.now(), "replay", why)
