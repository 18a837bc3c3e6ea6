"""The ticketing desk's script: search, store the passengers, hold or book, and report the result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from ...domain.persons import age_on
from ...domain.travel import CHILD_FROM, MAJORITY
from . import visas
from .outcomes import DESK_NOTICE, cancelled, listed, price, trouble
from .places import Place, route
from .talk import Call, Talk
from .turns import ToolUse, Turn
from .words import ages, agrees, born, chosen, counted, dates, details, has, newest, passport, persons, wants_booking

SHOWN = 3
"""Fares listed when nothing is to be booked."""
_BUYS = re.compile(r"\b(?:book|buy|confirm|pay(?: for)?) (?:the|this|that|my) (?:held|hold)\b", re.IGNORECASE)
_PNR = re.compile(r"\b(?i:pnr|locator|booking)\s+(?P<code>(?=[A-Z0-9]*[A-Z])[A-Z0-9]{5,8})\b")
YOUNG = ("child", "infant")
"""Kinds of travellers who pay less, so that airlines want their age."""


def reply(talk: Talk) -> Turn:
    """The desk's next text or calls."""
    if talk.news and not talk.fresh:
        return _after(talk, talk.news)
    told = " ".join(_told(call) for call in talk.news)
    return _asked(talk, f"{DESK_NOTICE} {told} " if told else f"{DESK_NOTICE} ")


def _asked(talk: Talk, opening: str) -> Turn:
    """The reply to the user's text."""
    words = talk.latest_words
    if (turn := visas.reply(talk, opening)) is not None:
        return turn
    if "read_pnr" in talk.tools and has(words, "show", "read", "status", "what") and (named := _PNR.search(words)):
        return Turn(f"{opening}I read booking {named['code']}.", ToolUse("read_pnr", {"locator": named["code"]}))
    held = _held(talk)
    if held and "book_flight" in talk.tools and _BUYS.search(words):
        hold = {"booking_id": held.output.get("booking_id")}
        return Turn(
            f"{opening}I prepare the booking of the hold; a person must approve it.", ToolUse("book_flight", hold)
        )
    waiting = [call for call in talk.waiting() if call.name in ("book_flight", "issue_ticket", "cancel_flight_order")]
    booked = _order(talk)
    if booked and "cancel_flight_order" in talk.tools and has(words, "cancel"):
        order = {"booking_id": booked.output.get("booking_id")}
        return Turn(
            f"{opening}I prepare the cancellation; a person must approve it.", ToolUse("cancel_flight_order", order)
        )
    origin, destination = _route(talk)
    if origin and destination and "search_flights" in talk.tools:
        return _search(talk, opening, origin, destination)
    unpriced = _without_ages(talk)
    if unpriced and (told := newest(lambda text: ages(text) or None, talk.request)):
        again = {**unpriced.input, **_aged(unpriced.input.get("passengers") or {}, told)}
        return Turn(f"{opening}With these ages I search again.", ToolUse("search_flights", again))
    if waiting and "search_flights" in talk.tools:
        return Turn(f"{opening}{trouble(waiting[-1], 'the booking')} I can go on once it is decided.")
    searched = talk.latest("search_flights")
    if searched and (
        wants_booking(talk.request) or any(map(agrees, talk.request)) or chosen(words) or _wants_hold(talk)
    ):
        return _take_down(talk, searched, opening)
    return _other(talk, opening, words)


def _order(talk: Talk) -> Call | None:
    """The newest booking or hold that was made."""
    made = (call for call in reversed(talk.calls) if call.name in ("book_flight", "hold_flight"))
    return next((call for call in made if call.output.get("booking_id")), None)


def _held(talk: Talk) -> Call | None:
    """The newest hold that was not booked since."""
    made = _order(talk)
    return made if made and made.name == "hold_flight" else None


def _without_ages(talk: Talk) -> Call | None:
    """The newest search, if it was refused because it had no ages."""
    last = next((call for call in reversed(talk.calls) if call.name == "search_flights"), None)
    return last if last and "ages" not in last.input and re.search(r"\bages?\b", last.error or "") else None


