"""E-mail flows: verification of addresses, password resets, undone changes of address, and delivery."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.actors.accounts.test_second_factor import code, set_up, turned_on, verify
from tests.figures import counted
from voyagent.actors import mail
from voyagent.actors.accounts import actor as accounts
from voyagent.actors.accounts.emails import Envelope, Folder, Undelivered, transport
from voyagent.actors.accounts.outgoing import OutgoingEmails
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.email_texts import PAGES, WORDS, Kind, compose, link
from voyagent.actors.domain.errors import BadRequest, WeakPassword
from voyagent.actors.domain.identity import Principal
from voyagent.actors.foundation.config import ConfigurationError, Settings
from voyagent.storage import outbox
from voyagent.storage.engine.sealing import NotOpened

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

Code = Callable[[Awaitable[Any]], Awaitable[str]]

SECRET = "the secret these tests sign with, and nobody else"
RING = {"default": bytes(range(32))}
PASSWORD, OTHER = "mango-trellis-47", "velvet-harbour-93"
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")


class FakeTransport:
    """What a mail server took, newest last; it can be away."""

    shows_links = False

    def __init__(self) -> None:
        self.emails: list[EmailMessage] = []
        self.tried = 0
        self.away = False

    async def deliver(self, ready: Envelope) -> None:
        self.tried += 1
        if self.away:
            raise Undelivered("away")
        self.emails.append(ready.message)

    def subjects(self, to: str) -> list[str]:
        return [str(email["Subject"]) for email in self.emails if email["To"] == to]

    def token(self, to: str) -> str:
        """The token of the newest email to this address."""
        body = next(email for email in reversed(self.emails) if email["To"] == to).get_body(("plain",))
        assert body is not None
        found = re.search(r"\?token=([\w-]{43})\s", body.get_content())
        assert found is not None
        return found[1]


class EmailHarness:
    """Accounts and mail side by side."""

    def __init__(self, harness: AccountsHarness, **changes: Any) -> None:
        self.harness = harness
        self.fake_transport = FakeTransport()
        self.settings = Settings(auth_secret=SECRET, kms_key=RING, env="development", **changes)
        self.ref = harness.start(**changes)

    async def deliver(self) -> None:
        """Have everything handed over that is due, as a process that has just been started would."""
        actor = mail.MailActor.start(self.harness.storage, self.settings, self.harness.clock, self.fake_transport)
        now = self.harness.clock.now()
        unsettled = "SELECT count(*) FROM outbox WHERE state = 'due' AND (due_at <= $1 OR due_at = $2)"
        async with asyncio.timeout(5):
            while await self.harness.db.fetchval(unsettled, now, now + mail.LEASE):  # noqa: ASYNC110  # no event to await
                await asyncio.sleep(0.005)
        await self.harness.storage.ask(outbox.Standing())  # the actor has its answer, too, and has counted it
        await actor.stop_and_wait(5.0)

    async def ask(self, message: Any) -> Any:
        return await self.ref.ask(message)

    async def request(self, email: str = "asha@example.com") -> Any:
        return await self.ask(accounts.RequestReset(email=email, origin=ORIGIN))

    async def wish(self, email: str = "asha@example.com") -> str:
        """A reset token, as its email brings it."""
        await self.request(email)
        await self.deliver()
        return self.fake_transport.token(email)

    async def reset(self, token: str, password: str = OTHER) -> None:
        await self.ask(accounts.ResetPassword(token=token, new_password=password, origin=ORIGIN))

    async def verify(self, token: str) -> None:
        await self.ask(accounts.VerifyEmail(token=token, origin=ORIGIN))

    async def update(self, who: Principal, **changes: Any) -> Any:
        asked = {"full_name": None, "email": None, **changes}
        return await self.ask(accounts.UpdateProfile(principal=who, origin=ORIGIN, **asked))

    async def change(self, who: Principal, current: str = PASSWORD, new: str = OTHER) -> Any:
        return await self.ask(
            accounts.ChangePassword(principal=who, current_password=current, new_password=new, origin=ORIGIN)
        )


@pytest.fixture
async def emails(harness: AccountsHarness) -> EmailHarness:
    return EmailHarness(harness)


@pytest.fixture
async def strict(harness: AccountsHarness) -> EmailHarness:
    return EmailHarness(harness, auth_skip_email_verification=False)


async def test_r1_no_answer_gives_a_reset_token_away_without_the_flag(harness: AccountsHarness) -> None:
    emails = EmailHarness(harness)
    await harness.sign_up()
    assert await emails.request() is None
    open_desk = EmailHarness(harness, auth_debug_tokens=True)
    assert await open_desk.request("nobody@example.com") is None
    token = await open_desk.request()
    assert len(token) == 43
    await open_desk.reset(token)
    assert await harness.sign_in(password=OTHER)


async def test_r18_a_token_is_nowhere_in_the_database_in_clear(emails: EmailHarness, harness: AccountsHarness) -> None:
    await harness.sign_up()
    await emails.request()
    emails.fake_transport.away = True
    await emails.deliver()
    emails.fake_transport.away = False
    rows = await harness.db.fetch("SELECT payload_sealed, kind FROM outbox WHERE state = 'due'")
    assert [row["kind"] for row in rows] == ["password_reset"]
    await harness.clock.advance(11)
    await emails.deliver()
    token = emails.fake_transport.token("asha@example.com")
    assert token.encode() not in b"".join(bytes(row["payload_sealed"]) for row in rows)
    for table in ("outbox", "one_time_tokens", "audit_events"):
        assert token not in str([tuple(row) for row in await harness.db.fetch(f"SELECT * FROM {table}")])
    left = await harness.db.fetch("SELECT payload_sealed, key_id, state FROM outbox")
    assert {tuple(row) for row in left} == {(None, None, "sent")}


async def test_r6_a_sealed_payload_opens_in_its_own_row_alone(harness: AccountsHarness) -> None:
    outgoing = OutgoingEmails(Settings(auth_secret=SECRET, kms_key=RING))
    now = harness.clock.now()
    one = outgoing.verification(Kind.VERIFICATION, "verification", "a@example.com", now).mail
    two = outgoing.verification(Kind.VERIFICATION, "verification", "a@example.com", now).mail
    claimed = [
        outbox.Claimed(
            id=email.id,
            kind=email.kind,
            recipient=email.recipient,
            payload_sealed=email.payload_sealed,
            attempts=1,
            expires_at=None,
            message_id=email.message_id,
            created_at=now,
            locale=None,
        )
        for email in (one, two)
    ]
    assert len(outgoing.read(claimed[0])["token"]) == 43
    with pytest.raises(NotOpened):
        outgoing.read(replace(claimed[0], id=claimed[1].id))


async def test_r19_of_sixteen_redemptions_one_wins(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    await harness.sign_up()
    token = await emails.wish()
    outcomes = await asyncio.gather(
        *(emails.reset(token, f"{OTHER}{number}") for number in range(16)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BadRequest)]
    assert (outcomes.count(None), len(refused)) == (1, 15)
    assert await refusal(emails.reset(token)) == "token_invalid"


async def test_r20_a_reset_token_ends_with_a_newer_one_and_with_any_change(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    who = (await harness.sign_up()).principal
    first, second = await emails.wish(), await emails.wish()
    assert await refusal(emails.reset(first)) == "token_invalid"
    await emails.reset(second)
    third = await emails.wish()
    await emails.change(who, OTHER, PASSWORD)
    assert await refusal(emails.reset(third)) == "token_invalid"
    fourth = await emails.wish()
    await harness.db.execute("UPDATE one_time_tokens SET expires_at = $1", harness.clock.now())
    assert await refusal(emails.reset(fourth)) == "token_invalid"


async def test_a_reset_ends_every_session_and_verifies_the_address(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    signed_in = await harness.sign_up()
    await strict.reset(await strict.wish())
    assert await refusal(harness.who(signed_in.access_token)) == "unauthorized"
    assert (await harness.sign_in(password=OTHER)).principal.email_verified
    (event,) = await harness.events("auth.password_reset")
    assert signed_in.principal.family_id in event["said"]
    assert "reset" in (await harness.events("auth.email_verified"))[0]["said"]
    await strict.deliver()
    assert strict.fake_transport.subjects("asha@example.com")[-1] == "Your password was reset"


async def test_a_reset_leaves_the_second_factor_on(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    await turned_on(harness)
    await emails.reset(await emails.wish())
    assert await refusal(harness.sign_in(password=OTHER)) == "totp_required"


async def test_r36_a_weak_password_is_refused_before_the_token_is_spent(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    who = (await harness.sign_up()).principal
    token = await emails.wish()
    with pytest.raises(WeakPassword):
        await emails.reset(token, "password1234")
    with pytest.raises(WeakPassword):
        await emails.change(who, PASSWORD, "password1234")
    await emails.reset(token)


async def test_a_changed_password_ends_all_older_sessions_and_begins_one(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    old, other = await harness.sign_up(), await harness.sign_in()
    assert await refusal(emails.change(old.principal, "wrong")) == "invalid_password"
    watching = await emails.ask(accounts.Watch(old.principal))
    pair = await emails.change(old.principal)
    assert watching.is_revoked
    for ended in (old, other):
        assert await refusal(harness.who(ended.access_token)) == "unauthorized"
    assert (await harness.who(pair.access_token)).user_id == old.principal.user_id
    await emails.deliver()
    assert emails.fake_transport.subjects("asha@example.com") == ["Your password was changed"]


async def test_the_unverified_may_change_their_password(strict: EmailHarness, harness: AccountsHarness) -> None:
    pair = await strict.change((await harness.sign_up()).principal)
    assert not (await harness.who(pair.access_token)).email_verified


async def test_r26_the_email_of_a_sign_up_opens_the_gate_for_the_same_token(
    strict: EmailHarness, harness: AccountsHarness
) -> None:
    signed_in = await harness.sign_up()
    assert not (await harness.who(signed_in.access_token)).email_verified
    await strict.deliver()
    await strict.verify(strict.fake_transport.token("asha@example.com"))
    assert (await harness.who(signed_in.access_token)).email_verified
    await strict.ask(accounts.ResendVerification(principal=await harness.who(signed_in.access_token), origin=ORIGIN))
    await strict.deliver()
    assert len(strict.fake_transport.emails) == 1


async def test_r21_a_token_verifies_the_address_it_was_sent_to_alone(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    who = (await harness.sign_up()).principal
    await strict.deliver()
    token = strict.fake_transport.token("asha@example.com")
    assert (await strict.update(who, email="asha@example.org")).moved
    assert await refusal(strict.verify(token)) == "token_invalid"
    assert not (await harness.db.fetchval("SELECT email_verified FROM users"))
    await strict.deliver()
    assert strict.fake_transport.subjects("asha@example.com") == ["Confirm your e-mail address"]
    await strict.verify(strict.fake_transport.token("asha@example.org"))
    assert await harness.sign_in("asha@example.org")


async def test_r27_the_owner_of_a_squatted_address_takes_it_by_reset(
    strict: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    squatter = await harness.sign_up(password="i-am-not-asha-99")
    await strict.reset(await strict.wish())
    assert await harness.sign_in(password=OTHER)
    assert await refusal(harness.who(squatter.access_token)) == "unauthorized"


async def test_r28_a_hijacked_change_of_address_is_undone(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    signed_in = await harness.sign_up()
    who = signed_in.principal
    await emails.update(who, email="attacker@example.com")
    await harness.clock.advance(60)
    await harness.db.execute("UPDATE users SET totp_enabled_at = $1, totp_sealed = 'x'", harness.clock.now())
    await harness.db.execute(
        "INSERT INTO api_keys (id, tenant_id, created_by_user_id, name, prefix, key_hash, created_at)"
        " VALUES ($1, $2, $1, 'key', 'abcdefgh', 'hash', $3)",
        who.user_id,
        who.tenant_id,
        harness.clock.now(),
    )
    await emails.deliver()
    undo = emails.fake_transport.token("asha@example.com")
    await emails.verify(undo)
    row = await harness.db.fetchrow("SELECT * FROM users")
    assert (row["email"], row["email_verified"], row["totp_enabled_at"], row["totp_sealed"]) == (
        "asha@example.com",
        True,
        None,
        None,
    )
    assert await harness.db.fetchval("SELECT revoked_at IS NOT NULL FROM api_keys")
    assert await refusal(harness.who(signed_in.access_token)) == "unauthorized"
    assert await refusal(emails.verify(undo)) == "token_invalid"
    await emails.deliver()
    await emails.reset(emails.fake_transport.token("asha@example.com"))
    (event,) = await harness.events("auth.email_change_undone")
    assert "attacker@example.com" in event["said"]


async def test_r28_a_second_factor_of_the_attacker_goes_with_its_codes(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    who = (await harness.sign_up()).principal
    await emails.update(who, email="attacker@example.com")
    await harness.clock.advance(60)
    seed = await set_up(harness, who)
    await verify(harness, who, code(harness, seed))
    assert await harness.count("recovery_codes") == 10
    await emails.deliver()
    await emails.verify(emails.fake_transport.token(who.email))
    assert await harness.count("recovery_codes") == 0
    await emails.deliver()
    await emails.reset(emails.fake_transport.token(who.email))
    assert (await harness.sign_in(password=OTHER)).principal.email == who.email
    (event,) = await harness.events("auth.email_change_undone")
    assert '"totp_removed": true' in event["said"]


async def test_a_former_address_is_reserved_for_a_week_but_not_from_its_owner(
    emails: EmailHarness, harness: AccountsHarness, refusal: Code
) -> None:
    who = (await harness.sign_up()).principal
    await harness.sign_up("ravi@example.com")
    assert await refusal(emails.update(who, email="ravi@example.com")) == "email_already_registered"
    moved = await emails.update(who, email="new@example.com", full_name="Asha R")
    assert (moved.principal.email, moved.principal.full_name, moved.moved) == ("new@example.com", "Asha R", True)
    assert await refusal(harness.sign_up("asha@example.com")) == "email_already_registered"
    assert (await emails.update(moved.principal, email="asha@example.com")).moved
    assert not (await emails.update(moved.principal)).moved
    assert len(await harness.events("auth.email_changed")) == 2
    assert len(await harness.events("auth.profile_changed")) == 1


async def test_r29_known_and_unknown_addresses_leave_the_same_rows_at_once(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    await harness.sign_up()
    for email in ("asha@example.com", "nobody@example.com"):
        await emails.request(email)
    shape = "SELECT tenant_id, kind, state, expires_at, length(payload_sealed) FROM outbox"
    known, unknown = await harness.db.fetch(shape)
    assert tuple(known) == tuple(unknown)
    await emails.deliver()
    assert [email["To"] for email in emails.fake_transport.emails] == ["asha@example.com"]
    assert len(await harness.events("auth.password_reset_requested")) == 1


async def test_r30_twenty_requests_bring_five_emails_and_the_last_stays_good(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    await harness.sign_up()
    for _ in range(20):
        assert await emails.request() is None
    await emails.deliver()
    assert len(emails.fake_transport.emails) == 5
    live = await harness.db.fetchval("SELECT count(*) FROM one_time_tokens WHERE used_at IS NULL")
    assert live == 1


async def test_r30_five_verifications_an_hour_and_no_more(strict: EmailHarness, harness: AccountsHarness) -> None:
    who = (await harness.sign_up()).principal
    await asyncio.gather(*(strict.ask(accounts.ResendVerification(principal=who, origin=ORIGIN)) for _ in range(20)))
    await strict.deliver()
    assert len(strict.fake_transport.emails) == 5


async def test_r35_links_follow_the_public_url_and_every_kind_has_words_in_both_languages() -> None:
    for base in ("https://travel.example", "http://127.0.0.1:8010"):
        for kind in PAGES:
            url = link(kind, base, "t" * 43)
            assert url.startswith(f"{base}/app/")
            for locale in ("en", "hi", "xx"):
                composed = compose(kind, locale, url)
                assert url in composed.text
                assert f'href="{url}"' in composed.html
    assert WORDS["en"].keys() == WORDS["hi"].keys() == set(Kind)
    assert compose(Kind.TOTP_ON, "xx", None) == compose(Kind.TOTP_ON, "en", None)


async def test_emails_speak_the_language_of_the_agency(emails: EmailHarness, harness: AccountsHarness) -> None:
    await harness.sign_up()
    await harness.db.execute("UPDATE tenant_settings SET locale = 'hi'")
    await emails.request()
    await emails.deliver()
    assert emails.fake_transport.subjects("asha@example.com") == ["नया पासवर्ड रखें"]


async def test_r53_an_email_outlives_a_mail_server_that_is_unavailable_and_a_process_that_dies(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    who = (await harness.sign_up()).principal
    await emails.change(who)
    emails.fake_transport.away = True
    await emails.deliver()
    assert await harness.db.fetchval("SELECT attempts FROM outbox") == 1
    await harness.clock.advance(9)
    await emails.deliver()
    assert emails.fake_transport.tried == 1
    await harness.clock.advance(1)
    await emails.deliver()
    assert emails.fake_transport.tried == 2
    pause = await harness.db.fetchval("SELECT due_at FROM outbox") - harness.clock.now()
    assert pause == timedelta(seconds=20)
    name = await harness.db.fetchval("SELECT message_id FROM outbox")
    emails.fake_transport.away = False
    # a process took it and died: its lease ends
    await emails.harness.storage.ask(
        outbox.Claim(now=harness.clock.now() + pause, until=harness.clock.now() + timedelta(minutes=3), limit=1)
    )
    await harness.clock.advance(181)
    await emails.deliver()
    assert [email["Message-ID"] for email in emails.fake_transport.emails] == [name]


async def test_r53_an_email_nobody_takes_for_three_days_is_undeliverable_and_counted(
    emails: EmailHarness, harness: AccountsHarness
) -> None:
    who = (await harness.sign_up()).principal
    await emails.change(who)
    dead = mail.metrics.MAIL_LETTERS_TOTAL.labels("password_changed", "dead")
    before = counted(dead)
    emails.fake_transport.away = True
    await emails.deliver()
    await harness.db.execute("UPDATE outbox SET created_at = $1, due_at = $1", harness.clock.now() - mail.GIVE_UP_AFTER)
    await emails.deliver()
    assert await harness.db.fetchval("SELECT state FROM outbox") == "dead"
    assert counted(dead) == before + 1


async def test_an_email_whose_token_has_expired_is_dropped(strict: EmailHarness, harness: AccountsHarness) -> None:
    await harness.sign_up()
    expired = await harness.db.fetchval("UPDATE outbox SET expires_at = $1 RETURNING expires_at", harness.clock.now())
    assert expired == harness.clock.now()
    await strict.deliver()
    row = await harness.db.fetchrow("SELECT state, payload_sealed FROM outbox")
    assert tuple(row) == ("dropped", None)
    assert strict.fake_transport.tried == 0


async def test_without_a_mail_server_development_writes_files(
    emails: EmailHarness, harness: AccountsHarness, tmp_path: Path
) -> None:
    await harness.sign_up()
    emails.fake_transport = Folder(tmp_path / "mail")  # type: ignore[assignment]
    await emails.request()
    await emails.deliver()
    (path,) = (tmp_path / "mail").glob("*.eml")
    email = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert email["To"] == "asha@example.com"
    assert path.stat().st_mode & 0o077 == 0
    assert type(transport(emails.settings)) is Folder


def test_r59_production_without_a_sealing_key_does_not_start_and_says_no_secret() -> None:
    short = "short-secret"
    with pytest.raises(ConfigurationError) as refused:
        Settings.load(environ={"VOYAGENT_ENV": "production", "VOYAGENT_AUTH_SECRET": short})
    told = str(refused.value)
    assert "VOYAGENT_AUTH_SECRET" in told
    assert short not in told
    with pytest.raises(ConfigurationError, match="VOYAGENT_KMS_KEY"):
        Settings.load(environ={"VOYAGENT_ENV": "production"})


def test_r1_production_refuses_the_flag_that_gives_tokens_away() -> None:
    with pytest.raises(ConfigurationError, match="VOYAGENT_AUTH_DEBUG_TOKENS"):
        Settings.load(environ={"VOYAGENT_ENV": "production", "VOYAGENT_AUTH_DEBUG_TOKENS": "true"})
