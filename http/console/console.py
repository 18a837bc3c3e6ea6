"""Serves the console: one document, and its files at an address that carries a hash of all of them.

Loading the document changes nothing, whatever its address says: the token of an e-mail is sent by a button.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Final

from aiohttp import hdrs

from ...actors.domain.email_texts import PAGES
from ...actors.domain.errors import NotFound
from ...actors.foundation.threads import in_thread
from ..errors import ROUTER
from ..guards import PUBLIC
from ..middleware import CSP
from ..request_context import Answer, RequestContext
from ..route import Route

FOLDER: Final = Path(__file__).parent
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served beside the document, by the end of its name."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
"""Everything comes from this service, nothing is inline, and no text ever becomes markup or a script."""
FILES: Final = ("/app/{stamp}/{file}", "/app/{stamp}/{folder}/{file}", "/app/{stamp}/{folder}/{part}/{file}")
"""How deep a file may lie. Metrics and log name these paths, not each file."""
YEAR: Final = "public, max-age=31536000, immutable"
FIRST: Final = ("app.js", "views/conversations.js")
"""The start, and the view it shows. The document names them with all they import, so that none waits for another."""
DOCUMENT: Final = "text/html; charset=utf-8"
HEADERS: Final[Mapping[str, str]] = {hdrs.CONTENT_TYPE: DOCUMENT, hdrs.CACHE_CONTROL: "no-store", CSP: POLICY}

_COMMENT = re.compile(rb"^[ \t]*(?://.*|/\*(?:(?!\*/)[\s\S])*\*/[ \t]*)$", re.MULTILINE)
"""A comment with whole lines to itself. No template of the scripts spans lines, so that none is a part of a text."""
_IMPORT = re.compile(r'^(?:import|export) (?:[^;"]*? from )?"(\.[^"]+)"', re.MULTILINE)


class Console:
    """Serves the console's files. Public, and hidden from the OpenAPI document.

    URLs are relative, so that a proxy may add a path prefix. Compression is done once, in a thread.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): served(path)
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES
        }
        self._compressed: dict[str, bytes] = {}
        self.stamp = _hash(self._files)
        preloads = "".join(
            f'<link rel="modulepreload" href="{self.stamp}/{name}">\n' for name in needed(self._files, FIRST)
        )
        text = (folder / "index.html").read_text("utf-8")
        self._document = text.replace("{stamp}", self.stamp).replace("{preloads}\n", preloads).encode()

    def routes(self) -> tuple[Route, ...]:
        """The document, also at the paths the links of e-mails point to and, with 404, at every other; the files."""
        documents = ("/app/", *sorted(set(PAGES.values())))
        return (
            Route("GET", "/app", self._to_folder, PUBLIC, hidden=True),
            *(Route("GET", path, self._serve_document, PUBLIC, hidden=True) for path in documents),
            Route("GET", "/app/{address}", self._serve_missing, PUBLIC, hidden=True),
            *(Route("GET", path, self._serve_file, PUBLIC, hidden=True) for path in FILES),
        )

    async def _to_folder(self, _call: RequestContext) -> Answer:
        return Answer(b"", 307, {hdrs.LOCATION: "app/", hdrs.CONTENT_TYPE: DOCUMENT})

    async def _serve_document(self, _call: RequestContext) -> Answer:
        return Answer(self._document, headers=HEADERS)

    async def _serve_missing(self, _call: RequestContext) -> Answer:
        """The document says what was not found, in the reader's language."""
        return Answer(self._document, 404, HEADERS)

    async def _serve_file(self, call: RequestContext) -> Answer:
        stamp, *parts = call.path.values()
        name = "/".join(parts)
        if stamp != self.stamp or name not in self._files:
            raise NotFound(ROUTER[404])
        headers: dict[str, str] = {
            hdrs.CONTENT_TYPE: TYPES[Path(name).suffix],
            hdrs.CACHE_CONTROL: YEAR,
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
        if not accepts_gzip(call.request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            return Answer(self._files[name], headers=headers)
        if not self._compressed:
            self._compressed = await in_thread(_compressed, self._files)
        return Answer(self._compressed[name], headers={**headers, hdrs.CONTENT_ENCODING: "gzip"})


def served(path: Path) -> bytes:
    """A file as it is sent: a script without its comments, which are a seventh of it, each line where it was."""
    body = path.read_bytes()
    return _COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), body) if path.suffix == ".js" else body


def needed(files: Mapping[str, bytes], begin: Iterable[str]) -> list[str]:
    """Some modules and all that they import, each before what it imports."""
    found, left = list[str](), [*begin]
    while left:
        name = left.pop(0)
        if name not in found:
            found.append(name)
            left += (normpath(join(dirname(name), link)) for link in _IMPORT.findall(files[name].decode()))
    return found


def accepts_gzip(header: str) -> bool:
    """Whether ``Accept-Encoding`` names gzip and does not refuse it with a weight of zero (RFC 9110, 12.5.3)."""
    for part in header.lower().split(","):
        name, _, weight = part.replace(" ", "").partition(";q=")
        if name in {"gzip", "x-gzip"}:
            return weight.strip("0.") != "" or not weight
    return False


def _compressed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: gzip.compress(body, 9, mtime=0) for name, body in files.items()}


def _hash(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, body in files.items():
        digest.update(f"{name}\0{len(body)}\0".encode())
        digest.update(body)
    return digest.hexdigest()[:16]
