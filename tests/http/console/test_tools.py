"""What the console knows of the tools is what the service knows: their names, and who decides about a call."""

from __future__ import annotations

import re

from tests.http.console.tables import ENGLISH, SCRIPTS
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.domain.identity import Role


def test_every_tool_has_a_name() -> None:
    assert {f"tools.{name}" for name in CATALOGUE} - ENGLISH.keys() == set()


def properties(schema: object) -> set[str]:
    """The names of all fields in a JSON schema, nested ones too."""
    if isinstance(schema, list):
        return set().union(*map(properties, schema))
    if not isinstance(schema, dict):
        return set()
    return {*schema.get("properties", {})}.union(*map(properties, schema.values()))


def test_every_field_of_a_tool_has_a_name() -> None:
    schemas = [model.model_json_schema() for tool in CATALOGUE.values() for model in (tool.Input, tool.Output)]
    names = properties(schemas)
    assert {"date_of_birth", "hold_expires_at"} < names
    assert {f"field_names.{name}" for name in names} - ENGLISH.keys() == set()


def test_the_lead_who_decides_about_a_tool_is_the_service_s() -> None:
    [listed] = re.findall(r"const TRAVEL_TOOLS = new Set\((\[.*?\])\);", SCRIPTS["account.js"])
    travel = set(re.findall(r'"(\w+)"', listed))
    gated = {name: tool.approvers for name, tool in CATALOGUE.items() if tool.approvers}
    assert len(gated) > len(travel) > 0
    for name, approvers in gated.items():
        lead = Role.TICKETING_LEAD if name in travel else Role.ACCOUNTING_LEAD
        assert approvers == {Role.AGENCY_ADMIN, lead}, name
    assert travel <= gated.keys()
