"""What people and models have written is shown as text in every view of the daily work."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.browser.console.conftest import Console
from tests.rehearsal import Rehearsal, ToolUse, Turn

if TYPE_CHECKING:
    from tests.service.conftest import Person

pytestmark = pytest.mark.browser
MARKUP = "<img src=x onerror=alert(1)>"
TODAY = datetime.now(UTC).date()
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


async def promoted(who: Person, **given: Any) -> tuple[str, str]:
    """An enquiry and its conversation."""
    status, enquiry = await who.call("POST", "/enquiries", json=given)
    assert status == 201, enquiry
    status, answer = await who.call("POST", f"/enquiries/{enquiry['id']}/promote-to-session")
    assert status == 200
    return enquiry["id"], answer["session_id"]


async def test_hostile_texts_are_shown_as_text_in_every_view(console: Console, player: Rehearsal) -> None:
    asha = await console.sign_up(MARKUP)
    given = dict.fromkeys(("customer_name", "customer_phone", "origin", "destination", "notes"), MARKUP)
    enquiry, session = await promoted(asha, **given)
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
        await page.wait_for_load_state("networkidle")
        for closed in await page.locator("main details:not([open]) > summary").all():
            if await closed.is_visible():
                await closed.click()
        assert (view, await page.locator("img").count()) == (view, 0)
        if view in PLANTED:
            shown = await page.locator("main").inner_text()
            values = await page.locator("main input, main textarea").evaluate_all("all => all.map(each => each.value)")
            assert (view, any(MARKUP in each for each in (shown, *values))) == (view, True)
