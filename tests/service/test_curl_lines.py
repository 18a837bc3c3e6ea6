"""The commands of the reference page work as they are pasted, in the order in which somebody would try them."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from voyagent.http.openapi import document
from voyagent.http.reference import curl
from voyagent.http.routes import ROUTES

if TYPE_CHECKING:
    from tests.service.conftest import Running

OURS = document(ROUTES, "test")
LINES = {
    f"{route.method} {route.path}": curl.command(route, OURS["paths"][route.path][route.method.lower()])
    for route in ROUTES
}
STATUS = " -o /dev/stderr -w '%{http_code}'"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


@dataclass
class Shell:
    """Somebody who pastes commands, and has filled the fields in."""

    fields: dict[str, str] = field(default_factory=dict)

    async def paste(self, operation: str) -> tuple[int, Any]:
        """Status and body of the answer."""
        line = curl.text_of(LINES[operation], self.fields)
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", line + STATUS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            status, body = await process.communicate()
        text = body.decode()
        return int(status), json.loads(text) if text.startswith(("{", "[")) else text


async def test_the_lines_of_the_reference_work_as_written(running: Running) -> None:
    shell = Shell({"base": running.url})
    status, signed_up = await shell.paste("POST /auth/sign-up")
    assert status == 201, signed_up
    shell.fields["token"] = signed_up["access_token"]
    status, made = await shell.paste("POST /chat/sessions")
    assert status == 201
    shell.fields["session_id"] = made["session_id"]
    status, made = await shell.paste("POST /enquiries")
    assert status == 201
    shell.fields["enquiry_id"] = made["id"]
    status, made = await shell.paste("POST /auth/invites")
    assert status == 201
    shell.fields["invite_id"] = made["invite"]["id"]
    status, made = await shell.paste("POST /auth/api-keys")
    assert status == 201
    shell.fields["key_id"] = made["api_key"]["id"]

    status, stream = await shell.paste("POST /chat/sessions/{session_id}/messages")
    assert (status, stream.count("event: agent_event") > 0) == (200, True)
    assert '"kind":"final"' in stream
    schema = {**OURS["components"]["schemas"]["AgentEvent"], "components": OURS["components"]}
    told = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: {")]
    for each in told:
        Draft202012Validator(schema).validate(json.loads(each))

    expected = {
        "POST /auth/sign-in": 200,
        "GET /auth/me": 200,
        "PATCH /auth/profile": 200,
        "POST /auth/send-verification-email": 200,
        "POST /auth/request-password-reset": 200,
        "POST /auth/totp/setup": 200,
        "GET /auth/invites": 200,
        "POST /auth/invites/{invite_id}/revoke": 200,
        "GET /auth/api-keys": 200,
        "POST /auth/api-keys/{key_id}/revoke": 204,
        "GET /auth/sessions": 200,
        "GET /auth/members": 200,
        "GET /tenant-settings": 200,
        "PATCH /tenant-settings": 200,
        "GET /chat/sessions": 200,
        "GET /chat/sessions/{session_id}": 200,
        "PATCH /chat/sessions/{session_id}": 200,
        "GET /chat/sessions/{session_id}/messages": 200,
        "POST /chat/sessions/{session_id}/ticket": 201,
        "GET /approvals": 200,
        "GET /enquiries": 200,
        "GET /enquiries/{enquiry_id}": 200,
        "PATCH /enquiries/{enquiry_id}": 200,
        "POST /enquiries/{enquiry_id}/promote-to-session": 200,
        "GET /reports/receivables": 200,
        "GET /reports/payables": 200,
        "GET /reports/itinerary": 200,
        "GET /reports/trial-balance": 200,
        "GET /reports/tally/ledgers": 200,
        "GET /reports/tally/vouchers": 200,
        "GET /reports/usage": 200,
        "GET /audit": 200,
        "GET /audit/export.csv": 200,
        "GET /audit/verify": 200,
        "GET /health": 200,
        "GET /internal/metrics": 200,
        "GET /schemas/money": 200,
        "DELETE /chat/sessions/{session_id}": 204,
        "POST /auth/change-password": 200,
        "POST /auth/sign-out": 204,
    }
    answered = {operation: (await shell.paste(operation))[0] for operation in expected}
    assert answered == expected


def test_the_lines_of_reports_name_days_and_fields_are_filled_in() -> None:
    assert "?from=2026-11-01&to=2026-11-30'" in curl.text_of(LINES["GET /reports/payables"], {})
    assert curl.text_of(LINES["GET /auth/me"], {"token": "x"}).endswith("Bearer x'")
