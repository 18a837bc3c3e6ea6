"""``make fuzz``: schemathesis over ``/openapi.json`` with living tokens of three roles, another agency beside them.

Whatever is sent: no 5xx, no answer outside its schema, nothing of the other agency. ``python -m tests.proofs.fuzz 200``
tries so many cases an operation and phase instead of 25. Links between operations are followed (``stateful``).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.proofs.figures import record
from tests.proofs.service import PASSWORD, ROOT, Person, Running, join, service, sign_up

CASES = 25
ROLES = ("agency_admin", "ticketing_lead", "viewer")
MARK = "Zanzibar-7f3a9"
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
READ = ("/chat/sessions", "/approvals", "/enquiries", "/auth/members", "/auth/invites", "/auth/api-keys")
ENVIRON = {
    "VOYAGENT_GUARD": "off",
    "VOYAGENT_SESSIONS_PER_MINUTE": "100000",
    "VOYAGENT_AUTH_ARGON2_MEMORY_COST": "8192",
    "VOYAGENT_AUTH_ARGON2_TIME_COST": "1",
}
"""Throttles and the cost of hashing would be all that is tried."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
    "nothing_of_another_agency",
    "events_fit_their_schema",
)
ENDLESS = "/events$"
"""A live stream has no end a fuzzer could wait for; ``tests/service/test_subscriptions.py`` has it."""
DISTURBING = (
    "^/auth/(sign-out|profile|change-password|reset-password|totp/|sessions/|members/)|^/tenant-settings$|^/internal/"
)
"""They end the token the others work with, or set the limits: tried last, in agencies of their own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of schemathesis found."""

    name: str
    cases: int
    failures: list[str]


async def other_agency(http: aiohttp.ClientSession) -> list[str]:
    """Names and ids of an agency with something of everything."""
    admin = await sign_up(http, MARK)
    await admin.ask("POST", "/auth/invites", {"email": f"{MARK}@example.com", "role": "viewer"})
    await admin.ask("POST", "/auth/api-keys", {"name": MARK})
    made = await admin.ask("POST", "/enquiries", {"customer_name": MARK, "notes": MARK})
    promoted = await admin.ask("POST", f"/enquiries/{made['id']}/promote-to-session")
    wish = {"message": f"Find me a flight from Mumbai to Dubai on 2027-05-05 for {MARK} and book it"}
    await admin.ask("POST", f"/chat/sessions/{promoted['session_id']}/messages", wish)
    seen = json.dumps([await admin.ask("GET", path) for path in READ])
    return [MARK, MARK.lower(), admin.user["tenant_id"], *UUID.findall(seen)]


async def run(running: Running, who: Person | None, name: str, traces: Path, *filters: str, cases: int) -> Outcome:
    """One run of schemathesis as somebody, or as one new admin after another."""
    report = traces.with_name(f"{name}.json")
    process = await asyncio.create_subprocess_exec(
        str(ROOT / ".venv-fuzz" / "bin" / "schemathesis"),
        "run",
        f"{running.url}/openapi.json",
        f"--checks={','.join(CHECKS)}",
        f"--max-examples={cases}",
        "--phases=examples,coverage,fuzzing,stateful",
        "--continue-on-failure",
        "--suppress-health-check=all",
        "--warnings=off",
        "--request-timeout=60",
        "--seed=7",
        "--no-color",
        f"--report-ndjson-path={report}",
        *filters,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests/proofs/schema_hooks.py",
            "FUZZ_URL": running.url,
            "FUZZ_TOKEN": "" if who is None else who.token,
            "FUZZ_TRACES": str(traces),
            "FUZZ_PASSWORD": PASSWORD,
        },
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    text = said.decode()
    if process.returncode not in (0, 1):
        raise RuntimeError(f"schemathesis ended with {process.returncode}: {text[-3000:]}")
    print(text if process.returncode else text[-800:], flush=True)
    found = re.search(r"([\d,]+) generated", text) or re.search(r"Test cases:\s*\n?\s*([\d,]+)", text)
    failures = [each for each in re.findall(r"^_{3,} (.+) _{3,}$", text, re.MULTILINE) if process.returncode]
    return Outcome(name, int(found[1].replace(",", "")) if found else 0, failures)


async def fuzz(cases: int) -> list[str]:
    """All runs; what failed."""
    with tempfile.TemporaryDirectory(prefix="voyagent-fuzz-") as folder:
        traces = Path(folder) / "traces.json"
        async with (
            service(Path(folder), **ENVIRON) as running,
            aiohttp.ClientSession(running.url) as http,
        ):
            await asyncio.to_thread(traces.write_text, json.dumps(await other_agency(http)))
            admin = await sign_up(http, "Fuzz")
            people = {role: admin if role == ROLES[0] else await join(admin, role) for role in ROLES}
            calm = f"--exclude-path-regex={ENDLESS}|{DISTURBING}"
            outcomes = [await run(running, people[role], role, traces, calm, cases=cases) for role in ROLES]
            wild = f"--include-path-regex={DISTURBING}"
            outcomes.append(await run(running, None, "disturbing", traces, wild, cases=cases))
            crashes = (await asyncio.to_thread(running.log.read_text)).count("Traceback")
    return judged(outcomes, crashes)


def judged(outcomes: list[Outcome], crashes: int) -> list[str]:
    """Record the figures; what is not as it has to be."""
    faults = [f"{outcome.name}: {failure}" for outcome in outcomes for failure in outcome.failures]
    faults += [f"{crashes} tracebacks in the log"] * bool(crashes)
    tried = ", ".join(f"{outcome.name} {outcome.cases:,}" for outcome in outcomes)
    record("make fuzz", f"cases: {tried}; {len(faults) or 'no'} failures")
    return faults


if __name__ == "__main__":
    sys.exit("\n".join(asyncio.run(fuzz(int(sys.argv[1]) if sys.argv[1:] else CASES))) or 0)
