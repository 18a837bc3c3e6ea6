"""What an operation of the API takes, replies and refuses, declared beside its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel

from .request_context import Answer, RequestContext

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

Handler = Callable[[RequestContext], Awaitable[Answer | web.StreamResponse]]
Refusals = Mapping[int, tuple[str, ...]]
"""Error statuses with their codes."""
JsonSchema = Mapping[str, Any]

OBJECT: Final[JsonSchema] = {"type": "object", "additionalProperties": True}
STRINGS: Final[JsonSchema] = {"type": "object", "additionalProperties": {"type": "string"}}

THROTTLED: Final[Refusals] = {429: ("too_many_attempts",)}
RUNTIME_UNAVAILABLE: Final[Refusals] = {503: ("agent_runtime_unavailable",)}


@dataclass(frozen=True, slots=True)
class Operation:
    """A handler with its description. Called like the handler itself.

    ``body`` and ``query`` are the models its request is read as, ``reply`` the model of the success body, or its JSON
    schema, or ``None`` for no body. ``refusals`` are those of the handler itself; guard and decoding have their own.
    ``headers`` describes further request headers it reads. ``name`` is the published name where it is not the
    handler's. ``empty`` says when it answers 204 without a body instead. ``addition`` marks what goes beyond the 49
    published operations. ``sends`` and ``example`` are a request body and a reply to show, where none can be made from
    the schema that says enough. ``reply_headers`` names the further headers of a success, of those the document knows.
    """

    handler: Handler
    name: str = field(default="", kw_only=True)
    body: type[BaseModel] | None = field(default=None, kw_only=True)
    body_required: bool = field(default=True, kw_only=True)
    query: type[BaseModel] | None = field(default=None, kw_only=True)
    reply: type[BaseModel] | JsonSchema | None = field(default=None, kw_only=True)
    media: str = field(default=JSON, kw_only=True)
    refusals: Refusals = field(default_factory=dict, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    empty: str = field(default="", kw_only=True)
    addition: bool = field(default=False, kw_only=True)
    sends: Mapping[str, Any] | None = field(default=None, kw_only=True)
    example: Any = field(default=None, kw_only=True)
    reply_headers: tuple[str, ...] = field(default=(), kw_only=True)

    def __call__(self, call: RequestContext) -> Awaitable[Answer | web.StreamResponse]:
        return self.handler(call)

    @classmethod
    def of(cls, handler: Handler) -> Operation:
        """The operation of a handler; without a decorator it takes nothing and replies nothing described."""
        return handler if isinstance(handler, Operation) else cls(handler)


def operation(
    *,
    name: str = "",
    body: type[BaseModel] | None = None,
    body_required: bool = True,
    query: type[BaseModel] | None = None,
    reply: type[BaseModel] | JsonSchema | None = None,
    media: str = JSON,
    refusals: Refusals | None = None,
    headers: Mapping[str, str] | None = None,
    empty: str = "",
    addition: bool = False,
    sends: Mapping[str, Any] | None = None,
    example: Any = None,
    reply_headers: tuple[str, ...] = (),
) -> Callable[[Handler], Operation]:
    """Declare the decorated handler as an ``Operation``."""

    def declare(handler: Handler) -> Operation:
        return Operation(
            handler,
            name=name,
            body=body,
            body_required=body_required,
            query=query,
            reply=reply,
            media=media,
            refusals=refusals or {},
            headers=headers or {},
            empty=empty,
            addition=addition,
            sends=sends,
            example=example,
            reply_headers=reply_headers,
        )

    return declare
