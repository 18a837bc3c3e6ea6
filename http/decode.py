"""Bodies and query strings: read within bounds, parsed strictly, told what is wrong and nothing of what was sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import accumulate, islice
from typing import Any, NoReturn, get_args, get_origin

from aiohttp import hdrs, web
from aiohttp.http_exceptions import PayloadEncodingError
from pydantic import BaseModel, ValidationError

from ..actors.domain.errors import PayloadTooLarge, RequestTimeout, Unsupported
from .errors import Invalid

LIMIT = 1024 * 1024
"""Bytes of a body; a route may take less."""

SECONDS = 20.0
"""For a body to arrive in: a client that dribbles must not hold a connection for ever."""

MAX_DEPTH = 100
MAX_DIGITS = 1000
"""Of one number: longer ones are absurd, and the time to read them grows with the square of their length."""

MAX_ITEMS = 100
"""Of one 422 list: a body of nothing but mistakes must not be answered by a bigger one."""

MAX_NAME = 64
"""Characters of a client's own field name that are repeated."""

Item = dict[str, Any]
Place = tuple[str | int, ...]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{\]}]|-?Infinity|NaN|-?[0-9][0-9.eE+-]*+', re.DOTALL)
"""What a strict reader must see outside strings. A string without an end swallows the rest, so one pass suffices."""
_ABSURD_EXPONENT = re.compile(r"[eE][+-]?0*[0-9]{4}")
MAX_TOKENS = 20_000
"""Of those one looks at to say where the first absurd one stands: that loop is ours and slow."""

BOM = b"\xef\xbb\xbf"
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_EXPONENT = re.compile(rb"[eE][+-]?+0*+[0-9]{4}")
_LONG_NUMBER = re.compile(rb"[0-9.eE+-]{64}")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SPACED = bytes(byte if byte in b"0123456789.eE+-" else 0x20 for byte in range(256))
_STEP = [{b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(bytes([byte]), 0) for byte in range(256)]
_FLATTENED = 4
"""Layers of nesting taken off by replacing before what is left is counted bracket by bracket."""
_ESCAPED_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")

_EXTRA = "Extra inputs are not permitted"
_NOT_AN_OBJECT = "Input should be a valid dictionary or object to extract fields from"
_QUOTED_CTX = ("min_length", "max_length", "gt", "ge", "lt", "le", "multiple_of", "expected", "code")
"""What of pydantic's context is passed on: our own limits, never what was sent."""

_PLAIN_MESSAGES = frozenset(
    {
        "bool_type",
        "date_from_datetime_parsing",
        "date_type",
        "decimal_max_digits",
        "decimal_max_places",
        "decimal_parsing",
        "decimal_type",
        "decimal_whole_digits",
        "dict_type",
        "extra_forbidden",
        "finite_number",
        "greater_than",
        "greater_than_equal",
        "int_parsing",
        "int_type",
        "less_than",
        "less_than_equal",
        "list_type",
        "literal_error",
        "missing",
        "string_pattern_mismatch",
        "string_too_long",
        "string_too_short",
        "string_type",
        "too_long",
        "too_short",
    }
)
"""Types whose message is made of our own limits alone; of any other only the type is told."""


async def read(request: web.Request, limit: int = LIMIT) -> bytes:
    """The whole body as it was sent. Unsupported; TooLarge; TooSlow; Invalid if it is not framed as HTTP says.

    Unsupported ``unsupported_content_encoding``: a small body could else become a big one.
    """
    if not request.can_read_body:
        return b""
    if is_encoded(request):
        raise Unsupported("unsupported_content_encoding")
    if (request.content_length or 0) > limit:
        raise PayloadTooLarge("body_too_large")
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            while piece := await request.content.readany():
                body += piece
                if len(body) > limit:
                    raise PayloadTooLarge("body_too_large")
    except TimeoutError:
        raise RequestTimeout("request_timeout") from None
    except (web.RequestPayloadError, PayloadEncodingError):
        _malformed(0)
    return bytes(body)


def is_encoded(request: web.Request) -> bool:
    """Whether the body is sent compressed, or in another form than its own (RFC 9110, 8.4)."""
    codings = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, [])).lower().split(",")
    return any(coding.strip() not in {"", "identity"} for coding in codings)


