"""The ticketing desk's script for visa files: who, where to and what for; then the file, and what is collected."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from babel import Locale

from .outcomes import listed, trouble
from .places import mentioned
from .talk import Call, Talk
from .turns import ToolUse, Turn
from .words import dates, details, has, newest, persons

EFFECTS = {"open_visa_file": "the visa file", "update_visa_file": "the change of the visa file"}

_CATEGORY = re.compile(r"\b(tourist|business|transit|student|work|medical|family)\b", re.IGNORECASE)
_REFERENCE = re.compile(r"\b(?:reference|ref)\.?\s+(?P<code>[A-Za-z0-9][\w/-]*)", re.IGNORECASE)
_SHORT = {"uae": "AE", "emirates": "AE", "uk": "GB", "britain": "GB", "england": "GB", "usa": "US", "america": "US"}
_STATUSES = {
    "withdrawn": r"withdr(?:aw|ew|awn)\b",
    "rejected": r"(?:rejected|refused)\b",
    "approved": r"(?:approved|granted)\b",
    "biometrics_done": r"biometrics?\b",
    "application_submitted": r"submitted\b",
    "docs_verified": r"verified\b",
}
"""Statuses and the words that name them, the last of them first."""


def reply(talk: Talk, opening: str) -> Turn | None:
    """The next text or call of a visa file; None if the request is another."""
    words = talk.latest_words
    if "open_visa_file" not in talk.tools:
        return None
    file = _file(talk)
    if file is not None and (change := _change(file, words)):
        given = {"visa_file_id": file.output.get("visa_file_id"), **change}
        return Turn(f"{opening}I note that in the visa file.", ToolUse("update_visa_file", given))
    return _open(talk, opening) if asked_for(talk) else None


def asked_for(talk: Talk) -> bool:
    """Whether the user's request is a new visa file, and no flight."""
    about = newest(lambda text: text if has(text, r"visas?\b", r"flights?\b", r"fly\b") else None, talk.request)
    return about is not None and not has(about, r"flights?\b", r"fly\b")


def after(talk: Talk, last: Call) -> Turn | None:
    """The reply to a result on the way to a visa file; None if it is on another way."""
    if last.name not in ("lookup_passenger", "upsert_passenger") or not asked_for(talk):
        return None
    failed = trouble(last, "the look-up")
    if failed:
        return Turn(failed)
    if last.name == "upsert_passenger":
        return _opening(talk, str(last.output.get("passenger_id")))
    found = listed(last.output, "passengers")
    if len(found) > 1:
        return Turn(f"I know {len(found)} of that name. Please ask for the visa file again, with the e-mail address.")
    if found:
        return _opening(talk, str(found[0].get("passenger_id")), "I know the traveller. ")
    named = _traveller(talk)
    return None if named is None else Turn("I note the traveller.", ToolUse("upsert_passenger", named))


def told(call: Call) -> str:
    """What came of a call, in a sentence or two."""
    output = call.output
    if call.name == "open_visa_file":
        needed = [str(each.get("item")) for each in listed(output, "checklist") if each.get("required")]
        return f"The visa file is open. Needed: {', '.join(map(_plain, needed))}."
    missing = output.get("missing") or []
    left = f" Still missing: {', '.join(_plain(str(each)) for each in missing)}." if missing else " Nothing is missing."
    return f"The visa file is {_plain(str(output.get('status')))}.{left}"


def _open(talk: Talk, opening: str) -> Turn:
    """Ask for what is not said, then look the traveller up."""
    named = _traveller(talk)
    if named is None:
        return Turn(f"{opening}For whom is the visa: which full name?")
    if newest(_country, talk.request) is None:
        return Turn(f"{opening}To which country?")
    if newest(_category, talk.request) is None:
        return Turn(f"{opening}What for: tourist, business, transit, student, work, medical or family?")
    if known := talk.known(named["full_name"]):
        return _opening(talk, known["passenger_id"], opening)
    if "lookup_passenger" not in talk.tools:
        return Turn(f"{opening}I note the traveller.", ToolUse("upsert_passenger", named))
    query = newest(lambda text: details(text).get("email"), talk.request) or named["full_name"]
    return Turn(f"{opening}I look the traveller up.", ToolUse("lookup_passenger", {"query": query}))


def _opening(talk: Talk, passenger_id: str, said: str = "") -> Turn:
    given: dict[str, Any] = {
        "passenger_id": passenger_id,
        "destination_country": newest(_country, talk.request),
        "visa_category": newest(_category, talk.request),
    }
    if days := newest(lambda text: dates(text, talk.today) or None, talk.request):
        given["travel_date"] = days[0].isoformat()
    return Turn(f"{said}I open the visa file.", ToolUse("open_visa_file", given))


def _traveller(talk: Talk) -> dict[str, str] | None:
    """The person the visa is for, who is no country."""
    named = (person for text in talk.request for person in persons(text))
    return next((person for person in named if _country(person["full_name"]) is None), None)


def _file(talk: Talk) -> Call | None:
    """The newest file of the conversation."""
    opened = (call for call in reversed(talk.calls) if call.name == "open_visa_file")
    return next((call for call in opened if call.output.get("visa_file_id")), None)


def _change(file: Call, words: str) -> dict[str, Any]:
    """What the words say of a file: documents of its checklist, a status, a reference."""
    items = [str(each.get("item")) for each in listed(file.output, "checklist")]
    collected = [item for item in items if has(words, rf"{item.split('_')[0]}s?\b")]
    change: dict[str, Any] = {}
    if collected and has(words, "collect", "received", "here", "got", "have"):
        change["collected"] = collected
    status = next((name for name, pattern in _STATUSES.items() if has(words, pattern)), None)
    if status is not None and has(words, r"visas?\b", "application", "file", "documents?", "biometrics"):
        change["status"] = status
    if change and (reference := _REFERENCE.search(words)):
        change["application_ref"] = reference["code"]
    return change


def _category(text: str) -> str | None:
    found = _CATEGORY.search(text)
    return None if found is None else found[1].lower()


def _country(text: str) -> str | None:
    """The code of the country a text names, by its own name or by one of its cities."""
    low = text.lower()
    for name, code in (*_SHORT.items(), *_countries().items()):
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", low):
            return code
    return next((place.country for _, place in reversed(mentioned(text)) if place.country), None)


@cache
def _countries() -> dict[str, str]:
    """The names of countries in English, longest first, and their codes (ISO 3166)."""
    named = {str(name).lower(): code for code, name in Locale("en").territories.items()}
    codes = {name: code for name, code in named.items() if len(code) == len("IN") and code.isalpha() and code != "ZZ"}
    return dict(sorted(codes.items(), key=lambda each: -len(each[0])))


def _plain(name: str) -> str:
    return name.replace("_", " ")