def _other(talk: Talk, opening: str, words: str) -> Turn:
    """The reply to requests other than searches and bookings."""
    if "lookup_passenger" in talk.tools and has(words, "look up", "lookup", "who is") and (found := persons(words)):
        return Turn(f"{opening}I look that up.", ToolUse("lookup_passenger", {"query": found[0]["full_name"]}))
    booked = _order(talk)
    if booked and "issue_ticket" in talk.tools and has(words, "issue"):
        ticket = {"pnr_id": booked.output.get("booking_id")}
        return Turn(f"{opening}I prepare the ticket; a person must approve it.", ToolUse("issue_ticket", ticket))
    if "search_flights" not in talk.tools:
        return Turn(f"{opening}This desk has no flight tools here, so I can do nothing.")
    origin, destination = route(f"from {talk.enquiry.get('origin')} to {talk.enquiry.get('destination')}")
    if origin and destination:
        return _search(talk, opening, origin, destination)
    return Turn(f"{opening}From where to where, and on which date, shall I search?")


def _search(talk: Talk, opening: str, origin: Place, destination: Place) -> Turn:
    days = _days(talk)
    if not days:
        return Turn(f"{opening}From {origin.name} to {destination.name}: on which date?")
    outbound = days[0]
    given: dict[str, Any] = {
        "origin": origin.code,
        "destination": destination.code,
        "outbound_date": outbound.isoformat(),
        "passengers": _party(talk),
    }
    back = next((day for day in days[1:] if day >= outbound), None)
    told = newest(lambda text: has(text, "return", "back", "round", "until", "to \\d") or None, talk.request)
    if back and (told or not _told_days(talk)):
        given["return_date"] = back.isoformat()
    given |= _aged(given["passengers"], _ages(talk, back or outbound))
    given |= newest(_comfort, talk.request) or {}
    when = f"{outbound.day} {outbound:%B %Y}"
    said = f"I search flights from {origin.name} ({origin.code}) to {destination.name} ({destination.code}) on {when}."
    return Turn(opening + said, ToolUse("search_flights", given))


def _route(talk: Talk) -> tuple[Place | None, Place | None]:
    """The route from the newest text that names both ends, else combined from several."""
    read = [route(text) for text in talk.request]
    whole = next((pair for pair in read if all(pair)), None)
    if whole:
        return whole
    return next((o for o, _ in read if o), None), next((d for _, d in read if d), None)


def _days(talk: Talk) -> list[date]:
    """The days that are told, else those of the enquiry."""
    wished = (talk.enquiry.get("depart_date"), talk.enquiry.get("return_date"))
    return _told_days(talk) or [date.fromisoformat(str(day)) for day in wished if day]


def _told_days(talk: Talk) -> list[date]:
    return newest(lambda text: dates(text, talk.today) or None, talk.request) or []


def _party(talk: Talk) -> dict[str, int]:
    text = "\n".join(talk.request)
    party = {
        "adult": counted(text, "adults?|people|persons|passengers|of us"),
        "child": counted(text, "child(?:ren)?|kids?"),
        "infant": counted(text, "infants?|bab(?:y|ies)"),
        "senior": counted(text, "seniors?"),
    }
    known = {kind: count for kind, count in party.items() if count}
    return known or {"adult": len(_persons(talk)) or int(talk.enquiry.get("travellers") or 1)}


def _ages(talk: Talk, last_day: date) -> list[int]:
    """The ages of children that are told, or follow from births of which one is told for each child."""
    if told := newest(lambda text: ages(text) or None, talk.request):
        return told
    births = newest(lambda text: born(text, talk.today) or None, talk.request) or []
    return [age for birth in births if (age := age_on(last_day, birth)) < MAJORITY]


