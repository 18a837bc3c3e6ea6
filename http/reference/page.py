"""The reference as an HTML page: what the templates show of each operation, schema and error code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ..error_codes import MEANINGS
from ..event_schemas import MEANINGS as EVENT_MEANINGS
from ..event_schemas import USED
from ..event_schemas import name as event_schema
from ..examples import FRAMES
from ..openapi import guard_words
from ..openapi_responses import CODES
from ..operation import JSON
from ..route import Route
from ..schemas.shared import MARK
from . import curl
from .subjects import OTHERS, SUBJECTS, subject_of

Json = Mapping[str, Any]
CODE: Final = Markup("<code>{}</code>")
BOUNDS: Final = ("minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "maxProperties")


LINKS: Final = {
    "refresh": ("POST", "/auth/refresh"),
    "send": ("POST", "/chat/sessions/{session_id}/messages"),
    "events": ("GET", "/chat/sessions/{session_id}/events"),
    "ticket": ("POST", "/chat/sessions/{session_id}/ticket"),
}
"""The operations that the guide links to."""
START: Final = {
    "sign_up": ("POST", "/auth/sign-up"),
    "session": ("POST", "/chat/sessions"),
    "message": ("POST", "/chat/sessions/{session_id}/messages"),
    "approvals": ("GET", "/approvals"),
    "resolve": ("POST", "/approvals/{approval_id}/resolve"),
}
"""The operations whose commands the guide begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A parameter, or a field of a schema."""

    name: str
    kind: str
    schema: str
    note: str
    addition: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A status of an operation: what it has in its body, and its error codes."""

    status: str
    text: str
    schema: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An operation."""

    anchor: str
    method: str
    path: str
    summary: str
    text: tuple[str, ...]
    who: str
    addition: bool
    curl: tuple[curl.Part, ...]
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    body_schema: str
    answers: tuple[Reply, ...]
    example: str

    @property
    def words(self) -> str:
        """What a search looks through."""
        fields = [field.name for field in (*self.parameters, *self.body)]
        codes = [code for answer in self.answers for code in answer.codes]
        return " ".join([self.method, self.path, self.summary, *self.text, *fields, *codes])


def html(routes: Sequence[Route], described: Json, stamp: str) -> str:
    """The page. ``stamp`` is in the addresses of its assets and changes with them."""
    shown = [(route, _shown(route, described)) for route in routes if not route.hidden]
    subjects = [
        {
            "anchor": subject.anchor,
            "title": subject.title,
            "text": subject.text,
            "operations": [one for route, one in shown if subject_of(route) is subject],
        }
        for subject in (*SUBJECTS, OTHERS)
    ]
    commands = {route.operation_id: one.curl for route, one in shown}
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=described["info"]["title"],
            version=described["info"]["version"],
            description=described["info"]["description"],
            stamp=stamp,
            subjects=[each for each in subjects if each["operations"]],
            schemas=[_schema(name, schema) for name, schema in described["components"]["schemas"].items()],
            codes=list(_codes(described)),
            kinds=[
                {
                    "name": kind,
                    "schema": event_schema(kind),
                    "carries": ", ".join(f"`{key}`" for key in used),
                    "meaning": EVENT_MEANINGS[kind],
                }
                for kind, used in USED.items()
            ],
            frames=FRAMES,
            commands=commands,
            anchors={word: _operation(shown, method, path) for word, (method, path) in LINKS.items()},
            start={word: commands.get(_operation(shown, method, path), ()) for word, (method, path) in START.items()},
            id_fields=sorted({part.fill for parts in commands.values() for part in parts} - {"", *curl.DEFAULTS}),
        )
    )


def _operation(shown: Sequence[tuple[Route, Shown]], method: str, path: str) -> str:
    """The id of an operation; empty if it is not among these routes."""
    return next((route.operation_id for route, _ in shown if (route.method, route.path) == (method, path)), "")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["prose"] = prose
    made.filters["anchor"] = anchor
    return made


def prose(text: str) -> Markup:
    """A sentence as HTML: escaped, with what stands between backquotes marked up as code."""
    pieces = text.replace("``", "`").split("`")
    marked = (CODE.format(piece) if place % 2 else escape(piece) for place, piece in enumerate(pieces))
    return Markup("").join(marked)


def anchor(text: str) -> str:
    """``text`` as the end of an id."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")


