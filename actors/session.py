"""A chat session: the owner of its log, its turns and its approvals.

The conversation lives here and not in a request: whoever posts only starts a turn and watches, and a lost connection, a
second viewer or a restart change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..storage import approvals, sessions
from ..storage.idempotency import Encode, Key, Stored
from . import ids, log, metrics, turn
from .clock import Timer
from .deadlines import Deadlines
from .domain.approvals import Approval, Decision
from .domain.audit import Entry, Origin
from .domain.errors import Refusal, Unavailable
from .domain.events import aside
from .eventlog import EventLog, Feed, Frame, frames_of
from .passes import Passes, Turn
from .posting import Accepted, Posting
from .runtime import Message
from .supervisor import Supervisor
from .world import Agency, World
from .writeline import WriteLine

R = TypeVar("R")
_log = log.get(__name__)

IDLE_SECONDS = 120.0
DELETE_PATIENCE = 8.0
"""Seconds a deletion waits for a running turn to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSession(Message[R]):
    """A message on its way to one session."""

    tenant_id: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """The person behind a command, as far as a session asks."""

    user_id: str
    role: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Post(ToSession[Feed]):
    """Say something, decide approvals, or both; answers what the sender's stream carries."""

    who: Who
    text: str = ""
    approvals: Mapping[str, bool] = field(default_factory=dict)
    on_busy: str = "reject"
    key: Key | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow(ToSession[Feed | None]):
    """Watch from a cursor (as the client sent it; None: from the running pass).

    ``live`` streams stay open across turns; ``replay`` ones end at once, and are None if nothing is to be replayed.
    """

    cursor: str | None
    live: bool = False
    replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve(ToSession[Approval | Stored]):
    """Decide one approval."""

    who: Who
    decision: Decision
    key: Key | None = None
    reply: Encode[Approval] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename(ToSession[sessions.Summary]):
    """Give the session a title."""

    who: Who
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(ToSession[None]):
    """End the session and forget its conversation."""

    who: Who


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(ToSession[str]):
    """Stop the running pass; answers its turn. Refusal: ``no_turn_running``."""

    who: Who


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(ToSession[None]):
    """The ``final`` of this turn was handed to its sender's transport."""

    turn_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep(ToSession[None]):
    """Sleep as soon as nothing is going on, without waiting for two idle minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake(ToSession[None]):
    """There may be something due; being awake is all it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned(ToSession[None]):
    """Event: text up to this id has been removed from the log's table. For a session that is awake; it wakes none."""

    through: int


