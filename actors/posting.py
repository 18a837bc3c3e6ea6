"""What a POST to a conversation does: start, queue, interrupt, join or refuse; decide; and where its sender watches.

The table of business 4.3. One of these belongs to each session's actor and changes nothing but that actor's state.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..storage import approvals, turns
from ..storage.idempotency import Encode, Key, Stored
from . import ids, metrics, turn
from .domain.approvals import Approval, Decision
from .domain.audit import Author
from .domain.errors import Conflict, Unavailable
from .domain.turns import QUEUE_LIMIT, REJOIN_WINDOW, text_hash, title_of
from .eventlog import Feed, Until
from .following import Following
from .passes import Turn

if TYPE_CHECKING:
    from .session import Cancel, Follow, Post, Resolve, SessionActor, Who


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The message accepted last: its sender, repeating it, watches what it began instead of beginning it again."""

    turn: Turn
    user_id: str
    text_hash: bytes
    after: int | None = None
    """For words that rode along with decisions: what comes of them lies behind this event."""


class Posting:
    """The rules of posting to one session."""

    def __init__(self, session: SessionActor) -> None:
        self.session = session
        self.accepting = 0
        self.queueing = 0
        """Messages on their way into the queue, which have their place in it already."""
        self.resumed: Turn | None = None
        self.following = Following(session)
        self._started = asyncio.Event()
        self._started.set()

    @property
    def busy(self) -> bool:
        return self.session.passes.busy or self.accepting > 0

    @property
    def starting(self) -> bool:
        """A message is being accepted whose pass starts at once."""
        return not self._started.is_set()

    async def post(self, posted: Post) -> Feed:
        """Business 4.3, row by row."""
        earlier = await self._earlier(posted)
        if earlier is not None:
            return earlier
        has_text = bool(posted.text.strip())
        if has_text and posted.key is None and self._repeated(posted) is not None and not await self._decides(posted):
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
        return self._empty()

    async def _earlier(self, posted: Post) -> Feed | None:
        """With a key only the key decides: what it started is watched again, whether it runs or is over."""
        if posted.key is None:
            return None
        await self.session.line.step(None)
        keyed = turns.Keyed(tenant_id=self.session.tenant_id, key=posted.key, now=self.session.clock.now())
        stored = await self.session.world.store.ask(keyed)
        return None if stored is None else self._kept(stored)

    def _kept(self, stored: Stored) -> Feed:
        """What a key began: from its first event to its ``final`` if that is to come, else all there is."""
        session, began = self.session, json.loads(stored.body)
        turn_ids, after = began["turns"], began["after"]
        under_way = [each for each in turn_ids if self._under_way(each)]
        if after is None:
            known = session.passes.turns.get(turn_ids[0])
            after = max(known.first_event - 1, 0) if known is not None and known.first_event else 0
        until = Until(turns=frozenset(under_way)) if under_way else Until(replay=True)
        only = turn_ids[0] if len(turn_ids) == 1 else None
        return Feed(session.log, after=after, until=until, only=only, before=self.following.gap(after))

    def _under_way(self, turn_id: str) -> bool:
        session = self.session
        runs = session.passes.current is not None and session.passes.current.id == turn_id
        return runs or turn_id in session.passes.queue or turn_id in session.passes.due

    def _repeated(self, posted: Post) -> Accepted | None:
        """The message accepted last, if it was this one: the same person's same words."""
        last = self.session.last
        same = last is not None and last.user_id == posted.who.user_id and last.text_hash == text_hash(posted.text)
        return last if same else None

    async def _decides(self, posted: Post) -> bool:
        """Whether anything of the map can still be decided: then the message is no repetition."""
        if not posted.approvals:
            return False
        session = self.session
        decidable = approvals.Decidable(
            tenant_id=session.tenant_id,
            session_id=session.session_id,
            approval_ids=tuple(posted.approvals),
            now=session.clock.now(),
        )
        return await session.world.store.ask(decidable)

    def _rejoin(self, posted: Post) -> Feed | None:
        """The same user saying the same again, while that is under way or its end never reached him."""
        session, last = self.session, self._repeated(posted)
        if last is None:
            return None
        begun = last.turn
        under_way = self._under_way(begun.id)
        cut = begun.ended_at is not None and not begun.delivered
        recent = begun.ended_at is not None and session.clock.now() - begun.ended_at < REJOIN_WINDOW
        if not under_way and not (cut and recent):
            return None
        after = last.after
        if after is None:
            after = max(begun.first_event - 1, 0) if begun.first_event else session.log.last
        until = Until(replay=True)
        if under_way:
            earlier = begun.pass_event - 1 if begun is session.passes.current else session.log.last
            until = Until(turns=frozenset([begun.id]), beyond=max(earlier, 0))
        return Feed(session.log, after=after, until=until, only=begun.id, before=self.following.gap(after))

    def _make_room(self, posted: Post) -> None:
        """Whether a message may come in while another is worked on. Refusals: ``turn_in_progress``, ``queue_full``."""
        if not self.busy:
            return
        if posted.on_busy == "reject":
            raise Conflict("turn_in_progress")
        if len(self.session.passes.queue) + self.queueing >= QUEUE_LIMIT:
            raise Conflict("queue_full")

    def _refused(self) -> Feed | None:
        """Rate and budget, judged when a message comes in: what its sender is told if it may not."""
        refused = self.session.agency.admit()
        if refused is None:
            return None
        metrics.TURNS_TOTAL.labels(outcome="refused").inc()
        return self.following.refusal(refused)

    async def _say(self, posted: Post, *, admitted: bool = False, over: Turn | None = None) -> Feed:
        """Take a message: its turn starts at once, or waits behind the one that runs.

        One that interrupts ends whatever runs then, or only ``over``.
        """
        refused = None if admitted else self._refused()
        if refused is not None:
            return refused
        queued = self.busy
        taken = Turn(
            id=ids.turn_id(),
            user_id=posted.who.user_id,
            state="queued" if queued else "running",
            text=posted.text if queued else None,
        )
        if queued:
            return await self._take(taken, posted, over)
        self._started.clear()
        try:
            return await self._take(taken, posted, over)
        finally:
            self._started.set()
            self.session.look_again()

    async def _take(self, taken: Turn, posted: Post, over: Turn | None) -> Feed:
        session, queued = self.session, taken.state == "queued"
        self.accepting += 1
        self.queueing += queued
        try:
            stored = await self._accept(taken, posted, queued=queued)
        finally:
            self.accepting -= 1
            self.queueing -= queued
        if stored is not None:
            return self._kept(stored)
        session.passes.turns[taken.id] = taken
        session.last = Accepted(turn=taken, user_id=taken.user_id, text_hash=text_hash(posted.text))
        after = session.log.last
        feed = Feed(session.log, after=after, until=Until(turns=frozenset([taken.id])), only=taken.id)
        if queued:
            await self._enqueue(taken, posted, over)
        else:
            taken.first_event = taken.pass_event = after + 1
            await session.passes.start(taken)
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
                text_hash=text_hash(posted.text),
                title=title_of(posted.text),
                message_id=message_id,
                queued=queued,
                key=posted.key,
                reply=None if posted.key is None else _begun([taken.id]),
            )
        )

    async def _enqueue(self, taken: Turn, posted: Post, over: Turn | None) -> None:
        session = self.session
        if posted.on_busy == "interrupt":
            session.passes.queue.insert(0, taken.id)
            if over is None or over is session.passes.current:
                self._break("turn_interrupted: a newer message took its place", posted.who)
        else:
            session.passes.queue.append(taken.id)
        await session.passes.go_on()

    def _break(self, error: str, who: Who) -> bool:
        running = self.session.passes.current
        if running is None:
            return False
        child, wanted = self.session.child(running.id), turn.Break(error, Author(who.user_id, who.origin))
        if child is None:
            running.breaking = wanted
        else:
            child.tell(wanted)
        return True

    async def _decide(self, posted: Post, *, has_text: bool) -> Feed:
        """Decisions first, then the passes they cause; text rides along if nothing else runs."""
        session = self.session
        refused = self._refused() if has_text else None
        if refused is not None:
            return refused
        rides = has_text and not self.busy
        waits, running = has_text and not rides, session.passes.current
        after = session.log.last
        decisions = [Decision(approval_id, granted) for approval_id, granted in posted.approvals.items()]
        self.queueing += waits  # its place is kept while the decisions are written
        try:
            decided = await self._write_decisions(
                posted.who,
                decisions,
                ride=posted.text if rides else None,
                key=posted.key if rides or not has_text else None,
                reply=lambda made: _begun(list(_turns_of(made)), after),
            )
            if rides and decided.made:
                self._rode(decided.made[-1].turn_id, posted, after)
            await self._note(decided.made)  # they are decided, whatever becomes of the words beside them
            if any(isinstance(refusal, approvals.Lapsed) for refusal in decided.refused.values()):
                await session.lapse()
        finally:
            self.queueing -= waits
        if decided.replayed is not None:
            return self._kept(decided.replayed)
        before = b"".join(
            self.following.aside("error", f"{refusal.code}: {approval_id}")
            for approval_id, refusal in decided.refused.items()
        )
        if not decided.made:
            if has_text:
                feed = await self._say(posted, admitted=True)
            elif before:
                feed = self._empty(finally_=self.following.aside("final"))
            else:
                return self._empty()
            feed.before = before + feed.before
            return feed
        awaited = set(_turns_of(decided.made))
        if has_text and not rides:
            other = await self._say(posted, admitted=True, over=running)
            other.close()
            before += other.before
            awaited |= other.until.turns
        return Feed(session.log, after=after, until=Until(turns=frozenset(awaited)), before=before)

    def _rode(self, turn_id: str, posted: Post, after: int) -> None:
        """Words that came with decisions are the message accepted last; what comes of them lies behind ``after``."""
        resumed = self.session.passes.turns.get(turn_id)
        if resumed is not None:
            said = text_hash(posted.text)
            self.session.last = Accepted(turn=resumed, user_id=posted.who.user_id, text_hash=said, after=after)

    async def _write_decisions(
        self,
        who: Who,
        decisions: list[Decision],
        *,
        ride: str | None = None,
        single: bool = False,
        key: Key | None = None,
        reply: Encode[Sequence[Approval]] | None = None,
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
                    single=single,
                    entry=entry,
                    entry_ids=entry_ids,
                    ride=ride,
                    key=key,
                    reply=reply,
                )
            )
        finally:
            self.accepting -= 1

    async def _note(self, made: Sequence[Approval]) -> None:
        self.session.passes.make_due((each.turn_id, each.id) for each in made)
        for turn_id in _turns_of(made):
            self.resumed = self.session.passes.turns.get(turn_id, self.resumed)
        await self.session.passes.go_on()

    def follow(self, wanted: Follow) -> Feed | None:
        """Watch without starting anything."""
        return self.following.cursor(wanted, busy=self.busy)

    def _empty(self, *, finally_: bytes = b"") -> Feed:
        return self.following.empty(busy=self.busy, resumed=self.resumed, finally_=finally_)

    async def resolve(self, wanted: Resolve) -> Approval | Stored:
        """Decide one approval; the turn is resumed by itself. Refusals as ``approvals.Decide``."""
        encode = wanted.reply
        reply = None if encode is None else (lambda made: encode(made[0]))
        try:
            decided = await self._write_decisions(
                wanted.who, [wanted.decision], key=wanted.key, reply=reply, single=True
            )
        except approvals.Lapsed:
            await self.session.lapse()
            raise
        if decided.replayed is not None:
            return decided.replayed
        made = decided.made[0]
        metrics.APPROVALS_TOTAL.labels(outcome=made.status).inc()
        await self._note([made])
        return made

    async def cancel(self, wanted: Cancel) -> str:
        """Stop the running pass, or the one that is being started. Refusal: ``no_turn_running``."""
        await self._started.wait()
        running = self.session.passes.current
        if running is None or not self._break("turn_cancelled: stopped by a person", wanted.who):
            raise Conflict("no_turn_running")
        return running.id

    async def stop_for_deletion(self, who: Who, patience: float) -> None:
        """Cancel what runs and wait for it. Refusal: ``turn_in_progress`` if it does not stop in time."""
        session = self.session
        if session.passes.current is None:
            return
        feed = Feed(session.log, after=session.log.last, until=Until(live=True))
        try:
            self._break("turn_cancelled: the session is deleted", who)
            async with asyncio.timeout(patience):
                while session.passes.current is not None:
                    await feed.take()
                    await feed.bell.wait()
        except TimeoutError:
            raise Conflict("turn_in_progress") from None
        finally:
            feed.close()


def _turns_of(made: Sequence[Approval]) -> Sequence[str]:
    return tuple(dict.fromkeys(each.turn_id for each in made))


def _begun(turn_ids: Sequence[str], after: int | None = None) -> Stored:
    """What is kept under a message's key: what it began, from its first event or from behind ``after``."""
    return Stored(200, json.dumps({"turns": list(turn_ids), "after": after}).encode(), {})
