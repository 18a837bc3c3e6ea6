"""What is printed at the start of a development service, and for the demo agency: the console, and example commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

JSON = "-H 'Content-Type: application/json'"
PICK = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"{}\"])'"

LOOKS = (
    "/enquiries",
    "/chat/sessions",
    "/approvals?status=all",
    "/reports/receivables?from=2000-01-01&to=2100-01-01",
    "/reports/payables?from=2000-01-01&to=2100-01-01",
    "/reports/trial-balance",
    "/reports/itinerary?session_id={trip}",
    "/reports/usage",
    "/audit",
)
"""What the demo agency has to show."""


def look(url: str, email: str, password: str, trip: str) -> str:
    """How to sign in as the admin, in a browser and by curl, and how to read the lists and reports.

    ``trip`` is the conversation whose itinerary is shown.
    """
    body = f'{{"email": "{email}", "password": "{password}"}}'
    return "\n".join(
        (
            f"\nOpen {url}/app/ in a browser, and sign in as {email}.",
            "\nIf the service is not running, start it with `make run`. The same by curl:",
            f"TOKEN=$(curl -s {url}/auth/sign-in {JSON} -d '{body}' | {PICK.format('access_token')})",
            *(f'curl -s "{url}{path.format(trip=trip)}" -H "Authorization: Bearer $TOKEN"' for path in LOOKS),
        )
    )


def welcome(url: str) -> str:
    """The console's address, how to make the demo agency, and a booking by curl."""
    day = (datetime.now(UTC) + timedelta(days=90)).date()
    return f"""Open {url}/app/ in a browser and sign up, or look around in a demo agency: `make seed` in another
terminal takes a minute and prints how to sign in.

Voyagent listens on {url}   (API reference: {url}/docs). A booking by curl:

  TOKEN=$(curl -s {url}/auth/sign-up {JSON} -d '{{"email": "asha@example.com", "password": "a long password 1", \
"full_name": "Asha Rao", "agency_name": "Rao Travels"}}' | {PICK.format("access_token")})
  SESSION=$(curl -s -X POST {url}/chat/sessions -H "Authorization: Bearer $TOKEN" | {PICK.format("session_id")})
  curl -N {url}/chat/sessions/$SESSION/messages -H "Authorization: Bearer $TOKEN" {JSON} \
-d '{{"message": "Find me a flight from Mumbai to Dubai on {day} for Asha Rao and book it"}}'
  APPROVAL=$(curl -s {url}/approvals -H "Authorization: Bearer $TOKEN" | \
python3 -c 'import json, sys; print(json.load(sys.stdin)["items"][0]["id"])')
  curl -s {url}/approvals/$APPROVAL/resolve -H "Authorization: Bearer $TOKEN" {JSON} -d '{{"granted": true}}'

Signed up before: the first command with /auth/sign-in instead.
"""
