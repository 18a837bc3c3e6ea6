"""What the console knows of the tools is what the service knows: their names, and who decides about a call."""

from __future__ import annotations

import re

from tests.http.console.tables import ENGLISH, SCRIPTS
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.domain.identity import Role


def test_every_tool_has_a_name() -> None:
    assert {f"tools.{name}" for name in CATALOGUE} - ENGLISH.keys() == set()


def test_the_lead_who_decides_about_a_tool_is_the_service_s() -> None:
    [listed] = re.findall(r"const TRAVEL_TOOLS = new Set\((\[.*?\])\);", SCRIPTS["account.js"])
    travel = set(re.findall(r'"(\w+)"', listed))
    gated = {name: tool.approvers for name, tool in CATALOGUE.items() if tool.approvers}
    assert len(gated) > len(travel) > 0
    for name, approvers in gated.items():
        lead = Role.TICKETING_LEAD if name in travel else Role.ACCOUNTING_LEAD
        assert approvers == {Role.AGENCY_ADMIN, lead}, name
    assert travel <= gated.keys()
