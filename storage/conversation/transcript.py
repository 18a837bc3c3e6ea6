"""The transcript of a session, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, or_, select, true

from ...actors.domain.blocks import shown
from ...actors.domain.errors import NotFound, Unprocessable
from ...actors.domain.turns import Message
from ..engine.operations import Snapshot
from ..engine.statements import binds, statement
from ..tables import messages, sessions
from .sessions import MESSAGE_COUNT, THIS_SESSION
from .steps import MESSAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.connection import Connection


@dataclass(frozen=True, slots=True)
class Transcript:
    """A page of messages in ascending order, and the cursor of the older ones."""

    items: tuple[Message, ...]
    total: int
    next_before: str | None


BEFORE = statement(select(messages.c.sequence).filter_by(**binds("tenant_id", "session_id", "id")))
_BEFORE = bindparam("before", type_=Integer)
MESSAGE_PAGE = statement(
    select(*MESSAGE)
    .filter_by(**binds("tenant_id", "session_id"))
    .where(or_(_BEFORE.is_(None), messages.c.sequence < _BEFORE))
    .order_by(messages.c.sequence.desc())
    .limit(bindparam("limit"))
)
EXISTS = statement(select(true()).select_from(sessions).where(THIS_SESSION))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Snapshot[Transcript]):
    """The newest ``limit`` messages older than ``before``. Refusals: ``session_not_found``, ``invalid_before``."""

    session_id: str
    limit: int
    before: str | None

    async def run(self, db: Connection) -> Transcript:
        session = {"tenant_id": self.tenant_id, "session_id": self.session_id}
        if await EXISTS.fetchval(db, **session) is None:
            raise NotFound("session_not_found")
        place = None
        if self.before is not None:
            place = await BEFORE.fetchval(db, **session, id=self.before)
            if place is None:
                raise Unprocessable("invalid_before")
        rows = await MESSAGE_PAGE.fetch(db, **session, before=place, limit=self.limit + 1)
        total = await MESSAGE_COUNT.fetchval(db, **session)
        items = tuple(_message(row) for row in reversed(rows[: self.limit]))
        return Transcript(items, total, items[0].id if len(rows) > self.limit else None)


def _message(row: Mapping[str, Any]) -> Message:
    """A message as a page shows it. Content stored by releases without a bound may be nested too deep for a reply."""
    return Message(**{**row, "content": shown(row["content"])})
