"""The three pages that e-mails link to. Loading one changes nothing: its button sends the token to the API."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from ..actors.domain.email_texts import PAGES, Kind
from .guards import PUBLIC
from .middleware import CSP
from .request_context import Answer, RequestContext
from .route import Route

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 4rem auto; padding: 0 1rem; color: #1c2330 }
label { display: block; margin: 1rem 0 }
input { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: .5rem }
button { font: inherit; padding: .5rem 1.2rem; margin-top: .5rem }
output { display: block; min-height: 1.5rem; margin-top: 1rem }
"""

CHOSEN: Final = (
    '<label>New password<input name="{name}" type="password" autocomplete="new-password" minlength="12" '
    'maxlength="128" required></label>'
)
FULL_NAME: Final = '<label>Your name<input name="full_name" autocomplete="name" maxlength="120" required></label>'


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text, fields and API operation. URLs are relative, so that a proxy may add a path prefix."""

    kind: Kind
    title: str
    text: str
    button: str
    send: str
    done: str
    fields: str = ""
    look: str = ""


ALL: Final = (
    Page(
        Kind.VERIFICATION,
        "Confirm your e-mail address",
        "Click Confirm to verify your e-mail address.",
        "Confirm",
        "../auth/verify-email",
        "Thank you. Your e-mail address is verified.",
    ),
    Page(
        Kind.PASSWORD_RESET,
        "Set a new password",
        "Use at least 12 characters, including a letter and a digit.",
        "Set password",
        "../auth/reset-password",
        "Your new password is set. You can now sign in.",
        CHOSEN.format(name="new_password"),
    ),
    Page(
        Kind.INVITE,
        "Accept your invitation",
        "Enter your name and choose a password of at least 12 characters, including a letter and a digit.",
        "Accept",
        "../auth/accept-invite",
        "Welcome to Voyagent. You can now sign in.",
        FULL_NAME + CHOSEN.format(name="password"),
        "../auth/invites/lookup",
    ),
)


class Pages:
    """Serves the pages. Public, and hidden from the OpenAPI document."""

    def __init__(self) -> None:
        script = (Path(__file__).parent / "pages.js").read_text("utf-8")
        self._headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "no-store",
            CSP: policy(script),
        }
        self._html = {PAGES[page.kind]: html(page, script).encode() for page in ALL}

    def routes(self) -> tuple[Route, ...]:
        """The routes of the pages, at the paths the links of e-mails point to."""
        return tuple(Route("GET", path, self._serve(body), PUBLIC, hidden=True) for path, body in self._html.items())

    def _serve(self, body: bytes) -> Callable[[RequestContext], Awaitable[Answer]]:
        async def page(_call: RequestContext) -> Answer:
            return Answer(body, headers=self._headers)

        return page


def policy(script: str) -> str:
    """The pages' Content-Security-Policy: their one style sheet, their one script, requests to their own origin."""
    return (
        f"default-src 'none'; style-src '{_source(STYLE)}'; script-src '{_source(script)}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _source(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def html(page: Page, script: str) -> str:
    """The whole page. It contains nothing from the request."""
    look = f' data-look="{escape(page.look)}"' if page.look else ""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(page.title)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(page.title)}</h1><p>{escape(page.text)}</p>",
            f'<form method="post" data-send="{escape(page.send)}" data-done="{escape(page.done)}"{look}>',
            f"{page.fields}<button>{escape(page.button)}</button></form>",
            "<output></output><noscript><p>This page needs JavaScript to send the form.</p></noscript>",
            f"<script>{script}</script></body></html>",
        ]
    )
