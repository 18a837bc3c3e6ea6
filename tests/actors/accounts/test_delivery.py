"""Delivery of e-mails: sealed until they are sent, in the agency's language, tried again, dropped and given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.figures import counted
from voyagent.actors import mail
from voyagent.actors.accounts.emails import Folder, transport
from voyagent.actors.accounts.outgoing import OutgoingEmails
from voyagent.actors.domain.email_texts import PAGES, WORDS, Kind, compose, link
from voyagent.actors.foundation.config import ConfigurationError, Settings
from voyagent.storage import outbox
from voyagent.storage.engine.sealing import NotOpened

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness
from tests.actors.accounts.email_harness import RING, SECRET, EmailHarness


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
