"""The actors of sessions, seen from outside while they are active."""

from __future__ import annotations

from weakref import WeakSet

import pytest

from voyagent.actors.conversation.event_log import EventLog
from voyagent.actors.conversation.session import SessionActor


class Sessions:
    """The session actors that were started since this was made. It keeps none of them alive."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._started: WeakSet[SessionActor] = WeakSet()
        initialise = SessionActor.initialise

        async def noted(actor: SessionActor) -> None:
            await initialise(actor)
            self._started.add(actor)

        monkeypatch.setattr(SessionActor, "initialise", noted)

    def actor(self, session: str) -> SessionActor:
        """The active actor of a session."""
        [actor] = [each for each in self._started if each.session_id == session and not each.actor_stopped.is_set()]
        return actor

    def log(self, session: str) -> EventLog:
        """The event log of an active session."""
        return self.actor(session).log
