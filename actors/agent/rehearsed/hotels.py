"""The hotels desk's script: search, check the rate again, store the guests, book."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from .outcomes import DESK_NOTICE, cancelled, listed, price, trouble
from .places import Place, mentioned
from .talk import Call, Talk
from .turns import ToolUse, Turn
from .words import ages, agrees, chosen, counted, dates, has, newest, persons, wants_booking


def reply(talk: Talk) -> Turn:
    """The desk's next text or calls."""
    if talk.news and not talk.fresh:
        return _after(talk, talk.news)
    told = "".join(f"{_told(call)} " for call in talk.news)
    opening = f"{DESK_NOTICE} {told}"
    if "search_hotels" not in talk.tools:
        return Turn(f"{opening}This desk has no hotel tools here, so I can do nothing.")
    booked = talk.latest("book_hotel")
    if (
        booked
        and booked.output.get("booking_id")
        and "cancel_hotel_booking" in talk.tools
        and has(talk.latest_words, "cancel")
    ):
        stay = {"booking_id": booked.output.get("booking_id")}
        said = "I prepare the cancellation; a person must approve it."
        return Turn(f"{opening}{said}", ToolUse("cancel_hotel_booking", stay))
    if booked and "read_hotel_booking" in talk.tools and has(talk.latest_words, "show", "read", "status"):
        stay = {"booking_id": booked.output.get("booking_id")}
        return Turn(f"{opening}I read the booking.", ToolUse("read_hotel_booking", stay))
    return _asked(talk, opening)


def _asked(talk: Talk, opening: str) -> Turn:
    """The reply to requests for a stay."""
    place = newest(_place, talk.request)
    searched = talk.latest("search_hotels")
    if place is None and searched and (wants_booking(talk.request) or any(map(agrees, talk.request))):
        return _check(talk, searched, opening)
    if place is None:
        return Turn(f"{opening}In which city, and from when to when, shall I search?")
    stay = newest(lambda text: _stay(text, talk.today), talk.request)
    if stay is None:
        return Turn(f"{opening}{place.name}: from when to when?")
    return _search(talk, opening, place, stay)


def _place(text: str) -> Place | None:
    return next((place for _, place in mentioned(text)), None)


def _stay(text: str, today: date) -> tuple[date, date] | None:
    days = dates(text, today)
    if not days:
        return None
    nights = counted(text, "nights?")
    until = days[0] + timedelta(days=nights) if nights else next((day for day in days[1:] if day > days[0]), None)
    return (days[0], until or days[0] + timedelta(days=1))


def _search(talk: Talk, opening: str, place: Place, stay: tuple[date, date]) -> Turn:
    text = "\n".join(talk.request)
    told = newest(lambda words: ages(words) or None, talk.request) or []
    children = counted(text, "child(?:ren)?|kids?") or len(told)
    if len(told) != children:
        return Turn(f"{opening}Hotels price children by age: how old will each child be at check-in?")
    adults = counted(text, "adults?") or max(1, len(_persons(talk)))
    given: dict[str, Any] = {
        "country": place.country,
        "city": place.name,
        "check_in": stay[0].isoformat(),
        "check_out": stay[1].isoformat(),
        "guests": counted(text, "guests?|people|persons") or adults + children,
    }
    if told:
        given["children_ages"] = told
    if rooms := counted(text, "rooms?"):
        given["rooms"] = rooms
    said = f"I search hotels in {place.name} from {stay[0].isoformat()} to {stay[1].isoformat()}."
    return Turn(opening + said, ToolUse("search_hotels", given))


def _persons(talk: Talk) -> list[dict[str, str]]:
    return newest(lambda text: persons(text) or None, talk.request) or []


