"""The demo agency's work: enquiries, bookings, invoices and bills, made over HTTP as its people would make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import aiohttp

from .domain.identity import Role

TURN_SECONDS = 120.0
MOST_DECISIONS = 5
"""Approvals that one message leads to, at most."""


class SeedError(Exception):
    """The service has not done what the demo needs; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """One conversation: what is said, and the tools that are approved on the way.

    A message may be denied at the end, or left undecided.
    """

    speaker: Role
    decider: Role
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    denied: str | None = None
    undecided: str | None = None
    tour: bool = False
    """Whether it is the one with the fullest itinerary."""
    enquiry: Mapping[str, Any] | None = None
    becomes: tuple[str, ...] = ()
    """The states of the enquiry after the conversation, one after the other."""


def enquiries(today: date) -> tuple[tuple[dict[str, Any], tuple[str, ...]], ...]:
    """Enquiries without a conversation, and the states they are moved to."""
    first = {"customer_name": "Rohan Mehta", "customer_email": "rohan@example.com", "origin": "Mumbai"}
    second = {"customer_name": "Sara Khan", "customer_phone": "+971 50 000 0000", "destination": "Maldives"}
    third = {"customer_name": "Leela Nair", "origin": "Kochi", "destination": "Dubai", "notes": "Has booked elsewhere."}
    twice = {"customer_name": "S. Khan", "customer_phone": "00971500000000", "destination": "Maldives", "pax_count": 4}
    return (
        ({**first, "destination": "London", "depart_date": _day(today, 75), "pax_count": 2}, ()),
        ({**second, "budget_amount": "150000.00", "budget_currency": "INR"}, ()),
        (third, ("cancelled",)),
        (twice, ()),
    )


def travel(today: date) -> tuple[Talk, ...]:
    """Conversations of the travel desks: booked, ticketed, held, quoted, cancelled and denied, and an open approval."""
    meera = {"customer_name": "Meera Iyer", "origin": "Delhi", "destination": "Singapore"}
    vikram = {"customer_name": "Vikram Shah", "origin": "Mumbai", "destination": "Bangkok"}
    lead: dict[str, Any] = {"speaker": Role.AGENT, "decider": Role.TICKETING_LEAD}
    book = f"Book the cheapest flight from Delhi to Singapore on {_day(today, 45)} for Meera Iyer"
    fly = f"Book the cheapest flight from Mumbai to Dubai on {_day(today, 60)} for 1 adult and 1 child"
    family = f"{fly}, passengers Asha Rao and Anu Rao, born {_day(today, -8 * 365)}"
    stay = f"Book a hotel in Dubai from {_day(today, 60)} to {_day(today, 63)} for 1 adult and 1 child aged 8"
    visa = f"Open a tourist visa file for Asha Rao to the United Arab Emirates, travelling on {_day(today, 60)}"
    changed = f"Book the cheapest flight from Delhi to London on {_day(today, 90)} for Farhan Ali"
    dear = f"Book the cheapest first class flight from Mumbai to London on {_day(today, 35)} for Kabir Rao"
    hold = f"Find a business flight from Mumbai to London on {_day(today, 50)}"
    quote = f"Only look for flights from Mumbai to Bangkok on {_day(today, 40)}"
    ask = f"Book the cheapest flight from Bengaluru to Colombo on {_day(today, 30)} for Neha Gupta"
    return (
        Talk(
            **lead,
            texts=((book, ("book_flight",)), ("Please issue the ticket", ("issue_ticket",))),
            enquiry={**meera, "depart_date": _day(today, 45)},
            becomes=("quoted", "booked"),
        ),
        Talk(
            **lead,
            texts=(
                (family, ("book_flight",)),
                (f"{stay}, for Asha Rao", ("book_hotel",)),
                (visa, ()),
                ("The passport and the photograph are collected", ()),
            ),
            tour=True,
        ),
        Talk(**lead, texts=((changed, ("book_flight",)), ("Please cancel this flight", ("cancel_flight_order",)))),
        Talk(**lead, texts=(), denied=dear),
        Talk(**lead, texts=((hold, ()), ("Put the flight on hold for Kabir Rao", ()))),
        Talk(**lead, texts=((quote, ()),), enquiry={**vikram, "depart_date": _day(today, 40)}, becomes=("quoted",)),
        Talk(**lead, texts=(), undecided=ask),
    )


