"""The subjects of the reference: which operations stand together, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..route import Route


@dataclass(frozen=True, slots=True)
class Subject:
    """A group of operations: those of some handler modules."""

    title: str
    modules: tuple[str, ...]
    text: str = field(default="")

    @property
    def anchor(self) -> str:
        """The id of its heading."""
        return "subject-" + self.title.lower().replace(" ", "-")


SUBJECTS: Final = (
    Subject("Sign-in", ("accounts",), "An agency is created with its first admin. Tokens come in pairs."),
    Subject("Second factor", ("second_factor",), "Sign-in with a code of an authenticator app."),
    Subject("Profile", ("profile",)),
    Subject("E-mail address", ("email_verification",)),
    Subject("Password", ("password_reset",)),
    Subject("Login sessions", ("login_sessions",), "What a sign-in opens; not to be confused with conversations."),
    Subject("API keys", ("api_keys",), "For programs. A key acts with the present role of its owner."),
    Subject("Members", ("members",)),
    Subject("Invites", ("invites",)),
    Subject("Settings", ("settings",), "Of the agency: language, time zone, limits, numbering of documents."),
    Subject("Tax rates", ("tax_rates",), "What taxes an agency charges, each from the day on which it holds."),
    Subject("Conversations", ("sessions",), "In paths: sessions. Every member sees all of the agency."),
    Subject("Messages and events", ("messages",), "The two event streams of a conversation."),
    Subject("Approvals", ("approvals",), "What the agent may not do by itself waits here for a person."),
    Subject("Enquiries", ("enquiries",)),
    Subject("Reports", ("aging", "trial_balance", "tally", "itinerary", "usage")),
    Subject("Audit", ("audit",), "Who did what. Events are chained by hashes and never change."),
    Subject("Health", ("health",)),
    Subject("Operators", ("internal",)),
    Subject("Published schemas", ("money",)),
)
OTHERS: Final = Subject("Others", ())
"""What belongs to no subject."""


def subject_of(route: Route) -> Subject:
    """The subject of an operation: that of its handler's module."""
    module = route.operation.handler.__module__.rpartition(".")[2]
    return next((subject for subject in SUBJECTS if module in subject.modules), OTHERS)