class SessionActor(Supervisor):
    """One conversation."""

    express = frozenset({turn.Said})

    def __init__(self, *, tenant_id: str, session_id: str, agency: Agency, world: World) -> None:
        super().__init__(clock=world.clock)
        self.tenant_id = tenant_id
        self.session_id = session_id
        self.agency = agency
        self.world = world
        self.last: Accepted | None = None
        self.deleted = False
        self.idle_timer: Timer | None = None
        self.deadlines = Deadlines(world.clock, self.look_again)

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka's is not awaited; ours is
        state = await self.world.store.ask(sessions.Load(tenant_id=self.tenant_id, session_id=self.session_id))
        self.log = EventLog(
            state.last_seq,
            state.pruned_through,
            self._older,
            cap=self.world.settings.sse_replay_buffer_cap,
            gap=self._gap,
        )
        self.line = WriteLine(
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            log=self.log,
            store=self.world.store,
            clock=self.clock,
            spawn=lambda writing: self.spawn(writing, name="step"),
            fail=self.fail,
        )
        self.passes = Passes(self)
        self.posting = Posting(self)
        metrics.API_ACTIVE_SESSIONS.inc()
        for stored in state.turns:
            self.passes.take_up(stored)
        if state.last is not None:
            self._remember(state.last)
        self.deadlines.set(state.expires)
        self._idle_later()
        await self.passes.go_on()

    def _remember(self, stored: sessions.LastMessage) -> None:
        begun = self.passes.turns.get(stored.turn_id) or Turn(
            id=stored.turn_id,
            user_id=stored.user_id,
            state="ended",
            first_event=stored.first_event_id or 0,
            pass_event=stored.pass_event_id or 0,
        )
        begun.ended_at = stored.ended_at
        behind = begun.pass_event - 1 if begun.state != "waiting" or stored.ended_at else self.log.last
        self.last = Accepted(
            turn=begun,
            user_id=stored.user_id,
            text_hash=stored.text_hash,
            after=max(behind, 0) if stored.rode else None,
        )

    def _gap(self, through: int) -> bytes:
        why = f"replay_failed: events up to {through} are no longer kept"
        return aside("error", self.session_id, self.clock.now(), "replay", why)

    async def _older(self, after: int, through: int) -> list[Frame]:
        """Events that have left the ring. A viewer's read, so it goes straight to storage."""
        replay = sessions.Replay(tenant_id=self.tenant_id, session_id=self.session_id, after=after, through=through)
        rows = await self.world.store.ask(replay)
        return frames_of((row.seq, row.turn_id, row.kind, row.data) for row in rows)

    async def receive(self, message: Any) -> Any:  # noqa: C901 -- one match, one line a case
        match message:
            case turn.Said():
                return self.at_once(message)
            case turn.Wanted():
                return self._want(message)
            case turn.Ended():
                return await self.passes.ended(message)
            case Post():
                return self.later(self.posting.post(message))
            case Follow():
                return self.posting.follow(message)
            case Resolve():
                return self.later(self.posting.resolve(message))
            case Delivered():
                return self._delivered(message.turn_id)
            case Cancel():
                return self.later(self.posting.cancel(message))
            case Rename():
                return self.later(self._rename(message))
            case Delete():
                return self.later(self._delete(message))
            case Pruned():
                return self.log.pruned(message.through)
            case Sleep():
                return self.ref.stop_soon()
            case Wake() | _Due():
                return await self._wake()
            case _:
                return await super().receive(message)

    def at_once(self, message: turn.Said) -> None:
        """Put words into the line."""
        self.line.words(message.turn_id, message.text, message.landed)

    def _want(self, wanted: turn.Wanted) -> None:
        self.line.step(wanted.make, wanted.done)

    async def child_ended(self, name: str, failure: BaseException | None) -> None:
        """A pass that died without its ``final`` gets one. One that only lacked storage is carried on instead."""
        if failure is not None:
            self.passes.died(name, failure)

    async def rearm(self) -> None:
        """Approvals may have come or gone: read when the next one lapses."""
        state = await self.world.store.ask(sessions.Load(tenant_id=self.tenant_id, session_id=self.session_id))
        self.deadlines.set(state.expires)

    def look_again(self) -> None:
        """See what is due, behind the mail that is there."""
        self.ref.tell(_Due(tenant_id=self.tenant_id, session_id=self.session_id))

    async def _wake(self) -> None:
        if self.deadlines.passed():
            self.spawn(self.lapse(), name="lapse")
        else:
            await self.passes.go_on()

    async def lapse(self) -> None:
        """Write down what nobody decided in time, and have the turns hear of it."""
        touched = await self.line.write(
            lambda after, now: approvals.Lapse(
                tenant_id=self.tenant_id, session_id=self.session_id, after=after, now=now, new_id=ids.uuid7
            )
        )
        metrics.APPROVALS_TOTAL.labels(outcome="expired").inc(len(touched))
        self.passes.make_due(touched)
        self.deadlines.passed()
        await self.passes.go_on()

    def _delivered(self, turn_id: str) -> None:
        if self.last is not None and self.last.turn.id == turn_id:
            self.last.turn.delivered = True

    async def _rename(self, wanted: Rename) -> sessions.Summary:
        entry = self.entry(wanted.who, "session.renamed")
        rename = sessions.Rename(
            tenant_id=self.tenant_id,
            session_id=self.session_id,
            title=wanted.title,
            entry=entry,
            now=self.clock.now(),
        )
        return await self.world.store.ask(rename)

    async def _delete(self, wanted: Delete) -> None:
        entry = self.entry(wanted.who, "session.deleted")
        now = self.clock.now()
        self.deleted = True
        try:
            await self.posting.stop_for_deletion(wanted.who, DELETE_PATIENCE)
            await self.line.step(None)
            delete = sessions.Delete(tenant_id=self.tenant_id, session_id=self.session_id, entry=entry, now=now)
            await self.world.store.ask(delete)
        except Refusal:
            self.deleted = False
            self.look_again()
            raise
        self.log.end(aside("error", self.session_id, now, "error", "session_deleted"))
        self.ref.stop_soon()

    def entry(self, who: Who, kind: str) -> Entry:
        """An audit entry of a person's act on this session."""
        return Entry(
            id=ids.uuid7(),
            tenant_id=self.tenant_id,
            created_at=self.clock.now(),
            kind=kind,
            status="succeeded",
            actor_kind="human",
            actor_id=who.user_id,
            inputs=who.origin.inputs(),
            entity_refs={"session_id": self.session_id},
        )

    def _idle_later(self) -> None:
        self.idle_timer = self.clock.call_later(IDLE_SECONDS, self._maybe_sleep)

    def _maybe_sleep(self) -> None:
        if self.actor_stopped.is_set():
            return
        if not (self.passes.busy or self.log.feeds or self.deadlines.any or not self.line.idle):
            self.ask_to_sleep()
        self._idle_later()

    async def on_end(self, failure: BaseException | None) -> None:
        self.deadlines.forget()
        del self.deadlines
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        if hasattr(self, "log"):
            self._part_with_viewers(failure)
        if isinstance(failure, Unavailable):
            self.world.cut_off()

    def _part_with_viewers(self, failure: BaseException | None) -> None:
        self.line.abandon()
        metrics.API_ACTIVE_SESSIONS.dec()
        self.passes.uncount()
        if failure is not None:
            restarted = "internal_error: the session was restarted"
            code = failure.code if isinstance(failure, Unavailable) else restarted
            self.log.end(aside("error", self.session_id, self.clock.now(), "error", code))
        elif not self.deleted and not self.world.leading():  # the database is away, or another process serves it
            self.log.end(aside("error", self.session_id, self.clock.now(), "error", "storage_unavailable"))
        else:
            self.log.end()
        self._let_go()

    def _let_go(self) -> None:
        """Drop all that holds this actor in turn: what has ended is freed at once, not by the garbage collector."""
        del self.line, self.log, self.posting, self.passes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due(ToSession[None]):
    """The session's own alarm."""
