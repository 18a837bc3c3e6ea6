"""Bodies and query strings: read within bounds, parsed strictly, validated; a refusal quotes nothing that was sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, NoReturn, get_args, get_origin

from aiohttp import hdrs, web
from aiohttp.http_exceptions import PayloadEncodingError
from pydantic import BaseModel, ValidationError

from ..actors.domain.errors import PayloadTooLarge, RequestTimeout, Unsupported
from . import strict_json
from .errors import Invalid

LIMIT = 256 * 1024
"""Maximum bytes of a body; a route may take less."""

ARRIVAL_TIMEOUT = 20.0
"""Seconds for a body to arrive, so that a slow sender cannot hold a connection open for ever."""

MAX_ITEMS = 100
"""Validation errors in one 422 response: it must not be larger than the body it refuses."""

MAX_LOCATION = 8
"""Parts of a location that are repeated: a client may nest its own fields a hundred deep."""

MAX_NAME = 64
"""Characters repeated of a field name the client made up."""

Item = dict[str, Any]
Location = tuple[str | int, ...]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)

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
"""Error types whose message consists of our own limits. Of any other type only the type is sent."""


async def read(request: web.Request, limit: int = LIMIT) -> bytes:
    """The whole body as it was sent. Unsupported; PayloadTooLarge; RequestTimeout; Invalid if its framing is broken.

    Unsupported ``unsupported_content_encoding``: a small compressed body could become a large one.
    """
    if not request.can_read_body:
        return b""
    if is_encoded(request):
        raise Unsupported("unsupported_content_encoding")
    if (request.content_length or 0) > limit:
        raise PayloadTooLarge("body_too_large")
    body = bytearray()
    try:
        if request.content.is_eof():  # it came with its head
            body += request.content.read_nowait()
            if len(body) > limit:
                raise PayloadTooLarge("body_too_large")
            return bytes(body)
        async with asyncio.timeout(ARRIVAL_TIMEOUT):
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
    """Whether the body has a content coding other than ``identity`` (RFC 9110, 8.4)."""
    codings = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, [])).lower().split(",")
    return any(coding.strip() not in {"", "identity"} for coding in codings)


def validate(
    request: web.Request,
    raw: bytes,
    *,
    body: type[BaseModel] | None,
    body_required: bool,
    query: type[BaseModel] | None,
    context: Any = None,
) -> tuple[BaseModel | None, BaseModel | None]:
    """Body and query as their models, or Invalid with the errors of both.

    ``context`` is passed to the models' validators.
    """
    document = _document(request, raw, required=body_required) if body is not None else None
    items: list[Item] = []
    valid_query = valid_body = None
    if query is not None:
        valid_query = _validated(query, _parameters(request, query), "query", items, context)
    if body is not None and document is not None:
        storable = _ESCAPED_UNSTORABLE.search(raw) is None
        valid_body = _validated(body, document, "body", items, context, all_storable=storable)
    if items:
        raise Invalid(items[:MAX_ITEMS])
    return valid_body, valid_query


def _document(request: web.Request, raw: bytes, *, required: bool) -> Any:
    """The body's JSON object; ``None`` if an optional body is missing or ``null``."""
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
    """The body as strict JSON. Invalid ``json_invalid`` with the offset of the error."""
    try:
        return strict_json.parse(raw)
    except strict_json.MalformedJson as error:
        _malformed(error.offset)


def _malformed(offset: int) -> NoReturn:
    raise Invalid([_item("json_invalid", ("body", offset), "JSON decode error")]) from None


def _parameters(request: web.Request, model: type[BaseModel]) -> dict[str, Any]:
    """The query string as the model's input: the last of a repeated parameter, all values of a list."""
    sent = request.query
    lists = _fields(model)
    return {name: sent.getall(name) if lists[name] else sent.getall(name)[-1] for name in sent.keys() & lists.keys()}


@cache
def _fields(model: type[BaseModel]) -> Mapping[str, bool]:
    """The names of a model's fields on the wire, and whether each is a list."""
    return {field.alias or name: _is_list(field.annotation) for name, field in model.model_fields.items()}


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(part) for part in get_args(annotation))


def _validated(
    model: type[BaseModel],
    value: Mapping[str, Any],
    where: str,
    items: list[Item],
    context: Any,
    *,
    all_storable: bool = False,
) -> BaseModel | None:
    """The model of ``value``, or ``None`` after adding its errors to ``items``.

    Unknown fields are not passed to the model, which would build its whole list of them before any is read.
    """
    known, unknown = _split(model, value)
    unstorable = {} if all_storable else dict.fromkeys(islice(_unstorable(value, (where,)), MAX_ITEMS))
    items.extend(
        _item("value_error", location, "Value error, text_not_storable", {"code": "text_not_storable"})
        for location in unstorable
    )
    valid = None
    try:
        valid = model.model_validate(known, context=context)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        items.extend(_sent(one, where) for one in errors[:MAX_ITEMS] if (where, *one["loc"]) not in unstorable)
    locations = ((where, name) for name in unknown)
    items.extend(_item("extra_forbidden", location, _EXTRA) for location in locations if location not in unstorable)
    return None if unstorable or unknown else valid


def _split(model: type[BaseModel], value: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """The values the model has fields for, and the first unknown names if it refuses them."""
    names = _fields(model)
    if value.keys() <= names.keys():
        return value, []
    known = {name: value[name] for name in names if name in value}
    if model.model_config.get("extra") != "forbid":
        return known, []
    return known, list(islice((name for name in value if name not in names), MAX_ITEMS))


def _unstorable(value: Any, location: Location) -> Iterator[Location]:
    """Locations of NULs and lone surrogates: Postgres stores neither, and UTF-8 cannot encode the latter."""
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            yield location
    elif isinstance(value, dict):
        for name, inner in value.items():
            if _UNSTORABLE.search(name):
                yield (*location, name)
            elif isinstance(inner, str | dict | list):
                yield from _unstorable(inner, (*location, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, str | dict | list):
                yield from _unstorable(inner, (*location, index))


def _sent(error: Mapping[str, Any], where: str) -> Item:
    """One of pydantic's errors as it is sent: no value, no class, no exception's text unless it is a code."""
    kind, location = error["type"], (where, *error["loc"])
    ctx = {name: value for name, value in error.get("ctx", {}).items() if name in _QUOTED_CTX}
    if kind in {"value_error", "assertion_error"}:
        code = str(error.get("ctx", {}).get("error", ""))
        if not _CODE.fullmatch(code):
            return _item("value_error", location, "Value error")
        return _item("value_error", location, f"Value error, {code}", {"code": code})
    if kind in {"model_type", "model_attributes_type"}:
        return _item("model_attributes_type", location, _NOT_AN_OBJECT)
    return _item(kind, location, error["msg"] if kind in _PLAIN_MESSAGES else "Input is not valid", ctx)


def storable(text: str) -> str:
    """``text`` with what the database cannot store replaced, so that an id with such characters is simply unknown."""
    return _UNSTORABLE.sub("\ufffd", text)


def _item(kind: str, location: Location, message: str, ctx: Item | None = None) -> Item:
    item: Item = {
        "type": kind,
        "loc": [part[:MAX_NAME] if isinstance(part, str) else part for part in location[:MAX_LOCATION]],
        "msg": message,
    }
    if ctx:
        item["ctx"] = ctx
    return item
