"""Source and pages use the field's terms: words the glossary replaces stay only where a contract fixes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("actors", "http", "storage", "docs", "deploy")
KINDS = {".py", ".md", ".js", ".yml"}
PAGES = ("run.py", "README.md", "ARCHITECTURE.md", "CHANGELOG.md")

INSTEAD = {
    "acquaintance": "known network",
    "acquainted": "known network",
    "allowance": "quota",
    "anew": "again",
    "aside": "suspended, reserved, transient",
    "asleep": "passivated",
    "awake": "active",
    "betray": "disclose",
    "bell": "wakeup",
    "correspondence": "e-mail flows",
    "curtain": "as the superuser",
    "diary": "audit trail",
    "door": "request",
    "entrance": "sign-in",
    "express": "inline",
    "farewell": "shutdown timeout, QUIT",
    "goon": "next desk",
    "hear": "receive",
    "heard": "received",
    "heir": "next incarnation",
    "lapse": "expire",
    "lapsed": "expired",
    "lapses": "expires",
    "lender": "delegating actor",
    "lent": "delegated",
    "letter": "e-mail",
    "letters": "e-mails",
    "mint": "create, generate",
    "minted": "created",
    "nudge": "reprompt",
    "nudged": "reprompted",
    "owed": "pending",
    "owes": "has pending",
    "proof": "verification",
    "proofs": "verifications",
    "proven": "verified",
    "renewal": "refresh token",
    "renewals": "refresh tokens",
    "ride": "follow-up",
    "rides": "follows",
    "rode": "followed",
    "sleeper": "passivated actor",
    "spending": "usage",
    "stranger": "unknown network, unknown caller",
    "strangers": "others",
    "tallies": "counters",
    "tally": "counter",
    "unfit": "invalid",
    "unproven": "unverified",
    "untold": "unreported",
    "wanted": "asked for, expected",
    "wish": "request, draft",
    "wishes": "requests, drafts",
}
"""Word -> what to say."""

ALLOWED = {
    r"dead[_ ]letters?": "the actor model's term",
    r"letter_token_hash": "a column",
    r"(?<=[`\"])letter(?=[\"\\])": "the value of `by` in audit events",
    r"mail_(?:outbox_)?letters(?:_total)?": "metrics, and their attributes",
    r"(?:password_|has_)(?:no_|must_contain_)?letter(?:_and_digit)?": "codes of the password policy, and its check",
    r"r36_letters_and_digits": "tests of the password policy",
    r"no letter that|letters the alphabet": "the alphabet of recovery codes",
    r"letters? (?:and|nor)(?: an?| one)? (?:digit|joiner)s?|letter of any script": "the alphabet",
    r"letter case|letter swaps": "the alphabet",
    r"(?:per|beside|latin|cyrillic|two|ascii) letters?|letters of the latin": "the alphabet",
    r"(?<![a-z])_letters\b|\bletters = |in letters ": "the alphabet",
    r"\bletter (?:if|for)|for letter in|\bletter\.isalnum": "the alphabet",
    r"proof\.pdf|back door": "names of things that are called so",
    r"booking\.lapsed": "a kind of audit event",
    r"ix_users_id_unproven": "an index",
    r"(?<=[`\"|])unproven": "the value of `cause` in audit events",
    r"\"set_aside\"": "the value of a state in `/internal/actors`",
    r"(?-i:Tally)": "a product",
    r"[/_.]tally(?![a-z])|\btally(?=[._/-][\w{<$]|[\"`])|import tally|^ +tally,": "what is named after the product",
    r"tally(?=: [\"{]|\(view| \})": "the console's own of these",
    r"(?:agent|customer|it) owes|(?:is|are) owed": "debts",
}
"""Pattern -> why the words in it stay."""

PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def files() -> Iterator[Path]:
    yield from (ROOT / name for name in PAGES)
    for folder in FOLDERS:
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in KINDS)


def dialect(text: str) -> list[str]:
    """The words of a text to be replaced: in names, split at underscores and capitals, as well as in prose."""
    left = re.sub("|".join(ALLOWED), " ", text, flags=re.IGNORECASE)
    return [word for part in PARTS.findall(left) if (word := part.lower()) in INSTEAD]


def test_no_word_the_glossary_replaces_is_used() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word} -> {INSTEAD[word]}"
        for path in files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for word in dialect(line)
    ]
    assert found == []


def test_a_room_is_a_hotel_s() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: room -> limit, space"
        for path in files()
        if path.suffix != ".md" and "hotels" not in path.read_text("utf-8").lower()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if "room" in [part.lower() for part in PARTS.findall(line)]
    ]
    assert found == []


@pytest.mark.parametrize("allowed", ALLOWED)
def test_every_exception_is_needed(allowed: str) -> None:
    assert any(re.search(allowed, path.read_text("utf-8"), re.IGNORECASE) for path in files())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def _write_letter(self)", ["letter"]),
        ("class LapsedToken", ["lapsed"]),
        ("MAX_TALLIES = 1", ["tallies"]),
        ('log.info("letter_postponed")', ["letter"]),
        ("The token has lapsed; ask anew.", ["lapsed", "anew"]),
        ("a dead letter, a letter and a digit, an aside", ["aside"]),
        ("hearing, provenance, unexpressed, envelope", []),
    ],
)
def test_words_are_found_in_names_and_in_prose(text: str, found: list[str]) -> None:
    assert dialect(text) == found
