"""The command line that calls an operation, ready to be pasted into a shell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any, Final
from urllib.parse import quote

from ..operation import EVENT_STREAM, JSON
from ..route import Route

BASE: Final = "base"
TOKEN: Final = "token"  # noqa: S105 -- the name of a field
DEFAULTS: Final = {BASE: "http://127.0.0.1:8010", TOKEN: "TOKEN"}
"""What stands in a command until its reader fills the fields in."""

LOGIN_SESSIONS: Final = "/auth/sessions/"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a command. A piece with ``fill`` is replaced by what the reader writes in the field of that name."""

    text: str
    fill: str = ""


def field_of(route: Route, parameter: str) -> str:
    """The name of the field that fills a path parameter in. Login sessions and conversations are both sessions."""
    return f"login_{parameter}" if route.path.startswith(LOGIN_SESSIONS) else parameter


def command(route: Route, documented: Mapping[str, Any]) -> tuple[Part, ...]:
    """The command of an operation, with the examples of its document."""
    return tuple(_merged(_parts(route, documented)))


def text_of(parts: tuple[Part, ...], given: Mapping[str, str]) -> str:
    """The command with the fields filled in."""
    return "".join(given.get(part.fill, part.text) if part.fill else part.text for part in parts)


def _parts(route: Route, documented: Mapping[str, Any]) -> Iterator[Part]:
    streams = EVENT_STREAM in documented["responses"].get("200", {}).get("content", {})
    yield Part(f"curl -s{'N' if streams else ''} ")
    if route.method != HTTPMethod.GET and not (route.method == HTTPMethod.POST and _body(documented) is not None):
        yield Part(f"-X {route.method} ")
    yield Part("'")
    yield Part(DEFAULTS[BASE], BASE)
    yield from _target(route, documented)
    yield Part("'")
    if route.guard.needs_bearer:
        yield Part(" -H 'Authorization: Bearer ")
        yield Part(DEFAULTS[TOKEN], TOKEN)
        yield Part("'")
    body = _body(documented)
    if body is not None:
        yield Part(f" -H 'Content-Type: {JSON}' -d {_quoted(json.dumps(body, ensure_ascii=False))}")


def _target(route: Route, documented: Mapping[str, Any]) -> Iterator[Part]:
    examples = {one["name"]: one.get("example") for one in documented["parameters"] if one["in"] == "path"}
    for place, piece in enumerate(_PARAMETER.split(route.path)):
        yield Part(str(examples[piece]), field_of(route, piece)) if place % 2 else Part(piece)
    required = [one for one in documented["parameters"] if one["in"] == "query" and one["required"]]
    for place, one in enumerate(required):
        yield Part(f"{'&' if place else '?'}{one['name']}=")
        value = quote(str(one["example"]), safe="")
        yield Part(value, one["name"]) if one["name"].endswith("_id") else Part(value)


def _body(documented: Mapping[str, Any]) -> Any:
    body = documented.get("requestBody")
    return None if body is None else body["content"][JSON].get("example")


def _merged(parts: Iterator[Part]) -> Iterator[Part]:
    """Adjacent pieces without a field are one."""
    text = ""
    for part in parts:
        if part.fill:
            yield Part(text)
            yield part
            text = ""
        else:
            text += part.text
    yield Part(text)


def _quoted(text: str) -> str:
    """A word in single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"
