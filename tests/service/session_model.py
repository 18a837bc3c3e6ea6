"""Does to a session of the service what it does to the model of the contract, and compares them after each move."""

from __future__ import annotations

from collections import Counter
from typing import Any

from voyagent.actors.conversation.session_messages import Sleep

from .contract import Contract, Turn
from .model_player import Player, pieces_of
from .viewer import Viewer

APPROVAL_SECONDS = 60
SHIFTS = 5
"""How often time is moved for one session: its turns have ten minutes."""

LONELY = """
SELECT count(*) FROM (
    SELECT entity_refs->>'tool_call_id' AS call,
           count(*) FILTER (WHERE status = 'started') AS began,
           count(*) FILTER (WHERE status IN ('succeeded', 'failed')) AS ended
      FROM audit_events WHERE tenant_id = $1 AND kind IN ('book_flight', 'post_journal_entry') GROUP BY 1
  ) a WHERE began <> ended
"""
"""Calls that were audited as begun, without an audited end."""


class Conversation:
    """One session of the service and the model of it, moved alike and compared after each move."""

    def __init__(self, running: Any, person: Any, player: Player, admin: Any) -> None:
        self.running = running
        self.person = person
        self.player = player
        self.admin = admin
        self.numbers = 0
        self.shifts = 0
        self.effects: Counter[str] = Counter()
        self.moves = {
            "say": self.say,
            "let on": self.let_on,
            "let go": self.let_go,
            "cancel": self.cancel,
            "decide": self.decide,
            "decide by map": self.decide_by_map,
            "ride": self.ride,
            "again": self.again,
            "expire": self.expire,
            "rename": self.rename,
            "drop": self.drop,
            "sleep": self.sleep,
            "restart": self.restart,
            "delete": self.delete,
        }

    async def begin(self) -> None:
        """Open a session, nothing said."""
        self.session = await self.person.session()
        self.model = Contract(self.effects)
        self.streams: list[tuple[Turn, Any]] = []
        self.viewer = Viewer(self.person, self.session)
        await self.viewer.come()

    @property
    def path(self) -> str:
        return f"/chat/sessions/{self.session}"

    def known(self) -> list[str]:
        """For the report of a failure."""
        return [f"{turn.marker} {turn.state} passes={turn.passes} said={turn.said!r}" for turn in self.model.turns]

    # what can be done to it

    async def say(self, number: int) -> None:
        """A message, of any kind, under any ``on_busy``."""
        kind = ("chat", "chat", "fly", "post", "two")[number % 5]
        on_busy = ("reject", "queue", "queue", "interrupt")[number // 5 % 4]
        self.numbers += 1
        turn = Turn(f"m{self.numbers} {kind}")
        refusal = self.model.refusal(on_busy)
        body = {"message": turn.marker, "on_busy": on_busy}
        if refusal is not None:
            answer = await self.person.call("POST", f"{self.path}/messages", json=body)
            assert answer == (409, {"detail": refusal})
            return
        self.streams.append((turn, await self.person.post(self.session, body)))
        if self.model.current is not None and on_busy == "interrupt":
            self.player.forget(self.model.current.marker)
        self.model.accept(turn, on_busy)

    async def let_on(self, _: int) -> None:
        """The model of the running pass says one piece more, if it is not its last."""
        turn = self.model.current
        if turn is not None and turn.released < len(pieces_of(turn.marker)) - 1:
            await (await self.player.gate(turn.marker)).release()
            turn.tell(pieces_of(turn.marker)[turn.released])
            turn.released += 1

    async def let_go(self, _: int) -> None:
        """The model of the running pass says all it has to say."""
        turn = self.model.current
        if turn is not None:
            await (await self.player.gate(turn.marker)).open()
            turn.tell("".join(pieces_of(turn.marker)[turn.released :]))
            self._end(turn, "waiting" if any(each.status == "pending" for each in turn.asked) else "completed")

    async def cancel(self, _: int) -> None:
        """Somebody stops what runs."""
        status, body = await self.person.call("POST", f"{self.path}/cancel")
        if self.model.current is None:
            assert (status, body) == (409, {"detail": "no_turn_running"})
            return
        assert (status, body["status"]) == (202, "cancelling")
        self._end(self.model.current, "cancelled", "turn_cancelled: ")

    async def decide(self, number: int) -> None:
        """Anybody decides any approval there ever was."""
        if not self.model.asked:
            return
        asked, granted = self.model.asked[number // 2 % len(self.model.asked)], number % 2 == 0
        status, body = await self.person.call("POST", f"/approvals/{asked.id}/resolve", json={"granted": granted})
        if asked.status != "pending":
            assert (status, body) == (409, {"detail": "approval_already_resolved"}), asked
            return
        assert (status, body["status"]) == (200, "granted" if granted else "rejected")
        self.model.decided(asked, granted=granted)

    async def decide_by_map(self, number: int) -> None:
        """The same by a message without words."""
        if not self.model.asked:
            return
        asked, granted = self.model.asked[number // 2 % len(self.model.asked)], number % 2 == 0
        verdict = "granted" if granted else "rejected"
        if asked.status == verdict:
            return
        stream = await self.person.post(self.session, {"approvals": {asked.id: granted}})
        if asked.status == "pending":
            self.model.decided(asked, granted=granted)
        else:
            first = await stream.next()
            assert first.id is None
            assert first.data["error_message"] == f"approval_already_resolved: {asked.id}"
        stream.response.close()

    async def ride(self, number: int) -> None:
        """A verdict with words that are said in the pass it causes."""
        waiting = self.model.waiting
        if not waiting or self.model.current is not None:
            return
        asked, granted = waiting[number // 2 % len(waiting)], number % 2 == 0
        words = f"by the way {number}"
        stream = await self.person.post(self.session, {"approvals": {asked.id: granted}, "message": words})
        stream.response.close()
        asked.turn.rides.append(words)
        self.model.decided(asked, granted=granted)

    async def again(self, _: int) -> None:
        """The sender of the newest message repeats it while it is worked on: it is joined and not run again."""
        newest = self.model.turns[-1] if self.model.turns else None
        if newest is not None and (newest is self.model.current or newest in self.model.queue) and not newest.asked:
            stream = await self.person.post(self.session, {"message": newest.marker})
            self.streams.append((newest, stream))

    async def expire(self, _: int) -> None:
        """The time of all that waits is over."""
        if self.shifts >= SHIFTS:
            return
        self.shifts += 1
        self.running.clock.shift(APPROVAL_SECONDS + 1)
        self.model.expire()

    async def rename(self, number: int) -> None:
        """Another title."""
        self.model.title = f"title {number}"
        assert (await self.person.call("PATCH", self.path, json={"title": self.model.title}))[0] == 200

    async def drop(self, number: int) -> None:
        """The viewer loses the line and comes back."""
        await self.viewer.leave()
        await self.viewer.come(header=number % 2 == 0)

    async def sleep(self, number: int) -> None:
        """Nothing runs, so the session's actor goes; the next message finds it in storage."""
        if self.model.current is None:
            tenant_id = self.person.user["tenant_id"]
            await self.viewer.leave()
            system = self.running.service.system
            await system.ownership.settled()
            await system.root.ask(Sleep(tenant_id=tenant_id, session_id=self.session))
            await self.viewer.come(header=number % 2 == 0)

    async def restart(self, number: int) -> None:
        """The service stops without grace and another one starts; what ran is carried on."""
        turn = self.model.current
        if turn is not None:
            self.player.forget(turn.marker)
        await self.viewer.leave()
        for _, stream in self.streams:
            stream.response.close()
        self.streams.clear()
        await self.running.restart()
        self.person.url = self.running.service.url
        await self.viewer.come(header=number % 2 == 0)
        if turn is not None:
            self.model.cut(turn)

    async def delete(self, _: int) -> None:
        """The session goes with all it holds; what it did elsewhere stays."""
        assert (await self.person.call("DELETE", self.path))[0] == 204
        await self.viewer.until(lambda: bool(self.viewer.closing_frame), self.known)
        assert [each.data["error_message"] for each in self.viewer.closing_frame] == ["session_deleted"]
        await self.viewer.leave()
        for _, stream in self.streams:
            stream.response.close()
        gone = (404, {"detail": "session_not_found"})
        assert await self.person.call("GET", self.path) == gone
        assert await self.person.call("POST", f"{self.path}/messages", json={"message": "hi"}) == gone
        for asked in self.model.asked:
            answer = await self.person.call("POST", f"/approvals/{asked.id}/resolve", json={"granted": True})
            assert answer == (404, {"detail": "approval_not_found"})
        await self._effects_are_right()
        await self.begin()

    def _end(self, turn: Turn, state: str, error: str | None = None) -> None:
        self.player.forget(turn.marker)
        self.model.end(turn, state, error)

    # the comparison

    async def settled(self) -> None:
        """Carry the model on, wait for the service to be there too, and compare."""
        self.model.advance()
        await self.viewer.until(self._is_seen, self._report)
        if self.model.current is not None:
            await self.player.gate(self.model.current.marker)
        await self._name_approvals()
        self._log_is_right()
        await self._rows_are_right()

    def _is_seen(self) -> bool:
        log = self.viewer.log
        finals = sum(each.kind == "final" for each in log)
        words = sum(len(each.data["text"]) for each in log if each.kind == "text_delta")
        ended = sum(turn.passes for turn in self.model.turns) - (self.model.current is not None)
        return finals >= ended and words >= sum(len(turn.said) for turn in self.model.turns)

    def _report(self) -> str:
        seen = [(each.id, each.kind, each.data["text"] or each.data["error_message"]) for each in self.viewer.log]
        return f"expected {self.known()}, due {self.model.due}, seen {seen}, parting {self.viewer.closing_frame}"

    async def _transcript(self) -> list[Any]:
        return (await self.person.get(f"{self.path}/messages?limit=200"))["items"]

    async def _name_approvals(self) -> None:
        """An approval's id is its turn's, the tool's and its number."""
        if all(each.id.startswith("ap-") for each in self.model.asked):
            return
        items = await self._transcript()
        turn_ids = {item["content"][0]["text"]: item["turn_id"] for item in items if item["role"] == "user"}
        for each in self.model.asked:
            if not each.id.startswith("ap-"):
                each.id = f"ap-{turn_ids[each.turn.marker]}-{each.id}"

    def _log_is_right(self) -> None:
        log = self.viewer.log
        assert [each.id for each in log] == list(range(1, len(log) + 1))
        order = list(dict.fromkeys(each.data["turn_id"] for each in log))
        begun = [turn for turn in self.model.begun if turn is not self.model.current or turn.said or turn.passes > 1]
        assert len(order) == len(begun), self._report()
        for turn_id, turn in zip(order, begun, strict=True):
            own = [each for each in log if each.data["turn_id"] == turn_id]
            kinds = Counter(each.kind for each in own)
            assert kinds["final"] == turn.passes - (turn is self.model.current), self._report()
            assert own[-1].kind == "final" or turn is self.model.current
            assert "".join(each.data["text"] for each in own if each.kind == "text_delta") == turn.said
            errors = [each.data["error_message"] for each in own if each.kind == "error"]
            errors = [
                text for text in errors if not text.startswith("answer_restarted: ")
            ]  # its blank line is the model's
            assert len(errors) == len(turn.errors), self._report()
            assert all(text.startswith(prefix) for text, prefix in zip(errors, turn.errors, strict=True)), errors
            assert kinds["approval_request"] == len(turn.asked)
            assert kinds["approval_granted"] == turn.ran
            told = Counter(each.data["approval_id"] for each in own if each.kind.startswith("approval_"))
            told.subtract(each.id for each in turn.asked)
            over = {each.id: int(each.told or (bool(turn.errors) and each.status != "granted")) for each in turn.asked}
            assert dict(told) == over, (told, over)

    async def _rows_are_right(self) -> None:
        items = (await self.person.get(f"/approvals?session_id={self.session}&status=all&limit=200"))["items"]
        assert {item["id"]: item["status"] for item in items} == {each.id: each.status for each in self.model.asked}
        summary = await self.person.get(self.path)
        assert summary["title"] == self.model.title
        assert (summary["running_turn_id"] is None) == (self.model.current is None), summary
        transcript = await self._transcript()
        said = [item["content"][0]["text"] for item in transcript if item["role"] == "user"]
        messages = [text for text in said if not text.startswith("by the way")]
        assert messages == [turn.marker for turn in self.model.begun]
        rides = Counter(ride for turn in self.model.turns for ride in turn.rides)
        assert Counter(text for text in said if text.startswith("by the way")) == rides
        self._calls_have_results(transcript)
        await self._effects_are_right()

    def _calls_have_results(self, transcript: list[Any]) -> None:
        blocks = [block for item in transcript for block in item["content"]]
        calls = Counter(block["id"] for block in blocks if block["type"] == "tool_use")
        results = Counter(block["tool_use_id"] for block in blocks if block["type"] == "tool_result")
        assert set(calls.values()) <= {1}
        open_ = sum(each.status == "pending" or not each.told for each in self.model.asked if not each.turn.errors)
        assert results.total() == calls.total() - open_, self._report()
        assert set(results.values()) <= {1}

    async def _effects_are_right(self) -> None:
        assert await self.admin("SELECT count(*) FROM bookings WHERE tenant_id = $1") == self.effects["book_flight"]
        assert await self.admin("SELECT count(*) FROM house_orders WHERE tenant_id = $1") == self.effects["book_flight"]
        assert (
            await self.admin("SELECT count(*) FROM journals WHERE tenant_id = $1") == self.effects["post_journal_entry"]
        )

    async def end(self) -> None:
        """Let everything come to its end, then look at the whole once more."""
        while self.model.current is not None:
            await self.let_go(0)
            await self.settled()
        replayed = await self.person.replay(self.session)
        raws = [each.raw for each in self.viewer.log]
        assert [each.raw for each in replayed if each.id is not None] == raws
        for turn, stream in self.streams:
            told = await stream.all()
            assert told, turn
            ids = {each.data["turn_id"] for each in told}
            own = [each.raw for each in self.viewer.log if each.data["turn_id"] in ids]
            assert [each.raw for each in told] == own[: len(told)], turn
            assert told[-1].kind == "final"
            assert sum(each.kind == "final" for each in told) == 1
        open_ = "SELECT count(*) FROM turns WHERE tenant_id = $1 AND state IN ('queued', 'running')"
        assert await self.admin(open_) == 0
        assert await self.admin(LONELY) == 0
        await self.viewer.leave()