def shapes(
    request: web.Request,
    raw: bytes,
    *,
    body: type[BaseModel] | None,
    body_required: bool,
    query: type[BaseModel] | None,
    context: Any = None,
) -> tuple[BaseModel | None, BaseModel | None]:
    """Body and query as their models, or Invalid with everything wrong with either.

    ``context`` is what validators may ask besides what was sent.
    """
    document = _document(request, raw, required=body_required) if body is not None else None
    items: list[Item] = []
    read_query = read_body = None
    if query is not None:
        read_query = _checked(query, _parameters(request, query), "query", items, context)
    if body is not None and document is not None:
        plain = _ESCAPED_UNSTORABLE.search(raw) is None
        read_body = _checked(body, document, "body", items, context, plain=plain)
    if items:
        raise Invalid(items[:MAX_ITEMS])
    return read_body, read_query


def _document(request: web.Request, raw: bytes, *, required: bool) -> Any:
    """The body's JSON object; ``None`` if nothing was sent, or ``null``, where that is allowed."""
    if not raw:
        if required:
            raise Invalid([_item("missing", ("body",), "Field required")])
        return None
    if not _is_json(request.headers.get("Content-Type", "")):
        raise Invalid([_item("model_attributes_type", ("body",), _NOT_AN_OBJECT)])
    document = parse(raw)
    if document is None and not required:
        return None
    if not isinstance(document, dict):
        raise Invalid([_item("model_attributes_type", ("body",), _NOT_AN_OBJECT)])
    return document


def _is_json(media: str) -> bool:
    kind = media.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def parse(raw: bytes) -> Any:
    """Strict JSON (RFC 8259) in UTF-8; fractions become ``Decimal``. Invalid ``json_invalid`` with the offset.

    A byte order mark in front is passed over, as section 8.1 allows.
    """
    raw = raw.removeprefix(BOM)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        _malformed(error.start)
    if _is_suspicious(_STRING.sub(b"", raw)):
        _survey(text)
    try:
        return json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        _malformed(error.pos)


def _is_suspicious(rest: bytes) -> bool:
    """Whether a document without its strings may hold what ``_survey`` looks for.

    It sees everything that does, and now and then more. Each step runs in C over all bytes at once: this is done to
    every body of everybody, and the loop stands still meanwhile.
    """
    if b"N" in rest or b"I" in rest or _EXPONENT.search(rest):
        return True
    if _LONG_NUMBER.search(rest) and max(map(len, rest.translate(_SPACED).split())) > MAX_DIGITS:
        return True
    brackets, layers = rest.translate(None, _NO_BRACKETS), 0
    while len(brackets) > MAX_DEPTH and layers < _FLATTENED:
        brackets, layers = brackets.replace(b"[]", b"").replace(b"{}", b""), layers + 1
    if len(brackets) + 2 * layers <= MAX_DEPTH:
        return False
    return max(accumulate(map(_STEP.__getitem__, brackets))) + 2 * layers > MAX_DEPTH


def _survey(text: str) -> None:
    """Refuse what the parser would take: nesting without end, endless numbers, and numbers that are none."""
    depth = 0
    for count, token in enumerate(_TOKEN.finditer(text)):
        first = token[0][0]
        if first in "[{":
            depth += 1
        elif first in "]}":
            depth -= 1
        if depth > MAX_DEPTH or (first != '"' and _is_absurd(token[0])):
            _malformed(token.start())
        if count > MAX_TOKENS:
            _malformed(0)


def _is_absurd(token: str) -> bool:
    return token.endswith(("Infinity", "NaN")) or len(token) > MAX_DIGITS or bool(_ABSURD_EXPONENT.search(token))


