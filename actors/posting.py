"""What a POST to a conversation does: start, queue, interrupt, join or refuse; decide; and where its sender watches.

The table of business 4.3, and the cursors of 3.5 and 3.6. One of these belongs to each session's actor and changes
nothing but that actor's state, on its loop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..storage import approvals, turns
from ..storage.idempotency import Stored
from . import ids, metrics, turn
from .domain.approvals import Approval, Decision
from .domain.errors import Conflict, Unavailable, Unprocessable
from .domain.events import aside
from .domain.turns import QUEUE_LIMIT, REJOIN_WINDOW, text_hash, title_of
from .eventlog import Feed, Until

if TYPE_CHECKING:
    from .session import Cancel, Follow, Post, Resolve, SessionActor, Who

CURSOR_DIGITS = 18
"""A cursor of more digits is no place in any log."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """A turn that has not come to its end, as its session knows it."""

    id: str
    user_id: str
    text_hash: bytes
    state: str
    text: str | None = None
    first_event: int = 0
    pass_event: int = 0
    attempts: int = 0
    ran_ms: int = 0
    ended_at: datetime | None = None
    delivered: bool = False
    resumed: bool = False


class Posting:
    """The rules of posting to one session."""

    def __init__(self, session: SessionActor) -> None:
        self.session = session
        self.stopping = False
        self.accepting = 0
        self.starting = False
        self.resumed: Turn | None = None

    @property
    def busy(self) -> bool:
        return self.session.busy or self.accepting > 0

    async def post(self, posted: Post) -> Feed:
        """Business 4.3, row by row."""
        earlier = await self._earlier(posted)
        if earlier is not None:
            return earlier
        has_text = bool(posted.text.strip())
        if has_text and not posted.approvals and posted.key is None:
            joined = self._rejoin(posted)
            if joined is not None:
                return joined
        if has_text and self.session.world.stopping():
            raise Unavailable("shutting_down", retry_after=5.0)
        if has_text:
            self._make_room(posted)
        if posted.approvals:
            return await self._decide(posted, has_text=has_text)
        if has_text:
            return await self._say(posted)
        return self._follow_empty()

    async def _earlier(self, posted: Post) -> Feed | None:
        """With a key only the key decides: what it started is watched again, whether it runs or is over."""
        if posted.key is None:
            return None
        await self.session.line.step(None)
        keyed = turns.Keyed(tenant_id=self.session.tenant_id, key=posted.key, now=self.session.clock.now())
        turn_id = await self.session.world.store.ask(keyed)
        return None if turn_id is None else self._of_turn(turn_id)

    def _of_turn(self, turn_id: str) -> Feed:
        """A turn from its first event: to its ``final`` if it runs or waits to run, else all there is."""
        session = self.session
        known = session.turns.get(turn_id)
        runs = known is not None and (known is session.current or turn_id in session.queue or turn_id in session.due)
        until = Until(turns=frozenset([turn_id])) if runs else Until(replay=True)
        after = max(known.first_event - 1, 0) if known is not None and known.first_event else 0
        return Feed(session.log, after=after, until=until, only=turn_id, before=self._gap(after))

    def _rejoin(self, posted: Post) -> Feed | None:
        """The same user saying the same again, while that is under way or its end never reached him."""
        session, last = self.session, self.session.last
        same = last is not None and last.user_id == posted.who.user_id and last.text_hash == text_hash(posted.text)
        if last is None or not same:
            return None
        if last is session.current or last.id in session.queue:
            after = max(last.first_event - 1, 0) if last.first_event else session.log.last
            until = Until(turns=frozenset([last.id]))
            return Feed(session.log, after=after, until=until, only=last.id, before=self._gap(after))
        cut = last.ended_at is not None and not last.delivered
        if cut and last.ended_at is not None and session.clock.now() - last.ended_at < REJOIN_WINDOW:
            after = max(last.first_event - 1, 0)
            return Feed(session.log, after=after, until=Until(replay=True), only=last.id, before=self._gap(after))
        return None

    def _make_room(self, posted: Post) -> None:
        """Whether a message may come in while another is worked on. Refusals: ``turn_in_progress``, ``queue_full``."""
        if not self.busy:
            return
        if posted.on_busy == "reject":
            raise Conflict("turn_in_progress")
        if len(self.session.queue) >= QUEUE_LIMIT:
            raise Conflict("queue_full")

    async def _say(self, posted: Post) -> Feed:
        """Take a message: its turn starts at once, or waits behind the one that runs."""
        session = self.session
        refused = session.agency.admit() or session.agency.affordable()
        if refused is not None:
            metrics.TURNS_TOTAL.labels(outcome="refused").inc()
            return self._aside_only(refused)
        queued = self.busy
        taken = Turn(
            id=ids.turn_id(),
            user_id=posted.who.user_id,
            text_hash=text_hash(posted.text),
            state="queued" if queued else "running",
            text=posted.text if queued else None,
        )
        self.starting = self.starting or not queued
        self.accepting += 1
        try:
            stored = await self._accept(taken, posted, queued=queued)
        finally:
            self.accepting -= 1
            self.starting = self.starting and queued
        if stored is not None:
            await session.go_on()
            return self._of_turn(stored.body.decode())
        session.turns[taken.id] = session.last = taken
        after = session.log.last
        feed = Feed(session.log, after=after, until=Until(turns=frozenset([taken.id])), only=taken.id)
        if queued:
            await self._enqueue(taken, posted)
        else:
            taken.first_event = taken.pass_event = after + 1
            await session.start_turn(taken)
        return feed

    async def _accept(self, taken: Turn, posted: Post, *, queued: bool) -> Stored | None:
        session, message_id = self.session, ids.uuid7()
        return await session.line.write(
            lambda after, now: turns.Accept(
                tenant_id=session.tenant_id,
                session_id=session.session_id,
                after=after,
                now=now,
                turn_id=taken.id,
                user_id=taken.user_id,
                text=posted.text,
                text_hash=taken.text_hash,
                title=title_of(posted.text),
                message_id=message_id,
                queued=queued,
                key=posted.key,
                reply=None if posted.key is None else Stored(200, taken.id.encode(), {}),
            )
        )

    async def _enqueue(self, taken: Turn, posted: Post) -> None:
        session = self.session
        if posted.on_busy == "interrupt":
            session.queue.insert(0, taken.id)
            self._break("turn_interrupted: a newer message took its place", posted.who)
        else:
            session.queue.append(taken.id)
        await session.go_on()

    def _break(self, error: str, who: Who) -> bool:
        running = self.session.current
        child = None if running is None else self.session.child(running.id)
        if child is None:
            return False
        child.tell(turn.Break(error, who.user_id))
        return True

    async def _decide(self, posted: Post, *, has_text: bool) -> Feed:
        """Decisions first, then the passes they cause; text rides along if nothing else runs."""
        session = self.session
        rides = has_text and not self.busy
        after = session.log.last
        decisions = [Decision(approval_id, granted) for approval_id, granted in posted.approvals.items()]
        decided = await self._write_decisions(posted.who, decisions, ride=posted.text if rides else None)
        before = b"".join(
            self._aside("error", f"{refusal.code}: {approval_id}") for approval_id, refusal in decided.refused.items()
        )
        if not decided.made:
            if has_text:
                feed = await self._say(posted)
            elif before:
                feed = self._follow_empty(finally_=self._aside("final"))
            else:
                return self._follow_empty()
            feed.before = before + feed.before
            return feed
        touched = tuple(dict.fromkeys(made.turn_id for made in decided.made))
        awaited = set(touched)
        if has_text and not rides:
            other = await self._say(posted)
            other.close()
            before += other.before
            awaited |= other.until.turns
        feed = Feed(session.log, after=after, until=Until(turns=frozenset(awaited)), before=before)
        await self._note(touched)
        return feed

    async def _write_decisions(
        self, who: Who, decisions: list[Decision], *, ride: str | None = None, **single: Any
    ) -> approvals.Decided:
        session = self.session
        entry = session.entry(who, "approval.decided")
        entry_ids = [ids.uuid7() for _ in decisions]
        self.accepting += 1
        try:
            return await session.line.write(
                lambda after, now: approvals.Decide(
                    tenant_id=session.tenant_id,
                    session_id=session.session_id,
                    after=after,
                    now=now,
                    decisions=decisions,
                    user_id=who.user_id,
                    role=who.role,
                    single=bool(single),
                    entry=entry,
                    entry_ids=entry_ids,
                    ride=ride,
                    key=single.get("key"),
                    reply=single.get("reply"),
                )
            )
        finally:
            self.accepting -= 1

    async def _note(self, touched: tuple[str, ...]) -> None:
        self.session.make_due(touched)
        for turn_id in touched:
            self.resumed = self.session.turns.get(turn_id, self.resumed)
        await self.session.go_on()

    async def resolve(self, wanted: Resolve) -> Approval | Stored:
        """Decide one approval; the turn is resumed by itself. Refusals as ``approvals.Decide``."""
        try:
            decided = await self._write_decisions(
                wanted.who, [wanted.decision], key=wanted.key, reply=wanted.reply, single=True
            )
        except Conflict:
            self.session.look_again()
            raise
        if decided.replayed is not None:
            return decided.replayed
        made = decided.made[0]
        metrics.APPROVALS_TOTAL.labels(outcome=made.status).inc()
        await self._note((made.turn_id,))
        return made

    def cancel(self, wanted: Cancel) -> str:
        """Stop the running pass. Refusal: ``no_turn_running``."""
        running = self.session.current
        if running is None or not self._break("turn_cancelled: stopped by a person", wanted.who):
            raise Conflict("no_turn_running")
        return running.id

    async def stop_for_deletion(self, who: Who, patience: float) -> None:
        """Cancel what runs and wait for it. Refusal: ``turn_in_progress`` if it does not stop in time."""
        session = self.session
        if session.current is None:
            return
        feed = Feed(session.log, after=session.log.last, until=Until(live=True))
        try:
            self._break("turn_cancelled: the session is deleted", who)
            async with asyncio.timeout(patience):
                while session.current is not None:
                    await feed.take()
                    await feed.bell.wait()
        except TimeoutError:
            raise Conflict("turn_in_progress") from None
        finally:
            feed.close()

    def follow(self, wanted: Follow) -> Feed | None:
        """Watch without starting anything (business 3.5, 3.6)."""
        cursor = wanted.cursor
        if cursor is None:
            return self._from_running(Until(live=True) if wanted.live else Until(replay=True))
        log = self.session.log
        place = int(cursor) if _is_place(cursor) else None
        source = "memory" if place is not None and place + 1 >= log.first else "table"
        if place is None or place > log.last or place < log.pruned_through:
            source = "failed"
        metrics.SSE_REPLAYS_TOTAL.labels(source=source).inc()
        if place is None or place > log.last:
            said = cursor if place is not None else "the cursor"
            why = f"replay_failed: {said} is newer than the newest event {log.last}"
            if place is None:
                why = "replay_failed: the cursor is not an event id"
            return self._from_running(self._until(wanted), before=self._aside("error", why), settled=True)
        before = self._gap(place)
        if wanted.replay and place == log.last and not before:
            return None
        until = self._until(wanted)
        nothing = place == log.last and not self.busy and until.settled
        return Feed(log, after=place, until=until, before=before, finally_=self._aside("final") if nothing else b"")

    @staticmethod
    def _until(wanted: Follow) -> Until:
        if wanted.replay:
            return Until(replay=True)
        return Until(live=True) if wanted.live else Until(settled=True)

    def _from_running(self, until: Until, *, before: bytes = b"", settled: bool = False) -> Feed | None:
        session = self.session
        running = session.current
        after = session.log.last if running is None else min(running.pass_event - 1, session.log.last)
        if until.replay and running is None and not before:
            return None
        ending = self._aside("final") if settled and running is None and not until.live else b""
        return Feed(session.log, after=after, until=until, before=before, finally_=ending)

    def _follow_empty(self, *, finally_: bytes = b"") -> Feed:
        """An empty body follows what goes on: the running pass, or the end of one that was resumed a moment ago."""
        session = self.session
        running = session.current
        if running is not None:
            after = min(running.pass_event - 1, session.log.last)
            return Feed(session.log, after=after, until=Until(turns=frozenset([running.id])), only=running.id)
        resumed = self.resumed
        ended = None if resumed is None else resumed.ended_at
        if resumed is not None and ended is not None and session.clock.now() - ended < REJOIN_WINDOW:
            return Feed(session.log, after=resumed.pass_event - 1, until=Until(replay=True), only=resumed.id)
        if self.busy:
            return Feed(session.log, after=session.log.last, until=Until(settled=True))
        if finally_:
            return Feed(session.log, after=session.log.last, until=Until(replay=True), finally_=finally_)
        raise Unprocessable("message_required")

    def _gap(self, after: int) -> bytes:
        """What a viewer is told first if events behind its cursor have been pruned."""
        log = self.session.log
        return log.gap(log.pruned_through) if after < log.pruned_through else b""

    def _aside_only(self, error: str) -> Feed:
        """A refusal of the turn, told to its sender alone."""
        told = self._aside("error", error) + self._aside("final", turn_id="error")
        log = self.session.log
        return Feed(log, after=log.last, until=Until(replay=True), before=told)

    def _aside(self, kind: Any, message: str | None = None, *, turn_id: str = "replay") -> bytes:
        session = self.session
        turn_of = "error" if message is not None and not message.startswith("replay_failed") else turn_id
        return aside(kind, session.session_id, session.clock.now(), turn_of, message)


def _is_place(cursor: str) -> bool:
    return cursor.isascii() and cursor.isdigit() and len(cursor) <= CURSOR_DIGITS
