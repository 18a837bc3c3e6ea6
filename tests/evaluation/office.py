"""An office: the whole service on an empty database, and days that are played through its HTTP surface."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import aiohttp
import asyncpg

from tests.evaluation.days import Day, Journal, Turn, money
from tests.evaluation.evidence import Evidence, collect
from tests.evaluation.grading import Miss, grade
from tests.service.shifted_clock import ShiftedClock
from voyagent.actors.domain.books import DraftLine
from voyagent.actors.domain.identity import Role
from voyagent.actors.foundation.config import Settings
from voyagent.actors.leased_store import leased_for
from voyagent.http.service import Service
from voyagent.storage.general_ledger import DraftJournal, Post

PASSWORD = "a long password 1"
TURN_SECONDS = 660.0
"""Longest wait for a turn: the service gives up after ten minutes."""
LED_TO = """
SELECT (SELECT count(*) FROM pending_approvals WHERE tenant_id = $1)
     + (SELECT count(*) FROM bookings WHERE tenant_id = $1)
"""


class Unexpected(Exception):
    """The service has answered what no day foresees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A day's evidence, its misses, and what it cost."""

    day: Day
    evidence: Evidence
    misses: tuple[Miss, ...]
    usage: dict[str, Any]
    """The totals of `/reports/usage`."""
    seconds: float

    @property
    def missed(self) -> set[str]:
        """The rules that do not hold."""
        return {miss.rule for miss in self.misses}


@dataclass(slots=True)
class Office:
    """A running service in which each day has an agency of its own."""

    service: Service
    http: aiohttp.ClientSession
    db: asyncpg.Connection
    """As the superuser."""
    clock: ShiftedClock
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def play(self, day: Day) -> Result:
        """Play one day and grade it."""
        begun = time.monotonic()
        agency = await Agency.found(self, day)
        for turn in day.turns:
            await agency.play(turn)
        evidence = await collect(self.db, agency.tenant_id, agency.session_id, self.clock.now().date())
        usage = (await agency.ask(Role.AGENCY_ADMIN, "GET", "/reports/usage"))["totals"]
        misses = tuple(grade(day, evidence))
        return Result(day=day, evidence=evidence, misses=misses, usage=usage, seconds=time.monotonic() - begun)


@asynccontextmanager
async def office(settings: Settings, admin_url: str) -> AsyncIterator[Office]:
    """The service, started, with a client and a superuser's view of its database."""
    clock = ShiftedClock()
    db = await asyncpg.connect(admin_url)
    try:
        timeout = aiohttp.ClientTimeout(total=TURN_SECONDS)
        async with Service(settings, clock) as service, aiohttp.ClientSession(service.url, timeout=timeout) as http:
            yield Office(service, http, db, clock)
    finally:
        await db.close()