def books(today: date) -> tuple[Talk, ...]:
    """Conversations of the accounting desk, one a document: each age, and several currencies, are in the books."""
    invoice, issue, pay = "Draft an invoice for {} over {} dated {} due {}", " and issue it", "record_payment"
    made, issued = ("draft_invoice",), ("draft_invoice", "issue_invoice")
    bill = "Record a bill from {} over {} reference {} dated {} due {}"
    documents: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...] = (
        ((_said(invoice, today, "Mehta Exports", "INR 45200.00", -130, -100) + issue, issued),),
        ((_said(invoice, today, "Falcon Trading", "AED 3500.00", -100, -70) + issue, issued),),
        ((_said(invoice, today, "Nordic Design", "EUR 1840.50", -75, -45) + issue, issued),),
        (
            (_said(invoice, today, "Khan Textiles", "INR 88000.00", -40, -10) + issue, issued),
            ("Record a payment of INR 30000.00 on the invoice by UPI", (pay,)),
        ),
        (
            (_said(invoice, today, "Shah Pharma", "USD 1200.00", -20, 10) + issue, issued),
            ("Record a payment of USD 1200.00 on the invoice by bank transfer", (pay,)),
        ),
        ((_said(invoice, today, "Iyer Family", "INR 52750.00", 0, 30) + issue, issued),),
        ((_said(invoice, today, "Gupta Events", "INR 9900.00", 0, 30), made),),
        (
            (_said(invoice, today, "Patel Weddings", "INR 7500.00", -5, 25) + issue, issued),
            ("Void the invoice because it was made twice", ("void_invoice",)),
        ),
        (("Post a journal: debit 1000 and credit 3000 with INR 250000.00", ("post_journal_entry",)),),
        ((_said(bill, today, "Emirates", "AED 2900.00", "EK-2207", -95, -65), ("record_bill",)),),
        (
            (_said(bill, today, "Lutyens Court", "INR 31000.00", "LC-118", -70, -40), ("record_bill",)),
            ("Pay the bill with INR 11000.00 by bank transfer", ("pay_bill",)),
        ),
        (
            (_said(bill, today, "Air India", "INR 40100.00", "AI-9031", -15, 15), ("record_bill",)),
            ("Pay the bill with INR 40100.00 by bank transfer", ("pay_bill",)),
        ),
        ((_said(bill, today, "Galle Terrace", "USD 640.00", "GT-77", 0, 30), ("record_bill",)),),
        (
            (_said(bill, today, "City Cabs", "INR 5000.00", "CC-9", -120, -105), ("record_bill",)),
            (_said("Pay the bill on {} by bank transfer", today, 10), ("pay_bill",)),
        ),
    )
    lead: dict[str, Any] = {"speaker": Role.ACCOUNTING_LEAD, "decider": Role.ACCOUNTING_LEAD}
    return tuple(Talk(**lead, texts=texts) for texts in documents)


def _said(form: str, today: date, *values: str | int) -> str:
    """``form`` with the values; a number is a day counted from today."""
    return form.format(*(_day(today, value) if isinstance(value, int) else value for value in values))


def _day(today: date, offset: int) -> str:
    return (today + timedelta(days=offset)).isoformat()