def _after(talk: Talk, news: Sequence[Call]) -> Turn:
    last = news[-1]
    failed = trouble(last, _EFFECTS.get(last.name, last.name))
    if failed:
        return Turn(failed)
    match last.name:
        case "search_hotels":
            return _found(talk, last)
        case "check_hotel_rate" if wants_booking(talk.request) and "upsert_passenger" in talk.tools:
            guests = _persons(talk)
            if not guests:
                return Turn(f"The rate holds at {last.output.get('price')}. Who stays: whom shall I book it for?")
            calls = [ToolUse("upsert_passenger", guest | talk.known(guest["full_name"])) for guest in guests]
            return Turn(f"The rate holds at {last.output.get('price')}. I note the guests.", *calls)
        case "upsert_passenger":
            return _book(talk, news)
    return Turn(" ".join(_told(call) for call in news))


def _found(talk: Talk, search: Call) -> Turn:
    results = _cheapest_first(search)
    offers = listed(search.output, "offers")
    if not results and offers:
        best = min(offers, key=lambda offer: price(offer.get("price")))
        return Turn(
            f"{best.get('property_name')} asks {best.get('price')}. It can be quoted, but not booked, from here."
        )
    if not results:
        return Turn("I found no hotel for those nights. Shall I look at other dates?")
    if wants_booking(talk.request):
        return _check(talk, search, f"I found {search.output.get('count', len(results))} hotels. ")
    lines = "".join(f"\n{place}. {_hotel(hotel)}" for place, hotel in enumerate(results[:3], start=1))
    return Turn(
        f"I found {search.output.get('count', len(results))} hotels. The cheapest:{lines}\nShall I book one of them?"
    )


def _cheapest_first(search: Call) -> list[dict[str, Any]]:
    return sorted(listed(search.output, "results"), key=lambda hotel: price(hotel.get("from_price")))


def _hotel(hotel: dict[str, Any]) -> str:
    return f"{hotel.get('name')}, {hotel.get('star_rating') or '?'} stars, from {hotel.get('from_price')}"


def _check(talk: Talk, search: Call, opening: str) -> Turn:
    """Check the rate again: it may have changed since the search."""
    results = _cheapest_first(search)
    place = newest(chosen, talk.request) or 1
    hotel = results[min(place, len(results)) - 1] if results else {}
    keys = hotel.get("rate_keys") or []
    if not keys or "check_hotel_rate" not in talk.tools:
        return Turn(f"{opening}There is no rate to book. Shall I search again?")
    return Turn(
        f"{opening}I take {_hotel(hotel)}, and check its rate.", ToolUse("check_hotel_rate", {"rate_key": keys[0]})
    )


def _book(talk: Talk, noted: Sequence[Call]) -> Turn:
    checked = talk.latest("check_hotel_rate")
    if checked is None or "book_hotel" not in talk.tools:
        return Turn("The guests are noted, but there is no rate to book yet.")
    guests = [call.output.get("passenger_id") for call in noted]
    given = {"rate_key": checked.output.get("rate_key"), "passenger_ids": guests}
    return Turn("The booking is ready; a person must approve it.", ToolUse("book_hotel", given))


_EFFECTS = {
    "search_hotels": "the search",
    "check_hotel_rate": "the rate",
    "upsert_passenger": "the guest's entry",
    "book_hotel": "the booking",
    "cancel_hotel_booking": "the cancellation",
    "read_hotel_booking": "the look-up",
}


def _told(call: Call) -> str:
    failed = trouble(call, _EFFECTS.get(call.name, call.name))
    if failed:
        return failed
    if call.name == "book_hotel":
        return f"Booked: {call.output.get('supplier_ref')}, {call.output.get('status')}."
    if call.name == "check_hotel_rate":
        return f"The rate is {call.output.get('price')}. Shall I book it?"
    if call.name == "read_hotel_booking":
        stay = f"{call.output.get('check_in')} to {call.output.get('check_out')}"
        return f"The stay {stay} is {call.output.get('status')}, {call.output.get('price')}."
    if call.name == "cancel_hotel_booking":
        return cancelled(call)
    return f"{_EFFECTS.get(call.name, call.name).capitalize()} is done."
