"""The transcript of a session, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Integer, bindparam, func, or_, select

from ...actors.domain.blocks import shown
from ...actors.domain.errors import NotFound, Unprocessable
from ...actors.domain.turns import Message
from ..engine.operations import Snapshot
from ..engine.statements import any_of, binds, statement
from ..tables import messages, session_events, sessions, turns
from .endings import KEPT_THROUGH
from .sessions import MESSAGE_COUNT, THIS_SESSION
from .steps import MESSAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.connection import Connection


@dataclass(frozen=True, slots=True)
class Transcript:
    """A page of messages, oldest first, with the errors of their turns by turn id.

    ``next_before`` is the cursor of the older messages, ``last_event_id`` that of the events behind all of them.
    """

    items: tuple[Message, ...]
    errors: Mapping[str, str]
    total: int
    next_before: str | None
    last_event_id: int


BEFORE = statement(select(messages.c.sequence).filter_by(**binds("tenant_id", "session_id", "id")))
_BEFORE = bindparam("before", type_=Integer)
MESSAGE_PAGE = statement(
    select(*MESSAGE)
    .filter_by(**binds("tenant_id", "session_id"))
    .where(or_(_BEFORE.is_(None), messages.c.sequence < _BEFORE))
    .order_by(messages.c.sequence.desc())
    .limit(bindparam("limit"))
)
ERRORS = statement(
    select(*turns.c["id", "error"])
    .filter_by(**binds("tenant_id", "session_id"))
    .where(any_of(turns.c.id, "turn_ids"), turns.c.error.is_not(None))
)
_NEWEST_BUT_TEXT = (
    select(func.max(session_events.c.seq))
    .where(session_events.c.session_id == sessions.c.id, session_events.c.kind != "text_delta")
    .scalar_subquery()
)
_KEPT_THROUGH = (
    select(func.max(turns.c.step[KEPT_THROUGH].astext.cast(BigInteger)))
    .where(turns.c.tenant_id == sessions.c.tenant_id, turns.c.session_id == sessions.c.id, turns.c.state == "running")
    .scalar_subquery()
)
LAST_EVENT_ID = statement(
    select(func.greatest(_NEWEST_BUT_TEXT, _KEPT_THROUGH, sessions.c.pruned_through)).where(THIS_SESSION)
)
"""The event up to which all is in the transcript: a message and its events are stored together, and what follows them
is text of an answer that is not complete. NULL for an unknown session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Snapshot[Transcript]):
    """The newest ``limit`` messages older than ``before``. Refusals: ``session_not_found``, ``invalid_before``."""

    session_id: str
    limit: int
    before: str | None

    async def run(self, db: Connection) -> Transcript:
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        last_event_id = await LAST_EVENT_ID.fetchval(db, **session)
        if last_event_id is None:
            raise NotFound("session_not_found")
        place = None
        if self.before is not None:
            place = await BEFORE.fetchval(db, **session, id=self.before)
            if place is None:
                raise Unprocessable("invalid_before")
        rows = await MESSAGE_PAGE.fetch(db, **session, before=place, limit=self.limit + 1)
        total = await MESSAGE_COUNT.fetchval(db, **session)
        items = tuple(_message(row) for row in reversed(rows[: self.limit]))
        turn_ids = list({item.turn_id for item in items})
        errors = {row["id"]: row["error"] for row in await ERRORS.fetch(db, **session, turn_ids=turn_ids)}
        return Transcript(items, errors, total, items[0].id if len(rows) > self.limit else None, last_event_id)


def _message(row: Mapping[str, Any]) -> Message:
    """A message as a page shows it. Content stored by releases without a bound may be nested too deep for a reply."""
    return Message(**{**row, "content": shown(row["content"])})