@dataclass(slots=True)
class Office:
    """The demo agency's people at work, each signed in."""

    http: aiohttp.ClientSession
    url: str
    tokens: dict[Role, str] = field(default_factory=dict)

    async def sign_in(self, role: Role, email: str, password: str) -> None:
        """Sign somebody in."""
        answer = await self._request("POST", "/auth/sign-in", {}, {"email": email, "password": password})
        self.tokens[role] = answer["access_token"]

    async def work(self, today: date) -> str:
        """All of the demo's work; the conversation with the fullest itinerary. Raises ``SeedError``."""
        for given, states in enquiries(today):
            await self._move(await self._ask(Role.AGENT, "POST", "/enquiries", given), states)
        tour = ""
        for talk in (*travel(today), *books(today)):
            session = await self._hold(talk)
            tour = session if talk.tour else tour
        return tour

    async def _hold(self, talk: Talk) -> str:
        """Hold one conversation, and decide as its texts say. Its id."""
        enquiry: dict[str, Any] = {}
        if talk.enquiry is None:
            session = str((await self._ask(talk.speaker, "POST", "/chat/sessions"))["session_id"])
        else:
            enquiry = await self._ask(talk.speaker, "POST", "/enquiries", dict(talk.enquiry))
            path = f"/enquiries/{enquiry['id']}/promote-to-session"
            session = str((await self._ask(talk.speaker, "POST", path))["session_id"])
        for text, tools in talk.texts:
            await self._follow(talk.speaker, session, {"message": text})
            decided = await self._decide(talk, session)
            if decided != tools:
                raise SeedError(f"{text!r} led to {list(decided)}, not to {list(tools)}")
        if talk.denied is not None:
            await self._follow(talk.speaker, session, {"message": talk.denied})
            denied = await self._decide(talk, session, granted=False)
            if not denied:
                raise SeedError(f"{talk.denied!r} led to no approval")
        if talk.undecided is not None:
            await self._follow(talk.speaker, session, {"message": talk.undecided})
        await self._move(enquiry, talk.becomes)
        return session

    async def _decide(self, talk: Talk, session: str, *, granted: bool = True) -> tuple[str, ...]:
        """Decide what waits, until nothing does; the tools in their order."""
        decision = {"granted": granted, "reason": None if granted else "Too expensive for the customer"}
        decided: list[str] = []
        for _ in range(MOST_DECISIONS):
            path = f"/approvals?status=pending&session_id={session}"
            waiting = (await self._ask(talk.decider, "GET", path))["items"]
            if not waiting:
                break
            for approval in waiting:
                await self._ask(talk.decider, "POST", f"/approvals/{approval['id']}/resolve", decision)
                decided.append(approval["tool_name"])
            await self._follow(talk.speaker, session, {}, {"Last-Event-ID": "0"})
        return tuple(decided)

    async def _move(self, enquiry: Mapping[str, Any], states: tuple[str, ...]) -> None:
        for state in states:
            await self._ask(Role.AGENT, "PATCH", f"/enquiries/{enquiry['id']}", {"status": state})

    async def _follow(
        self, role: Role, session: str, body: dict[str, Any], more: Mapping[str, str] | None = None
    ) -> None:
        """Send a message, or nothing, and read the stream to its end."""
        headers = {"Authorization": f"Bearer {self.tokens[role]}", **(more or {})}
        path = f"/chat/sessions/{session}/messages"
        async with self.http.post(self.url + path, json=body, headers=headers) as response:
            text = await response.text()
        if not response.ok:
            raise SeedError(f"POST {path}: {response.status} {text}")

    async def _ask(self, role: Role, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return await self._request(method, path, {"Authorization": f"Bearer {self.tokens[role]}"}, body)

    async def _request(self, method: str, path: str, headers: Mapping[str, str], body: dict[str, Any] | None) -> Any:
        async with self.http.request(method, self.url + path, headers=headers, json=body) as response:
            answer = await response.json()
        if not response.ok:
            raise SeedError(f"{method} {path}: {response.status} {answer}")
        return answer


async def work(url: str, people: Mapping[Role, str], password: str, today: date) -> str:
    """Sign the people in at the service that listens at ``url``, and do the demo's work there. Raises ``SeedError``.

    Returns the conversation with the fullest itinerary.
    """
    timeout = aiohttp.ClientTimeout(total=TURN_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        office = Office(http, url)
        for role in (Role.AGENT, Role.TICKETING_LEAD, Role.ACCOUNTING_LEAD):
            await office.sign_in(role, people[role], password)
        return await office.work(today)
