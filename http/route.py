"""One line of the route table."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import decode
from .guards import PUBLIC, Guard
from .operation import Handler, Operation

SMALL_LIMIT = 16 * 1024

LARGE_CHANGES = frozenset({"/tenant-settings", "/enquiries/{enquiry_id}"})
"""Paths whose PATCH takes long texts."""

UNTAGGED = frozenset({"health", "internal", "schemas"})
"""First path segments whose operations have no tag in the document."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where an operation is served: method, path, handler, guard and success status.

    ``idempotent`` routes read ``Idempotency-Key``; ``hidden`` leaves a route out of the OpenAPI document.
    """

    method: str
    path: str
    handler: Handler
    guard: Guard
    status: int = 200
    idempotent: bool = field(default=False, kw_only=True)
    hidden: bool = field(default=False, kw_only=True)

    @property
    def operation(self) -> Operation:
        """The handler with its description."""
        return Operation.of(self.handler)

    @property
    def body_limit(self) -> int:
        """The maximum body size in bytes. Smaller under ``/auth``, where callers may be unauthenticated."""
        if self.path.startswith("/auth/") or (self.method == "PATCH" and self.path not in LARGE_CHANGES):
            return SMALL_LIMIT
        return decode.LIMIT

    @property
    def counts_malformed(self) -> bool:
        """Whether clients that send many malformed requests are throttled: under ``/auth``, where anybody may call."""
        return self.guard is PUBLIC and self.path.startswith("/auth/")

    @property
    def operation_id(self) -> str:
        """The published id: name, path and method, joined by underscores."""
        name = self.operation.name or getattr(self.operation.handler, "__name__", "")
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
