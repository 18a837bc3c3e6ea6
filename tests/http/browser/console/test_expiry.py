"""An access token and a stream's ticket that expire while a conversation is open: new ones are taken unseen."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jwt
import pytest

from tests.http.browser.console.conftest import Console
from tests.http.browser.console.conversing import at_rest, begin, cut_off, id_of, said, texts, transcript, write
from tests.http.browser.console.wire import Wire
from tests.rehearsal import Gate, Rehearsal, Text, Turn

if TYPE_CHECKING:
    from playwright.async_api import Page, Response, Route

pytestmark = pytest.mark.browser
WORDS = [f"word{number} " for number in range(30)]
TICKET, EVENTS, REFRESH = (re.compile(each) for each in (r"/ticket$", r"/events\?", r"/auth/refresh$"))
CREDENTIALS = {"ticket", "access_token"}


@dataclass
class Answers:
    """Statuses of what a page has asked for, by the end of the path."""

    page: Page
    seen: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("response", self._take)

    def _take(self, response: Response) -> None:
        self.seen.append((response.url.partition("?")[0].rpartition("/")[2], response.status))

    def of(self, name: str) -> list[int]:
        return [status for seen, status in self.seen if seen == name]


def expired(console: Console, token: str) -> str:
    """The same token, signed by the service's secret, as it is long after its end."""
    claims = jwt.decode(token, options={"verify_signature": False})
    long_ago = int(time.time()) - 7_200
    claims |= {"iat": long_ago, "exp": long_ago + 3_600}
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.encode(claims, console.service.environ["VOYAGENT_AUTH_SECRET"], "HS256", headers={"kid": kid})


async def expire(console: Console, page: Page, path: re.Pattern[str]) -> None:
    """Let the next credentials that a path answers have expired on their way."""

    async def late(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        if not done:
            done.extend(CREDENTIALS & body.keys())
            body |= {name: expired(console, body[name]) for name in done}
        await route.fulfill(response=answer, json=body)

    done: list[str] = []
    await page.route(path, late)


async def unsaid(page: Page) -> bool:
    """Nothing on the page speaks of an error."""
    return await page.locator(".problem:visible, .failure:visible, .toast.bad, [role=alert]:visible").count() == 0


async def test_credentials_that_expire_while_a_page_reconnects_are_taken_again_unseen(
    console: Console, player: Rehearsal, wire: Wire
) -> None:
    asha = await console.sign_up()
    console.service.url = wire.url
    tab = await console.open(asha, "conversations/new")
    page = tab.page
    gate = Gate()
    player.play(Turn(Text.split(*WORDS), gate=gate), Turn("and on"))
    await write(page, "tell me")
    await gate.release(10)
    await said(page, "word9 ").wait_for()
    answers = Answers(page)

    await expire(console, page, TICKET)
    await expire(console, page, REFRESH)
    await page.clock.set_system_time(time.time() + 3_600)
    wire.fall_silent()
    await gate.release(10)
    await gate.waiting(21)
    wire.heal()
    await said(page, "word19 ").wait_for()
    assert answers.of("events") == [401, 200]
    assert answers.of("refresh") == [200, 200]
    assert answers.of("ticket") == [401, 201, 201]
    await gate.open()
    await said(page, "word29").wait_for()
    await at_rest(page)
    assert await unsaid(page)
    await write(page, "once more")
    await said(page, "and on").wait_for()
    await at_rest(page)
    assert await texts(page) == await transcript(asha, id_of(page))
    assert (await texts(page))[1] == "".join(WORDS).strip()
    cut_off(tab)


async def test_an_hour_of_an_open_conversation_renews_its_access_and_keeps_its_stream(
    console: Console, player: Rehearsal
) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "conversations/new")
    page = tab.page
    gate = Gate()
    player.play(Turn("one"), Turn(Text.split(*WORDS), gate=gate))
    await begin(page)
    answers = Answers(page)
    await expire(console, page, REFRESH)
    await page.clock.set_system_time(time.time() + 3_600)
    await write(page, "go on")
    await gate.open()
    await said(page, "word29").wait_for()
    await at_rest(page)
    assert answers.of("refresh") == [200, 200]
    assert 401 in answers.of("messages")
    assert answers.of("events") == answers.of("ticket") == []
    assert await unsaid(page)
    assert await texts(page) == await transcript(asha, id_of(page))
