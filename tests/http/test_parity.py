"""The document against the published shapes: every difference is listed with its reason, or fails."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests.http.parity import Difference, differences, plain
from voyagent.http.openapi import document
from voyagent.http.routes import ROUTES
from voyagent.http.schemas.shared import MARK

DATA = Path(__file__).parent / "data"
PUBLISHED = json.loads((DATA / "openapi-shapes.json").read_text())
INTENDED = tomllib.loads((DATA / "differences.toml").read_text())["intended"]
PLACES = [place for each in INTENDED for place in each["places"]]
OURS = document(ROUTES, "test")
FOUND = list(differences(PUBLISHED, OURS))


def test_every_published_operation_is_served() -> None:
    published = {(path, method) for path, methods in PUBLISHED["paths"].items() for method in methods}
    assert len(published) == 49
    assert not [(path, method) for path, method in published if method not in OURS["paths"].get(path, {})]


def test_every_difference_is_intended() -> None:
    unlisted = [str(each) for each in FOUND if not any(fnmatchcase(str(each), place) for place in PLACES)]
    assert unlisted == []


def test_every_intended_difference_is_one() -> None:
    assert [place for place in PLACES if not any(fnmatchcase(str(each), place) for each in FOUND)] == []
    assert all(each["reason"].endswith(".") for each in INTENDED)


ADDABLE = re.compile(r"[A-Z]+ \S+|[A-Z]+ \S+ parameter query \w+|\w+\.\w+")
"""Operations, query parameters, and fields of schemas that were published."""


def marked(difference: Difference) -> bool:
    """Whether what was added is marked in the document as an addition."""
    words = difference.place.split()
    if len(words) == 1:
        schema, _, field = difference.place.partition(".")
        return bool(OURS["components"]["schemas"][schema]["properties"][field].get(MARK))
    told = OURS["paths"][words[1]][words[0].lower()]
    if len(words) == 2:
        return bool(told.get(MARK))
    return any(each.get(MARK) for each in told["parameters"] if each["name"] == words[-1])


def test_what_was_added_to_the_published_interface_is_marked_and_nothing_else() -> None:
    additions = {each for each in FOUND if each.what == "added" and ADDABLE.fullmatch(each.place)}
    assert {str(each) for each in additions if not marked(each)} == set()
    operations = [told for methods in OURS["paths"].values() for told in methods.values()]
    marks = sum(bool(each.get(MARK)) for told in operations for each in (told, *told["parameters"]))
    fields = [
        f"{name}.{field}"
        for name, schema in OURS["components"]["schemas"].items()
        if name in PUBLISHED["components"]["schemas"]
        for field, shape in schema.get("properties", {}).items()
        if shape.get(MARK)
    ]
    assert marks + len(fields) == len(additions)


@pytest.mark.parametrize(
    ("was", "now"),
    [("EnquiryResponse", "EnquiryCreatedResponse"), ("EnquiryResponse", "EnquiryFollowedResponse")],
)
def test_a_reply_that_took_the_place_of_another_has_all_of_it_and_marks_the_rest(was: str, now: str) -> None:
    before, after = (plain(OURS["components"]["schemas"][name]) for name in (was, now))
    shapes = OURS["components"]["schemas"][now]["properties"]
    added = {name for name, shape in shapes.items() if shape.get(MARK)}
    assert {name: shape for name, shape in after["properties"].items() if name not in added} == before["properties"]
    assert set(after["required"]) == {*before["required"], *added}


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda doc: doc["paths"].pop("/health"), "GET /health: missing"),
        (lambda doc: doc["paths"]["/auth/me"]["get"].update(operationId="x"), "GET /auth/me operationId: changed"),
        (
            lambda doc: doc["paths"]["/audit"]["get"]["responses"].pop("200"),
            "GET /audit response 200: missing",
        ),
        (
            lambda doc: doc["components"]["schemas"]["PublicUser"]["properties"].pop("role"),
            "PublicUser.role: missing",
        ),
        (
            lambda doc: doc["components"]["schemas"]["SignInRequest"]["properties"]["email"].update(maxLength=3),
            "SignInRequest.email: changed",
        ),
        (
            lambda doc: doc["components"]["schemas"]["SignInRequest"]["required"].remove("email"),
            "SignInRequest.email: now optional",
        ),
        (
            lambda doc: doc["components"]["schemas"]["SendMessageRequest"].update(required=["message"]),
            "SendMessageRequest.message: now required",
        ),
    ],
)
def test_a_change_of_a_published_shape_is_seen_and_not_intended(change: Any, seen: str) -> None:
    other = copy.deepcopy(OURS)
    change(other)
    assert seen in {str(each) for each in differences(PUBLISHED, other)}
    assert not any(fnmatchcase(seen, place) for place in PLACES)