def _aged(party: dict[str, int], told: Sequence[int]) -> dict[str, Any]:
    """The party with ages, if there is one for each child of it; nothing is guessed."""
    if not told or len(told) != sum(party.get(kind, 0) for kind in YOUNG):
        return {}
    infants = sum(age < CHILD_FROM for age in told)
    counts = {**party, "child": len(told) - infants, "infant": infants}
    return {"passengers": {kind: count for kind, count in counts.items() if count}, "ages": list(told)}


def _comfort(text: str) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for stem, cabin in (("premium", "premium_economy"), ("business", "business"), ("first class", "first")):
        if has(text, stem):
            found["cabin"] = cabin
    if has(text, "direct", "non-?stop"):
        found["direct_only"] = True
    return found or None


def _persons(talk: Talk) -> list[dict[str, str]]:
    return newest(lambda text: persons(text) or None, talk.request) or []


def _after(talk: Talk, news: Sequence[Call]) -> Turn:
    """The reply to results."""
    names = {call.name for call in news}
    if names == {"upsert_passenger"} and not visas.asked_for(talk):
        return _book(talk, news)
    last = news[-1]
    if (turn := visas.after(talk, last)) is not None:
        return turn
    if _without_ages(talk) is last:
        return Turn("Airlines price children by age: how old will each be on the day of the last flight?")
    if last.name == "search_flights" and not trouble(last, "the search"):
        return _found(talk, last)
    return Turn(" ".join(_told(call) for call in news))


def _found(talk: Talk, search: Call) -> Turn:
    fares = listed(search.output, "fares")
    if not fares:
        return Turn("I found no flight for that day. Shall I look at another date?")
    if (wants_booking(talk.request) or _wants_hold(talk)) and "upsert_passenger" in talk.tools:
        return _take_down(talk, search, f"I found {search.output.get('count', len(fares))} fares. ")
    lines = "".join(f"\n{place}. {_fare(fare)}" for place, fare in enumerate(_cheapest_first(fares)[:SHOWN], start=1))
    return Turn(
        f"I found {search.output.get('count', len(fares))} fares. The cheapest:{lines}\nShall I book one of them?"
    )