def _shown(route: Route, described: Json) -> Shown:
    documented = described["paths"][route.path][route.method.lower()]
    schemas = described["components"]["schemas"]
    body = _named(documented.get("requestBody"))
    return Shown(
        anchor=route.operation_id,
        method=route.method,
        path=route.path,
        summary=documented["summary"],
        text=tuple(" ".join(each.split()) for each in documented["description"].split("\n\n")),
        who=f"Authentication: {guard_words(route.guard)}.",
        addition=documented.get(MARK, False),
        curl=curl.command(route, documented),
        parameters=tuple(_parameters(documented)),
        body=tuple(_fields(schemas[body])) if body else (),
        body_schema=body,
        answers=tuple(_reply(status, answer) for status, answer in documented["responses"].items()),
        example=_example(documented["responses"][str(route.status)]),
    )


def _named(holder: Json | None) -> str:
    """The name of the schema of a body; empty if it has none."""
    schema = (holder or {}).get("content", {}).get(JSON, {}).get("schema", {})
    ref = schema.get("$ref") or next((one["$ref"] for one in schema.get("anyOf", ()) if "$ref" in one), "")
    return str(ref).rpartition("/")[2]


def _parameters(documented: Json) -> Iterator[Field]:
    for one in documented["parameters"]:
        kind, schema = kind_of(one["schema"])
        need = "required" if one["required"] else "optional"
        yield Field(
            name=one["name"],
            kind=f"{one['in']}, {kind}" if kind else one["in"],
            schema=schema,
            note=f"{need}. {one.get('description', '')}".strip(),
            addition=one.get(MARK, False),
        )


def _fields(schema: Json) -> Iterator[Field]:
    required = schema.get("required", ())
    for each, shape in schema.get("properties", {}).items():
        kind, ref = kind_of(shape)
        note = " ".join(filter(None, ["" if each in required else "optional.", shape.get("description", "")]))
        yield Field(name=each, kind=kind, schema=ref, note=note, addition=shape.get(MARK, False))


def _schema(of: str, schema: Json) -> dict[str, Any]:
    variants = [str(one["$ref"]).rpartition("/")[2] for one in schema.get("oneOf", ())]
    text = schema.get("description", "")
    return {
        "name": of,
        "anchor": f"schema-{of}",
        "text": f"{text} One of {', '.join(f'`{each}`' for each in variants)}." if variants else text,
        "fields": list(_fields(schema)),
    }


def _reply(status: str, answer: Json) -> Reply:
    codes = tuple(answer.get(CODES, ()))
    media = ", ".join(answer.get("content", {}))
    if status.startswith("2"):
        return Reply(status=status, text=media or answer["description"], schema=_named(answer), codes=())
    listed = "a list of validation errors" if status == "422" else ""
    return Reply(status=status, text=listed, schema="", codes=codes)


def _example(answer: Json) -> str:
    for media, content in answer.get("content", {}).items():
        example = content.get("example")
        if example is not None:
            return json.dumps(example, indent=2, ensure_ascii=False) if media == JSON else str(example)
    return ""


def _codes(described: Json) -> Iterator[dict[str, str]]:
    statuses: dict[str, set[str]] = {}
    for methods in described["paths"].values():
        for one in methods.values():
            for status, answer in one["responses"].items():
                for code in answer.get(CODES, ()):
                    statuses.setdefault(code, set()).add(status)
    for code in sorted(statuses):
        yield {"name": code, "statuses": ", ".join(sorted(statuses[code])), "meaning": MEANINGS[code]}


def kind_of(schema: Json) -> tuple[str, str]:
    """A schema as a short text, and the name of the schema it refers to, if any."""
    if "$ref" in schema:
        return "", str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        kinds = [kind_of(one) for one in schema["anyOf"]]
        return " or ".join(kind for kind, _ in kinds if kind), next((ref for _, ref in kinds if ref), "")
    if "items" in schema:
        kind, ref = kind_of(schema["items"])
        return f"list of {kind}".rstrip() if not ref else "list of", ref
    if "const" in schema or "enum" in schema:
        words = " or ".join(f"`{each}`" for each in schema.get("enum", [schema.get("const")]))
    else:
        kind = schema.get("type", "any")
        words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    words = f"{words} ({schema['format']})" if "format" in schema else words
    bounds = [f"{each} {schema[each]}" for each in BOUNDS if each in schema]
    default = [f"default `{schema['default']}`"] if schema.get("default") not in (None, "") else []
    return ", ".join([words, *bounds, *default]), ""
