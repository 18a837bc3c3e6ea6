"""The orchestrator's script: greets, asks a question, or hands the request over to its desk."""

from __future__ import annotations

import re

from .outcomes import NOTICE
from .talk import Talk
from .turns import ToolUse, Turn
from .words import agrees, has, newest, wants_booking

SUBJECTS = {
    "ticketing_visa": (
        r"flights?\b|fl(?:y|ies|ying)\b|tickets?\b|airline|pnr\b|locators?\b|passengers?\b|उड़ान"
        r"|visas?\b|passports?\b|checklists?\b"
    ),
    "hotels_holidays": r"hotels?\b|rooms?\b|stay|nights?\b|holidays?\b|resorts?\b|होटल",
    "accounting": (
        r"invoic|ledger|bills?\b|payments?\b|pay\b|journals?\b|accounts?\b|balance|bsp\b|reconcil|books\b"
        r"|tax rates?\b|चालान"
    ),
}
"""Patterns of the words that name a desk."""

NAMES = {
    "ticketing_visa": "the ticketing and visa desk",
    "hotels_holidays": "the hotels and holidays desk",
    "accounting": "the accounting desk",
}

HELP = (
    "Ask me for a flight, a hotel or an invoice:"
    " Find me a flight from Mumbai to Dubai on 12 December for Asha Rao and book it."
)


def reply(talk: Talk) -> Turn:
    """The orchestrator's next text or calls."""
    desks = _desks(talk)
    if desks and "handoff" in talk.tools:
        goal = talk.latest_words.strip() or "Carry on."
        names = " and then ".join(NAMES[desk] for desk in desks)
        handoffs = [ToolUse("handoff", {"domain": desk, "goal": goal}) for desk in desks]
        return Turn(f"{NOTICE} I pass this to {names}.\n\n", *handoffs)
    words = talk.latest_words
    if "clarify" in talk.tools and (wants_booking([words]) or has(words, "trip", "travel", "journey")):
        question = "Is it a flight, a hotel or something else, and for which dates?"
        return Turn(f"{NOTICE} ", ToolUse("clarify", {"question": question}))
    if has(words, "thank"):
        return Turn(f"{NOTICE} You are welcome.")
    greeting = "Hello! " if has(words, "hello", r"hi\b", "hey", "good", "namaste") else ""
    return Turn(f"{NOTICE} {greeting}{HELP}")


def _desks(talk: Talk) -> list[str]:
    """The desks meant, in the order of mention; else the last one, if the text only replies to it."""
    words = talk.latest_words
    found = {desk: re.search(rf"\b(?:{stems})", words, re.IGNORECASE) for desk, stems in SUBJECTS.items()}
    meant = sorted((match.start(), desk) for desk, match in found.items() if match)
    if meant:
        return [desk for _, desk in meant]
    last = newest(lambda name: name or None, [_desk_of(call.name, call.input) for call in reversed(talk.calls)])
    follows = talk.asked_back or agrees(words) or wants_booking([words]) or has(words, "option", "again", "cheapest")
    return [last] if last and follows else []


def _desk_of(tool: str, given: dict[str, object]) -> str:
    """The desk a call belongs to: that of the handoff before it."""
    domain = given.get("domain") if tool == "handoff" else None
    return domain if isinstance(domain, str) and domain in SUBJECTS else ""