def _cheapest_first(fares: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(fares, key=lambda fare: price(fare.get("price")))


def _fare(fare: dict[str, Any]) -> str:
    stops = fare.get("stops")
    way = "direct" if stops in (0, None) else f"{stops} stop{'s' if stops != 1 else ''}"
    return (
        f"{fare.get('carrier')}, {str(fare.get('departs_at'))[:16].replace('T', ' ')} UTC, {way}, {fare.get('price')}"
    )


def _pick(talk: Talk, search: Call) -> dict[str, Any] | None:
    """The fare meant: by its number in the list, else the cheapest, of those that can be held if that is asked for."""
    fares, place = _cheapest_first(listed(search.output, "fares")), newest(chosen, talk.request)
    if place is None and _wants_hold(talk):
        fares = [fare for fare in fares if fare.get("hold_possible") is not False] or fares
    place = place or 1
    return fares[min(place, len(fares)) - 1] if fares else None


def _take_down(talk: Talk, search: Call, opening: str) -> Turn:
    fare = _pick(talk, search)
    if fare is None:
        return Turn(f"{opening}There is no fare to book. Shall I search again?")
    party = search.input.get("passengers") or {"adult": 1}
    named = _persons(talk)
    if len(named) > sum(party.values()):
        again = {**search.input, "passengers": {"adult": len(named)}}
        return Turn(f"{opening}For {len(named)} persons I search again.", ToolUse("search_flights", again))
    travellers = _party_members(talk, party, named)
    if not travellers:
        return Turn(f"{opening}The fare would be {_fare(fare)}. {_who(party, named)}")
    names = " and ".join(person["full_name"] for person in travellers)
    calls = [ToolUse("upsert_passenger", dict(person)) for person in travellers]
    return Turn(f"{opening}I take {_fare(fare)}, and note {names} as passenger.", *calls)


def _kinds(party: dict[str, int]) -> list[str]:
    return [kind for kind in ("adult", "senior", "child", "infant") for _ in range(party.get(kind, 0))]


def _who(party: dict[str, int], named: Sequence[dict[str, str]]) -> str:
    """The question for what only the user can know: names, and when those who pay less were born."""
    kinds = _kinds(party)
    if len(named) < len(kinds):
        return f"Who travels: which {len(kinds)} full name{'s' if len(kinds) > 1 else ''} shall I book it for?"
    return "When were the children born? Tell me whom to book it for, and after 'born' the date of each child?"


def _party_members(talk: Talk, party: dict[str, int], named: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """One passenger for each place of the fare, children last; empty if a name or a child's birth date is missing."""
    kinds = _kinds(party)
    births = newest(lambda text: born(text, talk.today) or None, talk.request) or []
    if len(named) < len(kinds) or len(births) < sum(kind in YOUNG for kind in kinds):
        return []
    members = []
    for kind, person in zip(kinds, named, strict=False):
        member = {**person} if kind == "adult" else {**person, "type": kind}
        if kind in YOUNG:
            member["date_of_birth"] = births.pop(0).isoformat()
        members.append(member)
    if len(members) == 1:
        members[0] |= newest(lambda text: details(text) or None, talk.request) or {}
        members[0] |= newest(lambda text: passport(text) or None, talk.request) or {}
    return members


def _book(talk: Talk, noted: Sequence[Call]) -> Turn:
    failed = next((text for call in noted if (text := trouble(call, "the passenger's entry"))), None)
    search = talk.latest("search_flights")
    fare = _pick(talk, search) if search else None
    if failed or fare is None:
        return Turn(failed or "The passenger is noted. There is no fare to book yet; shall I search?")
    tool = "hold_flight" if "hold_flight" in talk.tools and _wants_hold(talk) else "book_flight"
    if tool not in talk.tools:
        return Turn("The passenger is noted, but this desk cannot book here.")
    given = {"fare_id": fare.get("fare_id"), "passenger_ids": [call.output.get("passenger_id") for call in noted]}
    said = "I ask for a hold." if tool == "hold_flight" else "The booking is ready; a person must approve it."
    return Turn(said, ToolUse(tool, given))


def _wants_hold(talk: Talk) -> bool:
    return bool(newest(lambda text: has(text, "hold\\b") or None, talk.request))


_EFFECTS = {
    "search_flights": "the search",
    "upsert_passenger": "the passenger's entry",
    "lookup_passenger": "the look-up",
    "hold_flight": "the hold",
    "book_flight": "the booking",
    "issue_ticket": "the ticket",
    "cancel_flight_order": "the cancellation",
    "read_pnr": "the look-up",
    **visas.EFFECTS,
}


def _told(call: Call) -> str:
    """A result in a sentence."""
    output = call.output
    failed = trouble(call, _EFFECTS.get(call.name, call.name))
    if failed:
        return failed
    match call.name:
        case "book_flight":
            return f"Booked: locator {output.get('locator')}, {output.get('price')}, {output.get('status')}."
        case "hold_flight":
            return f"On hold until {output.get('hold_expires_at')}: locator {output.get('locator')}."
        case "lookup_passenger":
            names = [str(person.get("full_name")) for person in listed(output, "passengers")]
            return f"I know {', '.join(names)}." if names else "I know nobody of that name."
        case "issue_ticket":
            return f"Issued: {', '.join(str(ticket.get('number')) for ticket in listed(output, 'tickets'))}."
        case "cancel_flight_order":
            return cancelled(call)
        case "read_pnr":
            numbers = [str(ticket.get("number")) for ticket in listed(output, "tickets")]
            tickets = f", tickets {', '.join(numbers)}" if numbers else ""
            return f"{output.get('locator')}: {output.get('status')}, {output.get('price')}{tickets}."
        case "open_visa_file" | "update_visa_file":
            return visas.told(call)
    return f"{_EFFECTS.get(call.name, call.name).capitalize()} is done."
