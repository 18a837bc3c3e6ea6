"""One line of the route table: the declaration of an operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from . import decode
from .guards import Guard
from .request_context import Answer, RequestContext

Handler = Callable[[RequestContext], Awaitable[Answer | web.StreamResponse]]

SMALL, MESSAGE = 16 * 1024, 256 * 1024

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
UNTAGGED = frozenset({"health", "internal", "schemas"})
"""First path segments whose operations have no tag in the document."""


@dataclass(frozen=True, slots=True)
class Route:
    """An operation. Method, path, handler, guard and success status are positional, the rest are keywords.

    ``name`` is the published name where it is not the handler's own. ``reply`` is the model of the success body, or
    its JSON schema, or ``None`` for no body. ``refusals`` maps further statuses to their codes, for the document.
    ``idempotent`` routes read ``Idempotency-Key``; ``headers`` describes others the handler reads. ``addition`` marks
    what goes beyond the 49 published operations; ``hidden`` leaves a route out of the document. ``example`` is a reply
    to show where the schema is too open to make one from.
    """

    method: str
    path: str
    handler: Handler
    guard: Guard
    status: int = 200
    name: str = field(default="", kw_only=True)
    body: type[BaseModel] | None = field(default=None, kw_only=True)
    body_required: bool = field(default=True, kw_only=True)
    query: type[BaseModel] | None = field(default=None, kw_only=True)
    reply: type[BaseModel] | Mapping[str, Any] | None = field(default=None, kw_only=True)
    media: str = field(default=JSON, kw_only=True)
    refusals: Mapping[int, tuple[str, ...]] = field(default_factory=dict, kw_only=True)
    idempotent: bool = field(default=False, kw_only=True)
    addition: bool = field(default=False, kw_only=True)
    hidden: bool = field(default=False, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    example: Mapping[str, Any] | None = field(default=None, kw_only=True)

    @property
    def body_limit(self) -> int:
        """The maximum body size in bytes. Smaller under ``/auth``, where callers may be unauthenticated."""
        if self.path.startswith("/auth/") or (self.method == "PATCH" and self.path != "/tenant-settings"):
            return SMALL
        return MESSAGE if self.path.endswith("/messages") else decode.LIMIT

    @property
    def operation_id(self) -> str:
        """The published id: name, path and method, joined by underscores."""
        name = self.name or getattr(self.handler, "__name__", "")
        words = "".join(letter if letter.isalnum() else "_" for letter in f"{name}{self.path}")
        return f"{words}_{self.method.lower()}"

    @property
    def tag(self) -> str | None:
        """Its group in the document: the first path segment."""
        first = self.path.split("/")[1]
        return None if first in UNTAGGED else first

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's parameters, in order."""
        parts = self.path.split("/")
        return tuple(part[1:-1] for part in parts if part.startswith("{"))
