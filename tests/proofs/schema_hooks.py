"""What schemathesis is told of this service: how to sign in, and that nothing of another agency may be read.

It is loaded by ``schemathesis`` itself (``SCHEMATHESIS_HOOKS``); ``fuzz`` sets the variables it reads.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

import schemathesis

from tests.proofs.service import PASSWORD

URL = os.environ["FUZZ_URL"]
TOKEN = os.environ["FUZZ_TOKEN"]
"""Of the person a run is for. Without one it is a new agency's admin, every few seconds another."""
TRACES = frozenset(json.loads(Path(os.environ["FUZZ_TRACES"]).read_text()))
"""Names and ids of the other agency."""
SIGNED_IN_SECONDS = 20
"""Some operations end the token they are sent with: so long it may stay ended."""


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
    """No name and no id of the other agency is in an answer that did not send it."""
    said = response.content.decode("utf-8", "replace")
    shown = {trace for trace in TRACES if trace in said}
    assert not shown, f"{case.method} {case.path} shows {sorted(shown)} of another agency"