@dataclass(slots=True)
class Agency:
    """The agency of one day, with a person of each role that the day needs."""

    office: Office
    day: Day
    number: int
    tenant_id: str = ""
    session_id: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    led_to: int = 0
    """Approvals and bookings after the last turn."""
    went_on: bool = False
    """Whether the last turn led to one."""

    @classmethod
    async def found(cls, office: Office, day: Day) -> Agency:
        """Sign up, invite, prepare the state of the day, and open its conversation."""
        agency = cls(office, day, next(office.numbers))
        person = {"email": agency.email(Role.AGENCY_ADMIN), "password": PASSWORD, "full_name": "Office Admin"}
        signed = await agency.request("POST", "/auth/sign-up", body={**person, "agency_name": day.name})
        agency.tenant_id = signed["user"]["tenant_id"]
        agency.tokens[Role.AGENCY_ADMIN] = signed["access_token"]
        for role in {day.speaker, *(turn.decider for turn in day.turns)} - {Role.AGENCY_ADMIN.value}:
            await agency.invite(role)
        await agency.prepare()
        return agency

    def email(self, role: str) -> str:
        return f"{role}-{self.number}@evaluation.example.com"

    async def invite(self, role: str) -> None:
        """Let somebody of this role join by an invite."""
        body = {"email": self.email(role), "role": role}
        invited = await self.ask(Role.AGENCY_ADMIN, "POST", "/auth/invites", body)
        token = invited["invite_link"].rsplit("token=", 1)[1]
        accepted = {"token": token, "password": PASSWORD, "full_name": role.replace("_", " ").title()}
        self.tokens[role] = (await self.request("POST", "/auth/accept-invite", body=accepted))["access_token"]

    async def prepare(self) -> None:
        """The state before the day: settings, journals, and the enquiry from which the conversation is opened."""
        before = self.day.before
        if before.settings:
            await self.ask(Role.AGENCY_ADMIN, "PATCH", "/tenant-settings", dict(before.settings))
        for at, journal in enumerate(before.journals):
            await self.post(f"before:{at}", journal)
        if before.enquiry is None:
            self.session_id = (await self.ask(self.day.speaker, "POST", "/chat/sessions"))["session_id"]
            return
        enquiry = await self.ask(self.day.speaker, "POST", "/enquiries", dict(before.enquiry))
        promoted = await self.ask(self.day.speaker, "POST", f"/enquiries/{enquiry['id']}/promote-to-session")
        self.session_id = promoted["session_id"]

    async def post(self, key: str, journal: Journal) -> None:
        """Post a journal as the system does, which no approval precedes."""
        lines = []
        for code, text in journal.lines.items():
            currency, amount = money(text)
            debit, credit = (amount, None) if amount > 0 else (None, -amount)
            lines.append(DraftLine(account=code, code=None, currency=currency, debit=debit, credit=credit, memo=None))
        draft = DraftJournal(
            tenant_id=self.tenant_id,
            entry_date=date.fromisoformat(journal.entry_date),
            narration=journal.narration,
            source_event="manual",
            drafts=tuple(lines),
            today=self.office.clock.now().date(),
            now=self.office.clock.now(),
        )
        by = (await self.ask(Role.AGENCY_ADMIN, "GET", "/auth/me"))["id"]
        system = self.office.service.system
        posted = await leased_for(system.storage, system.ownership, self.tenant_id).ask(
            Post(tenant_id=self.tenant_id, draft=draft, key=key, by=by)
        )
        if not isinstance(posted, str):
            raise Unexpected(f"the journal was not posted: {posted}")

    async def play(self, turn: Turn) -> None:
        """One message, and the decisions on what waits after it."""
        if turn.minutes_before:
            self.office.clock.shift(60.0 * turn.minutes_before)
            await self.sign_in_again()
        if turn.only_if_asked_back and self.went_on:
            return
        await self.follow({"message": turn.says, "on_busy": "queue"})
        led_to = await self.office.db.fetchval(LED_TO, self.tenant_id)
        self.went_on, self.led_to = led_to > self.led_to, led_to
        if turn.decides == "leave":
            return
        decided: set[str] = set()
        while new := [approval["id"] for approval in await self.waiting() if approval["id"] not in decided]:
            for approval in new:
                decision = {"granted": turn.decides == "grant"}
                await self.ask(turn.decider, "POST", f"/approvals/{approval}/resolve", decision, may=(200, 403, 409))
            decided.update(new)
            await self.follow({}, **{"Last-Event-ID": "0"})

    async def waiting(self) -> list[dict[str, Any]]:
        """The approvals of the conversation that nobody has decided."""
        path = f"/approvals?status=pending&session_id={self.session_id}"
        pending: list[dict[str, Any]] = (await self.ask(Role.AGENCY_ADMIN, "GET", path))["items"]
        return pending

    async def follow(self, body: dict[str, Any], **headers: str) -> None:
        """Send a message, or nothing, and read the stream until the turn has ended or waits."""
        headers |= {"Authorization": f"Bearer {self.tokens[self.day.speaker]}"}
        path = f"/chat/sessions/{self.session_id}/messages"
        async with self.office.http.post(path, json=body, headers=headers) as response:
            text = await response.read()
            if response.status != 200:
                raise Unexpected(f"POST {path}: {response.status} {text.decode()}")

    async def sign_in_again(self) -> None:
        """Get new access tokens: those before have expired."""
        for role in self.tokens:
            body = {"email": self.email(role), "password": PASSWORD}
            self.tokens[role] = (await self.request("POST", "/auth/sign-in", body=body))["access_token"]

    async def ask(
        self, role: str, method: str, path: str, body: dict[str, Any] | None = None, *, may: tuple[int, ...] = ()
    ) -> Any:
        """The JSON of a request by somebody of this role; ``may`` lists statuses that are no failure."""
        headers = {"Authorization": f"Bearer {self.tokens[role]}"}
        return await self.request(method, path, body=body, headers=headers, may=may)

    async def request(self, method: str, path: str, *, may: tuple[int, ...] = (), **more: Any) -> Any:
        """The JSON of a request."""
        sent = {"json": more.pop("body", None), **more}
        async with self.office.http.request(method, path, **sent) as response:
            answer = await response.json()
            if response.status >= 300 and response.status not in may:
                raise Unexpected(f"{method} {path}: {response.status} {answer}")
            return answer
