"""Letters over a real wire: a mail server that takes them, refuses them, keeps silent or is not there at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from tests.actors.accounts.test_email_flows import OTHER, Desk
from tests.figures import counted
from tests.mail_server import MailServer
from voyagent.actors import mail
from voyagent.actors.accounts.emails import Smtp, Undelivered
from voyagent.actors.domain.ids import uuid7
from voyagent.storage import outbox

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import House


@pytest.fixture
async def office() -> AsyncIterator[MailServer]:
    async with MailServer() as opened:
        yield opened


def desk_at(house: House, url: str) -> Desk:
    desk = Desk(house, auth_skip_email_verification=False)
    desk.postbox = Smtp(url)  # type: ignore[assignment]  # a way out like the other
    return desk


async def test_r53_a_mail_server_gets_the_letter_once_with_its_stable_name(house: House, office: MailServer) -> None:
    desk = desk_at(house, office.url)
    await house.sign_up()
    await desk.deliver()
    await desk.deliver()
    (letter,) = office.letters
    name = await house.db.fetchval("SELECT message_id FROM outbox")
    assert (letter["To"], letter["Message-ID"]) == ("asha@example.com", name)
    await desk.verify(await office.token("Confirm your e-mail address"))
    assert await house.db.fetchval("SELECT payload_sealed IS NULL FROM outbox")


async def test_r53_a_letter_refused_for_three_days_is_dead_counted_and_told_of(
    house: House, office: MailServer
) -> None:
    desk = desk_at(house, office.url)
    who = (await house.sign_up()).principal
    await desk.deliver()
    await desk.verify(await office.token("Confirm your e-mail address"))
    await desk.change(who)
    dead = mail.metrics.MAIL_LETTERS_TOTAL.labels("password_changed", "dead")
    before, office.refuses = counted(dead), True
    tried, began = 0, house.clock.now()
    pauses: list[timedelta] = []
    with structlog.testing.capture_logs() as lines:
        while await house.db.fetchval("SELECT state FROM outbox WHERE kind = 'password_changed'") == "due":
            await desk.deliver()
            tried += 1
            due = await house.db.fetchval("SELECT due_at FROM outbox WHERE kind = 'password_changed'")
            pauses.append(due - house.clock.now())
            house.clock._passed += max(pauses[-1].total_seconds(), 0.0)
    assert [pause.total_seconds() for pause in pauses[:10]] == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]
    assert set(pauses[10:-1]) == {timedelta(hours=1)}
    assert house.clock.now() - began >= timedelta(days=3)
    assert len(office.letters) == 1
    assert await house.db.fetchval("SELECT state FROM outbox WHERE kind = 'password_changed'") == "dead"
    assert counted(dead) == before + 1
    (told,) = [line for line in lines if line["event"] == "email_undeliverable"]
    assert (told["log_level"], told["attempts"]) == ("error", tried)
    actor = mail.MailActor.start(house.storage, desk.settings, house.clock, desk.postbox)
    async with asyncio.timeout(5):
        while mail.metrics.MAIL_OUTBOX_LETTERS.labels("dead")._value.get() != 1:  # noqa: ASYNC110  # no event to await
            await asyncio.sleep(0.005)
    await actor.stop_and_wait(5.0)


async def test_r53_no_act_waits_for_a_mail_server_that_keeps_silent(house: House, office: MailServer) -> None:
    office.silent = True
    desk = desk_at(house, office.url)
    actor = mail.MailActor.start(house.storage, desk.settings, house.clock, desk.postbox)
    who = (await house.sign_up()).principal
    actor.tell(mail.Poll())
    await office.had(callers=1)
    async with asyncio.timeout(5):
        await house.sign_up("ravi@example.com")
        await desk.request()
        await desk.change(who, new=OTHER)
    assert await house.db.fetchval("SELECT count(*) FROM outbox WHERE kind = 'password_changed'") == 1
    assert office.letters == []
    async with asyncio.timeout(5):
        await actor.stop_and_wait(5.0)


async def test_r53_nobody_at_the_other_end_is_a_letter_postponed(house: House) -> None:
    async with MailServer() as gone:
        url = gone.url
    desk = desk_at(house, url)
    await house.sign_up()
    await desk.deliver()
    row = await house.db.fetchrow("SELECT state, attempts, due_at FROM outbox")
    assert tuple(row) == ("due", 1, house.clock.now() + timedelta(seconds=10))


async def test_a_letter_is_not_read_out_where_no_encryption_is_to_be_had(house: House, office: MailServer) -> None:
    desk = desk_at(house, office.url.partition("?")[0])
    await house.sign_up()
    await desk.deliver()
    assert office.letters == []
    assert not [command for command in office.commands if command[:4] in (b"MAIL", b"RCPT", b"DATA")]
    assert await house.db.fetchval("SELECT state FROM outbox") == "due"


async def test_a_server_that_keeps_silent_is_given_up(house: House, office: MailServer) -> None:
    office.silent = True
    way = Smtp(office.url, seconds=0.05)
    letter = outbox.Claimed(
        id=uuid7(),
        kind="password_changed",
        recipient="asha@example.com",
        payload_sealed=None,
        attempts=1,
        expires_at=None,
        message_id="<x@example>",
        created_at=house.clock.now(),
        locale=None,
    )
    ready: Any = mail.envelope(letter, {}, base="http://x.example", sender="desk@example.com")
    with pytest.raises(Undelivered):
        await way.deliver(ready)
