"""How the console is served: cached for ever by what it holds, small, closed to everything foreign."""

from __future__ import annotations

import gzip
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from voyagent.actors.domain.email_texts import PAGES
from voyagent.http.console.console import FOLDER, TYPES, Console, accepts_gzip, served

if TYPE_CHECKING:
    from tests.http.conftest import Client

DOCUMENTS = ["/app/", *sorted(set(PAGES.values()))]
TOKEN = "q" * 43
WIRE = 150_000
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.suffix in TYPES)


class Document(HTMLParser):
    """What a document loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        assert not any(name.startswith("on") or name == "style" for name in named)
        self.tags.append(tag)
        self.loads += [link for link in (named.get("href"), named.get("src")) if link]


async def loaded(client: Client, path: str = "/app/") -> Document:
    return Document((await client.send("GET", path)).raw.decode())


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_loading_the_document_asks_nobody_anything_and_repeats_nothing(client: Client, path: str) -> None:
    answer = await client.send("GET", f"{path}?token={TOKEN}")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert client.accounts.asked == client.accounts.told == []
    assert TOKEN not in answer.raw.decode()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert (await client.send("HEAD", path)).status == 200
    assert (await client.send("POST", path)).status == 405


async def test_the_policy_allows_what_this_service_sends_and_nothing_inline(client: Client) -> None:
    answer = await client.send("GET", "/app/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))

    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect", "img", "manifest")} == {"'self'"}
    assert {policy[name] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert re.findall(r"<(?:script|style)[^>]*>[^<]", answer.raw.decode()) == []


async def test_the_document_loads_its_own_files_by_relative_addresses(client: Client) -> None:
    document = await loaded(client)

    assert "noscript" in document.tags
    assert len(document.loads) > 10
    for link in document.loads:
        answer = await client.send("GET", f"/app/{link}")
        assert answer.status == 200
        assert re.fullmatch(r"[0-9a-f]{16}/[\w/-]+\.\w+", link)


@pytest.mark.parametrize("name", FILES)
async def test_a_file_may_be_cached_for_ever_and_is_compressed_for_whoever_takes_it(client: Client, name: str) -> None:
    path = f"/app/{Console().stamp}/{name}"
    plain = await client.send("GET", path, headers={"Accept-Encoding": "identity"})
    packed = await client.send("GET", path, headers={"Accept-Encoding": "br, gzip"})

    assert plain.raw == packed.raw == served(FOLDER / name)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) or len(plain.raw) < 400
    for answer in (plain, packed):
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Vary"] == "Accept-Encoding, Origin"
        assert answer.headers["Content-Type"] == TYPES[Path(name).suffix]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_path_of_no_document_is_answered_by_one_that_says_so(client: Client) -> None:
    found = await client.send("GET", "/app/")
    for path in ("/app/nonsense", "/app/nonsense?token=x", "/app/app.js"):
        answer = await client.send("GET", path)
        assert (answer.status, answer.raw) == (404, found.raw)
        for name in ("Content-Type", "Cache-Control", "Content-Security-Policy"):
            assert answer.headers[name] == found.headers[name]
    assert (await client.send("POST", "/app/nonsense")).status == 405


async def test_nothing_else_of_the_folder_is_served(client: Client) -> None:
    stamp = Console().stamp
    for name in ("console.py", "README.md", "index.html", "../routes.py", "views", "missing.js"):
        assert (await client.send("GET", f"/app/{stamp}/{name}")).status == 404
    assert (await client.send("GET", "/app/0123456789abcdef/app.js")).status == 404


async def test_without_its_slash_the_address_leads_there_below_any_prefix(client: Client) -> None:
    answer = await client.send("GET", "/app")
    assert (answer.status, answer.headers["Location"]) == (307, "app/")


async def test_the_console_is_not_in_the_document_of_the_api(client: Client) -> None:
    described = (await client.send("GET", "/openapi.json")).json["paths"]
    assert not any(f"{path}/".startswith("/app/") for path in described)


def test_links_of_e_mails_are_views_of_the_console() -> None:
    views = re.findall(r'^ {2}"([\w-]+)": \{ tag:', (FOLDER / "router.js").read_text("utf-8"), re.MULTILINE)
    assert {path.removeprefix("/app/") for path in PAGES.values()} <= set(views)


def test_another_byte_is_another_address(tmp_path: Path) -> None:
    copied = shutil.copytree(FOLDER, tmp_path / "console")
    before = Console(copied).stamp
    with (copied / "views" / "audit.js").open("ab") as file:
        file.write(b"\n")
    assert before == Console().stamp
    assert Console(copied).stamp != before


def test_all_of_it_is_small_on_the_wire() -> None:
    assert sum(len(gzip.compress(served(FOLDER / name), 9)) for name in FILES) < WIRE


def test_a_script_is_sent_without_its_comments_and_each_line_stays_where_it_was(tmp_path: Path) -> None:
    written = """// @ts-check
/**
 * Shows it. @param {string} link // and more
 */
export function show(link) { // stays
  /** @type {HTMLElement} */ (link).focus(); /* stays */
  const address = "https://example.com"; // "/* not one"
    // goes
  return /* stays */ address;
}
/* goes */
"""
    sent = """



export function show(link) { // stays
  /** @type {HTMLElement} */ (link).focus(); /* stays */
  const address = "https://example.com"; // "/* not one"

  return /* stays */ address;
}

"""
    script, sheet = tmp_path / "a.js", tmp_path / "a.css"
    script.write_text(written)
    sheet.write_text(written)
    assert served(script).decode() == sent
    assert served(sheet).decode() == written


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_no_template_spans_lines_so_that_no_text_reads_like_a_comment(name: str) -> None:
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    assert [line for line in lines if line.count("`") % 2] == []
    assert served(FOLDER / name).count(b"\n") == len(lines)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP;q=0.8", True),
        ("x-gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*", False),
    ],
)
def test_compression_is_for_clients_that_name_it(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken
