"""How messaging fails: three refusals that are safe to report to a client, and a defect."""

from __future__ import annotations

from ..domain.errors import Unavailable


class MailboxFull(Unavailable):
    """503 ``overloaded``: the mailbox is full."""

    def __init__(self) -> None:
        super().__init__("overloaded")


class DeadlineExceeded(Unavailable):
    """503 ``deadline_exceeded``: no reply in time. The message may still be handled."""

    def __init__(self) -> None:
        super().__init__("deadline_exceeded")


class ActorDead(Unavailable):
    """503 ``overloaded``: the actor ended before it handled the message, which is safe to send again."""

    def __init__(self) -> None:
        super().__init__("overloaded")


class ActorFailed(Exception):
    """The actor failed while it handled the message; the error is the cause. A defect, not a refusal."""
