"""Every difference between the published shapes and the document, each as a place and what happened there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from voyagent.http.schemas.shared import MARK

WORDS = {"title", "description", "example", "examples", "summary", "headers", MARK}
"""What explains a shape and is no part of it."""


class Difference(NamedTuple):
    """What was added, left out or changed at a place: ``GET /path …`` of an operation, ``Name.field`` of a schema."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


def plain(shape: Any) -> Any:
    """A shape without its words. A property that is called like one of them stays."""
    if isinstance(shape, dict):
        return {
            name: {field: plain(each) for field, each in value.items()} if name == "properties" else plain(value)
            for name, value in shape.items()
            if name not in WORDS and not name.startswith("x-")
        }
    return [plain(each) for each in shape] if isinstance(shape, list) else shape


def differences(published: dict[str, Any], ours: dict[str, Any]) -> Iterator[Difference]:
    """All of them, operations first."""
    for path in sorted({*published["paths"], *ours["paths"]}):
        yield from _path(path, published["paths"].get(path, {}), ours["paths"].get(path, {}))
    before, after = published["components"]["schemas"], ours["components"]["schemas"]
    for name in sorted({*before, *after}):
        if name not in after:
            yield Difference(name, "missing")
        elif name not in before:
            yield Difference(name, "added")
        else:
            yield from _schema(name, plain(before[name]), plain(after[name]))


def _path(path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    for method in sorted({*before, *after}):
        place = f"{method.upper()} {path}"
        if method not in after:
            yield Difference(place, "missing")
        elif method not in before:
            yield Difference(place, "added")
        else:
            yield from _operation(place, before[method], after[method])


def _operation(place: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    for name in ("operationId", "tags", "requestBody"):
        yield from _changed(f"{place} {name}", plain(before.get(name)), plain(after.get(name)))
    known, now = ({(each["in"], each["name"]): plain(each) for each in of["parameters"]} for of in (before, after))
    yield from _members(f"{place} parameter ", known, now, " ".join)
    answered, answers = (
        {status: plain(each).get("content") for status, each in of["responses"].items()} for of in (before, after)
    )
    yield from _members(f"{place} response ", answered, answers, str)


def _schema(name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    fields = (before.pop("properties", {}), after.pop("properties", {}))
    required = [set(of.pop("required", ())) for of in (before, after)]
    yield from _changed(name, before, after)
    yield from _members(f"{name}.", *fields, str)
    for field in sorted(fields[0].keys() & fields[1].keys()):
        if (field in required[0]) != (field in required[1]):
            yield Difference(f"{name}.{field}", "now required" if field in required[1] else "now optional")


def _members(place: str, before: Any, after: Any, shown: Any) -> Iterator[Difference]:
    for key in sorted({*before, *after}):
        if key not in after:
            yield Difference(f"{place}{shown(key)}", "missing")
        elif key not in before:
            yield Difference(f"{place}{shown(key)}", "added")
        else:
            yield from _changed(f"{place}{shown(key)}", before[key], after[key])


def _changed(place: str, before: Any, after: Any) -> Iterator[Difference]:
    if before != after:
        yield Difference(place, "changed")
