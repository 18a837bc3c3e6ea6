"""E-mails over SMTP: a mail server that takes them, refuses them, does not answer or is not there at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from tests.actors.accounts.email_harness import OTHER, EmailHarness
from tests.figures import counted, gauged
from tests.mail_server import MailServer
from tests.waiting import until
from voyagent.actors import mail
from voyagent.actors.accounts.emails import Smtp, Undelivered
from voyagent.actors.domain.ids import uuid7
from voyagent.storage import outbox

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    async with MailServer() as opened:
        yield opened


def desk_at(harness: AccountsHarness, url: str) -> EmailHarness:
    emails = EmailHarness(harness, auth_skip_email_verification=False)
    emails.fake_transport = Smtp(url)  # type: ignore[assignment]  # a way out like the other
    return emails


async def test_r53_a_mail_server_gets_the_email_once_with_its_stable_name(
    harness: AccountsHarness, mail_server: MailServer
) -> None:
    emails = desk_at(harness, mail_server.url)
    await harness.sign_up()
    await emails.deliver()
    await emails.deliver()
    (email,) = mail_server.emails
    name = await harness.db.fetchval("SELECT message_id FROM outbox")
    assert (email["To"], email["Message-ID"]) == ("asha@example.com", name)
    await emails.verify(await mail_server.token("Confirm your e-mail address"))
    assert await harness.db.fetchval("SELECT payload_sealed IS NULL FROM outbox")


async def test_r53_an_email_refused_for_three_days_is_undeliverable_counted_and_told_of(
    harness: AccountsHarness, mail_server: MailServer
) -> None:
    emails = desk_at(harness, mail_server.url)
    who = (await harness.sign_up()).principal
    await emails.deliver()
    await emails.verify(await mail_server.token("Confirm your e-mail address"))
    await emails.change(who)
    dead = mail.metrics.MAIL_LETTERS_TOTAL.labels("password_changed", "dead")
    before, mail_server.refuses = counted(dead), True
    tried, began = 0, harness.clock.now()
    pauses: list[timedelta] = []
    with structlog.testing.capture_logs() as lines:
        while await harness.db.fetchval("SELECT state FROM outbox WHERE kind = 'password_changed'") == "due":
            await emails.deliver()
            tried += 1
            due = await harness.db.fetchval("SELECT due_at FROM outbox WHERE kind = 'password_changed'")
            pauses.append(due - harness.clock.now())
            harness.clock.skip(max(pauses[-1].total_seconds(), 0.0))
    assert [pause.total_seconds() for pause in pauses[:10]] == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]
    assert set(pauses[10:-1]) == {timedelta(hours=1)}
    assert harness.clock.now() - began >= timedelta(days=3)
    assert len(mail_server.emails) == 1
    assert await harness.db.fetchval("SELECT state FROM outbox WHERE kind = 'password_changed'") == "dead"
    assert counted(dead) == before + 1
    (told,) = [line for line in lines if line["event"] == "email_undeliverable"]
    assert (told["log_level"], told["attempts"]) == ("error", tried)
    actor = mail.MailActor.start(harness.storage, emails.settings, harness.clock, emails.fake_transport)
    await until(lambda: gauged(mail.metrics.MAIL_OUTBOX_LETTERS, "dead") == 1)
    await actor.stop_and_wait(5.0)


async def test_r53_no_act_waits_for_a_mail_server_that_keeps_silent(
    harness: AccountsHarness, mail_server: MailServer
) -> None:
    mail_server.silent = True
    emails = desk_at(harness, mail_server.url)
    actor = mail.MailActor.start(harness.storage, emails.settings, harness.clock, emails.fake_transport)
    who = (await harness.sign_up()).principal
    actor.tell(mail.Poll())
    await mail_server.had(callers=1)
    async with asyncio.timeout(5):
        await harness.sign_up("ravi@example.com")
        await emails.request()
        await emails.change(who, new=OTHER)
    assert await harness.db.fetchval("SELECT count(*) FROM outbox WHERE kind = 'password_changed'") == 1
    assert mail_server.emails == []
    async with asyncio.timeout(5):
        await actor.stop_and_wait(5.0)


async def test_r53_nobody_at_the_other_end_is_an_email_postponed(harness: AccountsHarness) -> None:
    async with MailServer() as gone:
        url = gone.url
    emails = desk_at(harness, url)
    await harness.sign_up()
    await emails.deliver()
    row = await harness.db.fetchrow("SELECT state, attempts, due_at FROM outbox")
    assert tuple(row) == ("due", 1, harness.clock.now() + timedelta(seconds=10))


async def test_an_email_is_not_read_out_where_no_encryption_is_to_be_had(
    harness: AccountsHarness, mail_server: MailServer
) -> None:
    emails = desk_at(harness, mail_server.url.partition("?")[0])
    await harness.sign_up()
    await emails.deliver()
    assert mail_server.emails == []
    assert not [command for command in mail_server.commands if command[:4] in (b"MAIL", b"RCPT", b"DATA")]
    assert await harness.db.fetchval("SELECT state FROM outbox") == "due"


async def test_a_server_that_keeps_silent_is_given_up(harness: AccountsHarness, mail_server: MailServer) -> None:
    mail_server.silent = True
    way = Smtp(mail_server.url, seconds=0.05)
    email = outbox.Claimed(
        id=uuid7(),
        kind="password_changed",
        recipient="asha@example.com",
        payload_sealed=None,
        attempts=1,
        expires_at=None,
        message_id="<x@example>",
        created_at=harness.clock.now(),
        locale=None,
    )
    ready: Any = mail.envelope(email, {}, base="http://x.example", sender="emails@example.com")
    with pytest.raises(Undelivered):
        await way.deliver(ready)