def _malformed(offset: int) -> NoReturn:
    raise Invalid([_item("json_invalid", ("body", offset), "JSON decode error")]) from None


def _parameters(request: web.Request, model: type[BaseModel]) -> dict[str, Any]:
    """The query string as the model's input: the last of a repeated parameter, all of one that is a list."""
    sent = request.query
    given: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        wire = field.alias or name
        if wire in sent:
            values = sent.getall(wire)
            given[wire] = values if _is_list(field.annotation) else values[-1]
    return given


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(part) for part in get_args(annotation))


def _checked(
    model: type[BaseModel],
    value: Mapping[str, Any],
    where: str,
    items: list[Item],
    context: Any,
    *,
    plain: bool = False,
) -> BaseModel | None:
    """The model made of ``value``; ``None`` after adding to ``items`` what is wrong with it.

    ``plain`` is known to hold nothing that cannot be stored. Keys the model does not have are told without having it
    look at them: its own list of them is built whole before any of it is read.
    """
    known, unknown = _split(model, value)
    unstorable = {} if plain else dict.fromkeys(islice(_unstorable(value, (where,)), MAX_ITEMS))
    items.extend(
        _item("value_error", place, "Value error, text_not_storable", {"code": "text_not_storable"})
        for place in unstorable
    )
    made = None
    try:
        made = model.model_validate(known, context=context)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)
        items.extend(_told(one, where) for one in told[:MAX_ITEMS] if (where, *one["loc"]) not in unstorable)
    places = ((where, name) for name in unknown)
    items.extend(_item("extra_forbidden", place, _EXTRA) for place in places if place not in unstorable)
    return None if unstorable or unknown else made


def _split(model: type[BaseModel], value: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """What the model has a field for, and the first names it has none for and does not ignore."""
    names = {field.alias or name for name, field in model.model_fields.items()}
    if names.issuperset(value):
        return value, []
    known = {name: value[name] for name in names if name in value}
    if model.model_config.get("extra") != "forbid":
        return known, []
    return known, list(islice((name for name in value if name not in names), MAX_ITEMS))


def _unstorable(value: Any, place: Place) -> Iterator[Place]:
    """Where a NUL or a lone surrogate is: Postgres takes neither, and UTF-8 not the latter."""
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            yield place
    elif isinstance(value, dict):
        for name, inner in value.items():
            if _UNSTORABLE.search(name):
                yield (*place, name)
            else:
                yield from _unstorable(inner, (*place, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unstorable(inner, (*place, index))


def _told(error: Mapping[str, Any], where: str) -> Item:
    """One of pydantic's errors in our words: no value, no class, no exception's text unless it is a code."""
    kind, place = error["type"], (where, *error["loc"])
    ctx = {name: value for name, value in error.get("ctx", {}).items() if name in _QUOTED_CTX}
    if kind in {"value_error", "assertion_error"}:
        code = str(error.get("ctx", {}).get("error", ""))
        if not _CODE.fullmatch(code):
            return _item("value_error", place, "Value error")
        return _item("value_error", place, f"Value error, {code}", {"code": code})
    if kind in {"model_type", "model_attributes_type"}:
        return _item("model_attributes_type", place, _NOT_AN_OBJECT)
    return _item(kind, place, error["msg"] if kind in _PLAIN_MESSAGES else "Input is not valid", ctx)


def storable(text: str) -> str:
    """``text`` as the database can be asked for it. What it cannot hold names nothing, and still does."""
    return _UNSTORABLE.sub("\ufffd", text)


def _item(kind: str, place: Place, message: str, ctx: Item | None = None) -> Item:
    item: Item = {
        "type": kind,
        "loc": [part[:MAX_NAME] if isinstance(part, str) else part for part in place],
        "msg": message,
    }
    if ctx:
        item["ctx"] = ctx
    return item
