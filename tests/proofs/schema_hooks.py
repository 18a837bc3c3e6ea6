"""What schemathesis is told of this service: how to sign in, and that nothing of another agency may be read.

It is loaded by ``schemathesis`` itself, in an environment of its own: its plugins would slow down the tests.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema_rs
import schemathesis

URL, PASSWORD = os.environ["FUZZ_URL"], os.environ["FUZZ_PASSWORD"]
TOKEN = os.environ["FUZZ_TOKEN"]
"""Of the person a run is for. Without one it is a new agency's admin, every few seconds another."""
TRACES = frozenset(json.loads(Path(os.environ["FUZZ_TRACES"]).read_text()))
"""Names and ids of the other agency."""
SIGNED_IN_SECONDS = 20
"""Some operations end the token they are sent with: so long it may stay ended."""


EVENT_STREAM = "text/event-stream"
EVENTS: list[jsonschema_rs.Validator] = []
"""What the data of an event must fit: one validator, once the document is loaded."""


@schemathesis.hook
def before_load_schema(_context: Any, document: dict[str, Any]) -> None:
    """Take the streams' events from our extension: OpenAPI 3.1 knows a stream as one string alone."""
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation.get("responses", {}).values():
                response.get("content", {}).get(EVENT_STREAM, {}).pop("schema", None)
    event = {"$ref": "#/components/schemas/AgentEvent", "components": document["components"]}
    EVENTS.append(jsonschema_rs.validator_for(event))


@schemathesis.auth(refresh_interval=None if TOKEN else SIGNED_IN_SECONDS)
class Bearer:
    """The token of each request."""

    def get(self, _case: Any, _context: Any) -> str:
        return TOKEN or self._sign_up()

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}

    def _sign_up(self) -> str:
        name = f"fuzz-{time.time_ns()}"
        person = {"email": f"{name}@example.com", "password": PASSWORD, "full_name": name, "agency_name": name}
        body = json.dumps(person).encode()
        request = urllib.request.Request(f"{URL}/auth/sign-up", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return str(json.load(answer)["access_token"])


@schemathesis.check
def nothing_of_another_agency(_context: Any, response: Any, case: Any) -> None:
    """No name and no id of the other agency is in an answer; operators alone see every agency."""
    if case.path.startswith("/internal/"):
        return
    said = response.content.decode("utf-8", "replace")
    shown = {trace for trace in TRACES if trace in said}
    assert not shown, f"{case.method} {case.path} shows {sorted(shown)} of another agency"


@schemathesis.check
def events_fit_their_schema(_context: Any, response: Any, case: Any) -> None:
    """Each event of a stream is one the document describes, and a stream of a turn ends with ``final``."""
    if not response.headers.get("content-type", [""])[0].startswith(EVENT_STREAM):
        return
    kinds = []
    for frame in response.content.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if fields.get("event") == "agent_event":
            event = json.loads(fields["data"])
            EVENTS[-1].validate(event)
            kinds.append(event["kind"])
    assert kinds[-1:] == ["final"], f"{case.method} {case.path} ended after {kinds}"
