"""What holds for all views of the daily work: axe at any width, hostile texts, keyboard, Hindi, a whole day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.browser.console.conftest import NARROW, WIDE, Console, Tab
from tests.rehearsal import Rehearsal, ToolUse, Turn
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.service.conftest import Person

pytestmark = pytest.mark.browser
MARKUP = "<img src=x onerror=alert(1)>"
TODAY = datetime.now(UTC).date()
TRAVEL = TODAY + timedelta(days=60)
WHO = "for Ms Asha Rao, born 1990-04-02, female, asha.rao@example.com, +919820012345"
VIEWS = (
    "enquiries?view=board",
    "enquiries?view=list",
    "enquiries?view=list&q=nothing",
    "enquiries/new",
    "enquiries/{enquiry}",
    "enquiries/{enquiry}/edit",
    "approvals",
    "approvals?status=all",
    "itinerary",
    "itinerary/{session}",
    "reports",
    "reports/payables",
    "reports/receivables/documents?currency=INR",
    "reports/trial-balance",
    "reports/tally",
    "reports/usage",
    "audit",
)

PLANTED = {
    "enquiries?view=board",
    "enquiries?view=list",
    "enquiries/{enquiry}",
    "enquiries/{enquiry}/edit",
    "approvals",
    "approvals?status=all",
    "itinerary",
    "itinerary/{session}",
    "reports/payables",
    "reports/payables/documents?currency=INR",
    "audit",
}
"""Views that show what the test has planted."""


async def settle(who: Person, session: str, words: str) -> None:
    """Say it, and grant all that it leads to."""
    await who.say(session, words)
    while waits := (await who.get(f"/approvals?session_id={session}"))["items"]:
        for each in waits:
            status, answer = await who.call("POST", f"/approvals/{each['id']}/resolve", json={"granted": True})
            assert status == 200, answer
        await who.replay(session)


async def promoted(who: Person, **given: Any) -> tuple[str, str]:
    """An enquiry and its conversation."""
    status, enquiry = await who.call("POST", "/enquiries", json=given)
    assert status == 201, enquiry
    status, answer = await who.call("POST", f"/enquiries/{enquiry['id']}/promote-to-session")
    assert status == 200
    return enquiry["id"], answer["session_id"]


async def worked(who: Person) -> dict[str, str]:
    """An agency with something on each view, long words among it."""
    enquiry, session = await promoted(who, customer_name="W" * 60, destination="Dubai " * 12, notes="x" * 300)
    await settle(who, session, f"Find a flight from Mumbai to Dubai on {TRAVEL} {WHO}, and book it on hold")
    await settle(who, session, "Book the held flight")
    due = TODAY - timedelta(days=45)
    words = f"over INR 45200.00 dated {due - timedelta(days=5)} due {due}"
    await settle(who, session, f"Draft an invoice for {'M' * 60} {words} and issue it")
    other = await who.session()
    await settle(who, other, f"Record a bill from Emirates {words.replace(' dated', ' reference EK-1 dated')}")
    await who.say(await who.session(), f"Draft an invoice for Mehta Exports {words}")
    return {"enquiry": enquiry, "session": session}


async def sound(tab: Tab, view: str) -> None:
    """The view passes axe and is no wider than its window."""
    await tab.at(view)
    for summary in await tab.page.locator("main details:not(.more-filters) > summary").all():
        await summary.click()
        break
    assert (view, await tab.violations()) == (view, [])
    assert (view, await tab.overflow()) == (view, 0)


@pytest.mark.parametrize("width", [WIDE, NARROW])
async def test_all_views_pass_axe_in_light_and_dark(width: int, console: Console) -> None:
    asha = await console.sign_up()
    ids = await worked(asha)
    tab = await console.open(asha, width=width)
    for view in VIEWS:
        await tab.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        await sound(tab, view.format(**ids))
        await tab.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        assert (view, await tab.violations()) == (view, [])
    await tab.page.get_by_role("button", name="Verify the trail").click()
    await tab.page.locator(".verdict").wait_for()
    assert await tab.violations() == []


async def test_an_agency_without_work_is_taught_by_each_view(console: Console) -> None:
    asha = await console.sign_up()
    for width, scheme in ((WIDE, "dark"), (NARROW, "light")):
        tab = await console.open(asha, width=width, scheme=scheme)
        for view, said in (
            ("enquiries?view=board", "No enquiries yet"),
            ("enquiries?view=list", "No enquiries yet"),
            ("approvals", "Nothing waits for a decision"),
            ("approvals?status=granted", "Nothing here yet"),
            ("itinerary", "No trips yet"),
            ("reports", "No customer owes anything"),
            ("reports/payables", "No supplier is owed anything"),
            ("reports/trial-balance", "Nothing is posted by this day"),
            ("reports/usage", "The agent was not used in these days"),
        ):
            await tab.at(view)
            await tab.page.get_by_text(said).wait_for()
            assert (view, await tab.violations()) == (view, [])


async def test_hostile_texts_are_shown_as_text_in_every_view(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up(MARKUP)
    given = dict.fromkeys(("customer_name", "customer_phone", "origin", "destination", "notes"), MARKUP)
    enquiry, session = await promoted(asha, **given)
    await settle(asha, session, f"Find a flight from Mumbai to Dubai on {TRAVEL} {WHO}, and book it on hold")
    assert (await asha.call("PATCH", f"/chat/sessions/{session}", json={"title": MARKUP}))[0] == 200
    assert (await asha.call("PATCH", "/auth/profile", json={"full_name": MARKUP}))[0] == 200
    bill = {
        "vendor_name": MARKUP,
        "issue_date": str(TODAY),
        "due_date": str(TODAY),
        "amount": "5.00",
        "currency": "INR",
        "notes": MARKUP,
    }
    for number, granted in enumerate((True, False, None)):
        at = session if granted is None else await asha.session()
        call = ToolUse("record_bill", {**bill, "vendor_reference": f"{number}{MARKUP}"})
        player.play(Turn(ToolUse("handoff", {"domain": "accounting", "goal": MARKUP})), Turn(call))
        await asha.say(at, MARKUP)
        (waits,) = (await asha.get(f"/approvals?session_id={at}"))["items"]
        assert MARKUP in waits["summary"]
        if granted is not None:
            player.play(Turn("Done."))
            decision = {"granted": granted, "reason": MARKUP}
            assert (await asha.call("POST", f"/approvals/{waits['id']}/resolve", json=decision))[0] == 200
            await asha.replay(at)
    tab = await console.open(asha)
    for view in (*VIEWS, "reports/payables/documents?currency=INR"):
        page = await tab.at(view.format(enquiry=enquiry, session=session))
        await page.wait_for_timeout(300)  # the former view has left
        seen = False
        for _ in range(100 if view in PLANTED else 10):  # until what it reads is there
            for closed in await page.locator("main details:not([open]) > summary").all():
                if await closed.is_visible():
                    await closed.click()
            shown = await page.locator("main").inner_text()
            values = await page.locator("main input, main textarea").evaluate_all("all => all.map(each => each.value)")
            seen = any(MARKUP in each for each in (shown, *values))
            if seen and view in PLANTED:
                break
            await page.wait_for_timeout(100)
        assert (view, await page.locator("img").count()) == (view, 0)
        assert (view, seen or view not in PLANTED) == (view, True)


async def test_the_day_from_the_enquiry_to_the_payment(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha, "enquiries/new")
    page = tab.page
    for name, value in {"customer_name": "Asha Rao", "origin": "Mumbai", "destination": "Dubai"}.items():
        await page.locator(f"[name={name}]").fill(value)
    await page.get_by_role("button", name="Create enquiry").click()
    await page.get_by_role("button", name="Begin a conversation").click()
    await page.wait_for_url(re.compile("#/conversations/"))
    session = page.url.rpartition("/")[2]
    enquiry = (await asha.get("/enquiries"))["items"][0]["id"]

    async def does(words: str, *names: str) -> None:
        """Say it, and grant in the inbox what it leads to."""
        await asha.say(session, words)
        await tab.at("approvals")
        for name in names:
            card = page.locator(".approval[data-status=pending]").filter(has=page.get_by_role("heading", name=name))
            await card.get_by_role("button", name="Grant").click()
            await page.locator(".approval[data-status=granted]").get_by_text("Granted.").first.wait_for()
            await asha.replay(session)

    await does(f"Find a flight from Mumbai to Dubai on {TRAVEL} {WHO}, and book it on hold")
    await does("Book the held flight", "Book a flight")
    await tab.at(f"enquiries/{enquiry}")
    await page.locator("table").get_by_text("Confirmed").wait_for()
    await page.get_by_role("button", name="Change status").click()
    await page.get_by_role("button", name="Booked", exact=True).click()
    await page.locator("h1").get_by_text("Booked").wait_for()
    await page.get_by_role("link", name="Itinerary").last.click()
    await page.get_by_text("BOM →").first.wait_for()
    await page.get_by_text("1 traveller").wait_for()

    invoice = f"Draft an invoice for Asha Rao over INR 18400.00 dated {TODAY} due {TODAY + timedelta(days=30)}"
    await does(f"{invoice} and issue it", "Draft an invoice", "Issue an invoice")
    await tab.at("reports")
    await page.get_by_text("18,400.00").first.wait_for()
    await does("Record a payment of INR 18400.00 on the invoice by UPI", "Record a payment")
    await tab.at("reports")
    await page.get_by_text("No customer owes anything").wait_for()
    await tab.at("reports/trial-balance")
    await page.get_by_text("In balance").wait_for()
    await tab.at("audit?kind=record_payment")
    await page.get_by_text("2 events").wait_for()
    await page.get_by_role("button", name="Verify the trail").click()
    await page.get_by_role("heading", name="The audit trail is whole").wait_for()


async def test_an_itinerary_is_chosen_read_by_day_and_printed(console: Console) -> None:
    asha = await console.sign_up()
    ids = await worked(asha)
    report = await asha.get("/reports/itinerary", params={"session_id": ids["session"]})
    page = (await console.open(asha, "itinerary")).page
    assert (await asha.get("/chat/sessions"))["total"] == 3
    await page.get_by_text("1 trip", exact=True).wait_for()
    await page.get_by_label("Search trips").fill("nowhere")
    await page.get_by_text("No trip has “nowhere” in its title").wait_for()
    await page.get_by_label("Search trips").fill("MUMBAI to")
    await page.get_by_text("1 trip", exact=True).wait_for()
    await page.locator(".choices a").click()
    days = [each[name][:10] for each in report["flights"] for name in ("depart_local", "arrive_local")]
    await page.locator("time").first.wait_for()
    assert (await page.title()).endswith(" · Itinerary · Voyagent")
    assert await page.locator("time").evaluate_all("all => all.map(each => each.dateTime)") == sorted(set(days))
    times = await page.locator(".stop.flight .stop-time").all_inner_texts()
    assert times == [each["depart_local"][11:] for each in report["flights"]]
    shown = await page.locator(".stop.flight").all_inner_texts()
    for flight, text in zip(report["flights"], shown, strict=True):
        assert f"Arrives {flight['arrive_local'][11:]}" in text
        assert flight["flight"] in text
    await page.evaluate("window.print = () => { document.title = 'printed'; }")
    await page.get_by_role("button", name="Print").click()
    assert await page.title() == "printed"
    await page.emulate_media(media="print")
    for hidden in (".side", ".back", "main .button >> nth=0"):
        assert not await page.locator(hidden).is_visible()
    assert await page.locator(".day").first.is_visible()


async def test_a_flight_over_midnight_stands_on_both_days(console: Console) -> None:
    asha = await console.sign_up()
    ids = await worked(asha)
    report = await asha.get("/reports/itinerary", params={"session_id": ids["session"]})
    night = {
        **report["flights"][0],
        "flight": "LH 765",
        "origin": "DEL",
        "dest": "FRA",
        "depart": "2027-03-01T20:25:00.000000Z",
        "depart_local": "2027-03-02T01:55",
        "arrive": "2027-03-02T05:15:00.000000Z",
        "arrive_local": "2027-03-02T06:15",
    }
    back = {
        **night,
        "flight": "LH 760",
        "origin": "FRA",
        "dest": "DEL",
        "depart": "2027-03-09T12:35:00.000000Z",
        "depart_local": "2027-03-09T13:35",
        "arrive": "2027-03-09T20:20:00.000000Z",
        "arrive_local": "2027-03-10T01:50",
    }
    tab = await console.open(asha)
    await tab.page.route(
        re.compile("/reports/itinerary"), lambda route: route.fulfill(json={**report, "flights": [night, back]})
    )
    page = await tab.at(f"itinerary/{ids['session']}")
    days = page.locator(".day")
    assert [" ".join(text.split()) for text in await days.all_inner_texts()] == [
        "Tuesday, 2 March 2027 01:55 DEL → FRA Confirmed Arrives 06:15 · 8 h 50 min LH 765 · Economy · PNR "
        + night["pnr"],
        "Tuesday, 9 March 2027 13:35 FRA → DEL Confirmed Arrives 01:50 on Wednesday, 10 March 2027 · 7 h 45 min "
        "LH 760 · Economy · PNR " + night["pnr"],
        "Wednesday, 10 March 2027 01:50 Arrival: DEL LH 760 · from FRA",
    ]
    assert await tab.violations() == []


async def test_an_unknown_conversation_has_no_itinerary(console: Console) -> None:
    asha = await console.sign_up()
    tab = await console.open(asha)
    await tab.page.evaluate("location.hash = '#/itinerary/gone'")
    await tab.page.locator("h1:focus").get_by_text("Conversation not found").wait_for()
    await tab.page.get_by_role("alert").get_by_text("Your agency has no such conversation.").wait_for()
    empty = await asha.session()
    await tab.at(f"itinerary/{empty}")
    await tab.page.get_by_text("Nothing is booked in this conversation").wait_for()


async def test_an_enquiry_is_written_moved_and_decided_by_keyboard_alone(console: Console) -> None:
    asha = await console.sign_up()
    page = (await console.open(asha, "enquiries?view=board")).page
    press = page.keyboard.press

    async def to(text: str) -> None:
        """Tab on until what has the focus says so and can be pressed: a browser stops at what only scrolls, too."""
        for _ in range(60):
            await press("Tab")
            if text in await focused(page) and await page.locator("a:focus, button:focus, summary:focus").count():
                return
        raise AssertionError(f"{text} is not reached by Tab")

    await to("New enquiry")
    await press("Enter")
    await page.locator("[name=customer_name]:focus").wait_for()
    await page.keyboard.type("Ravi Menon")
    await press("Enter")
    await page.get_by_role("heading", name="Ravi Menon", level=1).wait_for()
    await to("Change status")
    await press("Enter")
    await page.locator(".head .menu-items button:focus").wait_for()
    await press("Enter")
    await page.locator("h1").get_by_text("Quoted").wait_for()
    session = await asha.session()
    await asha.say(session, f"Draft an invoice for Mehta Exports over INR 1.00 dated {TODAY} due {TODAY}")
    await page.evaluate("location.hash = '#/approvals'")
    await page.locator(".approval").wait_for()
    await to("Deny")
    await press("Enter")
    await page.locator(".approval[data-status=rejected]").wait_for()
    assert "Denied." in await focused(page)


async def focused(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.textContent.trim()"))


async def test_views_speak_hindi(console: Console) -> None:
    asha = await console.sign_up()
    status, _ = await asha.call("PATCH", "/tenant-settings", json={"locale": "hi"})
    assert status == 200
    tab = await console.open(asha, width=NARROW)
    for view, title in (
        ("enquiries?view=board", "पूछताछ"),
        ("approvals", "स्वीकृतियाँ"),
        ("itinerary", "यात्रा कार्यक्रम"),
        ("reports", "रिपोर्ट"),
        ("audit", "ऑडिट"),
    ):
        await tab.at(view)
        heading = tab.page.locator("h1")

        async def titled(heading: Any = heading, title: str = title) -> bool:
            return str(await heading.inner_text()) == title

        await until(titled, 0.1)
        assert (view, await tab.overflow(), await tab.violations()) == (view, 0, [])


async def test_a_flight_of_less_than_an_hour_is_told_in_minutes(console: Console) -> None:
    page = (await console.open(await console.sign_up(), "itinerary")).page
    script = """async times => {
      const own = document.querySelector('script[type=module]').src;
      const { flightTime } = await import(own.replace(/app[.]js$/, 'views/cards/times.js'));
      return times.map(flightTime);
    }"""
    assert await page.evaluate(script, [40, 60, 485]) == ["40 min", "1 h 00 min", "8 h 05 min"]
