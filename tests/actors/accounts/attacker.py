"""An attacker with a stolen session and all they may try with it; and the owner, who reads the first mailbox."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import pyotp

from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.second_factor import SetUpTotp, SignInTotp, VerifyTotp
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.domain.identity import Principal, Role
from voyagent.storage.engine.sealing import Sealing

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

RING = {"default": bytes(range(32))}
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")
STOLEN, NEW = "i-am-not-asha-99", "velvet-harbour-93"
NUMBERS = count()
SWITCHES = {"auth_skip_email_verification": False, "auth_debug_tokens": True, "env": "development"}


async def mailbox(harness: AccountsHarness, email: str, kind: str) -> list[str]:
    """The tokens of all e-mails of a kind to an address, oldest first: nobody has delivered them yet."""
    rows = await harness.db.fetch(
        "SELECT id::text, payload_sealed FROM outbox"
        " WHERE recipient = $1 AND kind = $2 AND payload_sealed IS NOT NULL ORDER BY created_at, id",
        email,
        kind,
    )
    opened = (
        Sealing(RING).open(row["payload_sealed"], table="outbox", column="payload_sealed", row=row["id"])
        for row in rows
    )
    return [json.loads(plain)["token"] for plain in opened]


async def attempt(act: Awaitable[Any]) -> Any:
    """What it answers, or None if it is refused."""
    try:
        return await act
    except Refusal:
        return None


@dataclass(slots=True)
class Attacker:
    """Begins with a session's tokens and keeps everything anybody ever gave them."""

    harness: AccountsHarness
    owner: str
    """The address whose mailbox is the owner's alone."""
    tokens: list[str]
    addresses: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    refreshes: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    seeds: list[str] = field(default_factory=list)

    async def who(self) -> Principal | None:
        """Who the newest token that still works is; a new one is got where that goes."""
        for token in reversed(self.tokens):
            if (who := await attempt(self.harness.who(token))) is not None:
                principal: Principal = who
                return principal
        return await self.who() if await self.refresh() else None

    async def act(self, name: str) -> None:
        """Do one of ``ACTS``, if it can be done."""
        await ACTS[name](self)

    async def ask(self, make: Callable[[Principal], Any]) -> Any:
        who = await self.who()
        return None if who is None else await attempt(self.harness.ref.ask(make(who)))

    async def move(self, email: str) -> Any:
        return await self.ask(
            lambda who: accounts.UpdateProfile(principal=who, full_name=None, email=email, origin=ORIGIN)
        )

    async def move_away(self) -> None:
        self.addresses.append(f"attacker-{next(NUMBERS)}@example.com")
        await self.move(self.addresses[-1])

    async def move_back(self) -> None:
        await self.move(self.owner)

    async def move_among(self) -> None:
        if self.addresses:
            await self.move(self.addresses[0])

    async def verify(self) -> None:
        """Open every verification e-mail of one's own mailboxes."""
        for email in self.addresses:
            for token in await mailbox(self.harness, email, "verification"):
                await attempt(self.harness.ref.ask(accounts.VerifyEmail(token=token, origin=ORIGIN)))

    async def undo(self) -> None:
        """Open every notice of a change in one's own mailboxes."""
        for email in self.addresses:
            for token in await mailbox(self.harness, email, "email_changed"):
                await attempt(self.harness.ref.ask(accounts.VerifyEmail(token=token, origin=ORIGIN)))

    async def reset(self) -> None:
        """Set a password by every reset e-mail in one's own mailboxes, having asked for one."""
        for email in self.addresses:
            await attempt(self.harness.ref.ask(accounts.RequestReset(email=email, origin=ORIGIN)))
            for token in await mailbox(self.harness, email, "password_reset"):
                self.passwords.append(STOLEN)
                await attempt(
                    self.harness.ref.ask(accounts.ResetPassword(token=token, new_password=STOLEN, origin=ORIGIN))
                )

    async def ask_reset_for_owner(self) -> None:
        await attempt(self.harness.ref.ask(accounts.RequestReset(email=self.owner, origin=ORIGIN)))

    async def change_password(self) -> None:
        for password in self.passwords:
            pair = await self.ask(
                lambda who, known=password: accounts.ChangePassword(  # type: ignore[misc]  # a default binds it
                    principal=who, current_password=known, new_password=STOLEN + "7", origin=ORIGIN
                )
            )
            if pair is not None:
                self.passwords.append(STOLEN + "7")
                self.tokens.append(pair.access_token)
                self.refreshes.append(pair.refresh_token)
                return

    async def sign_in(self) -> bool:
        """With every address and password one knows, and every code."""
        found = False
        for email in {self.owner, *self.addresses}:
            for password in dict.fromkeys(self.passwords):
                signed_in = await attempt(self.harness.sign_in(email, password))
                for seed in self.seeds:
                    code = pyotp.TOTP(seed).at(self.harness.clock.now())
                    entering = SignInTotp(email=email, password=password, code=code, origin=ORIGIN)
                    entered = await attempt(self.harness.ref.ask(entering))
                    signed_in = signed_in or (entered and entered.signed_in)
                if signed_in is not None:
                    found = True
                    self.tokens.append(signed_in.access_token)
                    self.refreshes.append(signed_in.refresh_token)
        return found

    async def refresh(self) -> bool:
        """With the newest token of each session: an older one would only end it."""
        found = False
        for token in list(self.refreshes):
            pair = await attempt(self.harness.ref.ask(accounts.Refresh(refresh_token=token, origin=ORIGIN)))
            if pair is not None:
                found = True
                self.refreshes.remove(token)
                self.tokens.append(pair.access_token)
                self.refreshes.append(pair.refresh_token)
        return found

    async def set_up_totp(self) -> None:
        made = await self.ask(lambda who: SetUpTotp(principal=who))
        if made is not None:
            self.seeds.append(made.secret)

    async def turn_totp_on(self) -> None:
        for seed in self.seeds:
            code = pyotp.TOTP(seed).at(self.harness.clock.now())
            await self.ask(
                lambda who, typed=code: VerifyTotp(principal=who, code=typed, origin=ORIGIN)  # type: ignore[misc]
            )

    async def mint(self) -> None:
        made = await self.ask(
            lambda who: accounts.CreateKey(principal=who, name="till", expires_in_days=None, origin=ORIGIN)
        )
        if made is not None:
            self.keys.append(made.value.key)

    async def invite(self) -> None:
        email = f"accomplice-{next(NUMBERS)}@example.com"
        made = await self.ask(
            lambda who: accounts.CreateInvite(principal=who, email=email, role=Role.AGENCY_ADMIN, origin=ORIGIN)
        )
        if made is not None:
            found = re.search(r"token=([\w-]{43})", made.value.link)
            assert found is not None
            self.links += [found[1], *await mailbox(self.harness, email, "invite")]

    async def squat(self) -> None:
        """Sign up with the owner's address, should it be free."""
        signed_in = await attempt(self.harness.sign_up(self.owner, STOLEN))
        assert signed_in is None

    async def wait(self) -> None:
        self.harness.clock.skip(5 * 3600)

    async def inside(self) -> list[str]:
        """What of all the attacker holds still opens a door."""
        doors = []
        if await self.sign_in():
            doors.append("password")
        if await self.refresh():
            doors.append("refresh token")
        if await self.who() is not None:
            doors.append("access token")
        doors += ["api key" for key in self.keys if await attempt(self.harness.who(key)) is not None]
        looks = [accounts.LookUpInvite(token=link, origin=ORIGIN) for link in self.links]
        doors += ["invite" for look in looks if await attempt(self.harness.ref.ask(look)) is not None]
        return doors


ACTS: dict[str, Callable[[Attacker], Awaitable[Any]]] = {
    "move away": Attacker.move_away,
    "move back": Attacker.move_back,
    "move among": Attacker.move_among,
    "verify": Attacker.verify,
    "undo": Attacker.undo,
    "reset": Attacker.reset,
    "ask a reset for the owner": Attacker.ask_reset_for_owner,
    "change password": Attacker.change_password,
    "sign in": Attacker.sign_in,
    "refresh": Attacker.refresh,
    "set totp up": Attacker.set_up_totp,
    "turn totp on": Attacker.turn_totp_on,
    "mint": Attacker.mint,
    "invite": Attacker.invite,
    "squat": Attacker.squat,
    "wait": Attacker.wait,
}
