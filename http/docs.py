"""The API reference as OpenAPI JSON and as an HTML page, both rendered once from the route table."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from .examples import UUID, sample
from .guards import PUBLIC
from .middleware import CSP
from .openapi import document, guard_words
from .operation import EVENT_STREAM, JSON
from .request_context import Answer, RequestContext
from .route import Route

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2330 }
h2 { margin-top: 3rem; border-bottom: 1px solid #cbd2dc }
h3 code { font-size: 1.05rem }
h3 b { display: inline-block; min-width: 4.5rem }
code, pre { font: 14px/1.45 ui-monospace, monospace; background: #f2f4f7; border-radius: 4px }
code { padding: .1rem .3rem }
pre { padding: .8rem; overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #e4e8ee }
.addition { color: #7a4b00; font-size: .85rem }
"""

FRAMES = """retry: 2000

id: 41
event: agent_event
data: {"kind":"text_delta","turn_id":"t-5f0c9e1ab27d","text":"Two flights fit. ",…}

event: heartbeat
data:

id: 42
event: agent_event
data: {"kind":"final","turn_id":"t-5f0c9e1ab27d",…}"""
"""An example event stream. A real event has all its 12 keys on one line."""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
PAGE_CSP = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
"""The page's Content-Security-Policy: its one style sheet, no script, no other origin."""


class Documents:
    """Serves both renderings. Public, and hidden from the document itself."""

    def __init__(self, routes: Sequence[Route], version: str) -> None:
        described = document(routes, version)
        self._json = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
        self._page = page(routes, described).encode()

    def routes(self) -> tuple[Route, ...]:
        """The routes of the two renderings."""
        return (
            Route("GET", "/openapi.json", self.openapi, PUBLIC, hidden=True),
            Route("GET", "/docs", self.docs, PUBLIC, hidden=True),
        )

    async def openapi(self, _call: RequestContext) -> Answer:
        return Answer(self._json)

    async def docs(self, _call: RequestContext) -> Answer:
        return Answer(self._page, headers={"Content-Type": "text/html; charset=utf-8", CSP: PAGE_CSP})


def page(routes: Sequence[Route], described: dict[str, Any]) -> str:
    """The whole page: every operation with its authentication, parameters, body, responses and an example."""
    groups: dict[str, list[Route]] = {}
    for route in routes:
        if not route.hidden:
            groups.setdefault(route.tag or "service", []).append(route)
    info = described["info"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        f'<p>{escape(info["description"])} OpenAPI document: <a href="openapi.json">openapi.json</a>.</p>',
        "<ul>",
        *(f'<li><a href="#{escape(name)}">{escape(name)}</a></li>' for name in groups),
        "</ul>",
    ]
    for name, members in groups.items():
        parts.append(f'<h2 id="{escape(name)}">{escape(name)}</h2>')
        for route in members:
            parts += _operation(route, described)
    return "\n".join([*parts, "</body></html>"])


def _operation(route: Route, described: dict[str, Any]) -> Iterator[str]:
    documented = described["paths"][route.path][route.method.lower()]
    schemas = described["components"]["schemas"]
    addition = ' <span class="addition">addition</span>' if route.operation.addition else ""
    title = f"<b>{escape(route.method)}</b> <code>{escape(route.path)}</code>{addition}"
    yield f'<h3 id="{escape(route.operation_id)}">{title}</h3>'
    yield f"<p>{_prose(documented['description'])}</p><p>Authentication: {escape(guard_words(route.guard))}.</p>"
    rows = [
        (
            f"{item['name']} ({item['in']})",
            _kind(item["schema"]),
            "required" if item["required"] else f"optional. {item.get('description', '')}".rstrip(". "),
        )
        for item in documented["parameters"]
    ]
    yield _table(("parameter", "type", ""), rows)
    body = route.operation.body.__name__ if route.operation.body is not None else None
    if body is not None:
        yield f"<p>Body <code>{escape(body)}</code></p>"
        yield _table(("field", "type", ""), list(_fields(schemas[body])))
    responses = documented["responses"].items()
    rows = [(status, response["description"].replace("`", ""), "") for status, response in responses]
    yield _table(("status", "response", ""), rows)
    yield f"<pre>{escape(_example(route, documented, schemas))}</pre>"


def _fields(schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for name, shape in schema.get("properties", {}).items():
        yield name, _kind(shape), "required" if name in required else "optional"


def _kind(schema: dict[str, Any]) -> str:
    """A schema as a short text."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    words = [" or ".join(map(str, schema.get("enum", [schema.get("const", schema.get("type", "any"))])))]
    if "items" in schema:
        words.append(f"of {_kind(schema['items'])}")
    bounds = ("format", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "default")
    words += [f"{name} {schema[name]}" for name in bounds if name in schema]
    return ", ".join(words)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _prose(text: str) -> str:
    """A docstring as HTML: escaped, with its code marked up."""
    pieces = escape(text).replace("``", "`").split("`")
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))


def _example(route: Route, documented: dict[str, Any], schemas: dict[str, Any]) -> str:
    """An example request and its response."""
    lines = [f"{route.method} {route.path.format(**dict.fromkeys(route.parameters, UUID))} HTTP/1.1"]
    if route.guard.needs_bearer:
        lines.append("Authorization: Bearer <token>")
    if route.operation.body is not None:
        shown = json.dumps(sample(schemas[route.operation.body.__name__], schemas), indent=2)
        lines += ["Content-Type: application/json", "", shown]
    answer = documented["responses"][str(route.status)]
    lines += ["", f"HTTP/1.1 {route.status} {answer['description']}"]
    for media, content in answer.get("content", {}).items():
        lines.append(f"Content-Type: {media}")
        if media == JSON:
            reply = (
                route.operation.example if route.operation.example is not None else sample(content["schema"], schemas)
            )
            lines += ["", json.dumps(reply, indent=2)]
        elif media == EVENT_STREAM:
            lines += ["", FRAMES]
    return "\n".join(lines)
