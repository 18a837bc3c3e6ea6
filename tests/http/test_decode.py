"""Bodies and query strings: what is taken, what is refused, and what a refusal never says."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field

from voyagent.http import decode, strict_json
from voyagent.http.errors import Invalid
from voyagent.http.routes import ROUTES
from voyagent.http.schemas.shared import Body, LooseBody, Offset, Paging, Query, QueryInt, coded

JSON = "application/json"
SHAPES: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "bench" / "shapes.py"))
BODIES = sorted(
    {route.operation.body for route in ROUTES if route.operation.body is not None}, key=lambda model: model.__name__
)
QUERIES = sorted(
    {route.operation.query for route in ROUTES if route.operation.query is not None}, key=lambda model: model.__name__
)
MARK = "zqxjk"
"""Stands in every value sent; no name, message or limit of ours has it."""


def _short_code(text: str) -> str:
    if text == "bad":
        raise coded("invalid_sample")
    if text == "worse":
        raise ValueError(f"{text} is what you sent")
    return text


class Inner(Body):
    flag: bool = False


class Sample(Body):
    text: Annotated[str, Field(min_length=2, max_length=5), AfterValidator(_short_code)]
    number: Annotated[int, Field(gt=0, le=10)] = 1
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    more: dict[str, bool] | None = None
    inner: Inner | None = None


class Loose(LooseBody):
    text: str


class Listed(Query):
    kind: list[str] | None = None
    from_: str | None = Field(default=None, alias="from")
    limit: Annotated[QueryInt, Field(ge=1, le=200)] = 50
    offset: Offset = 0


def items(
    raw: bytes = b"",
    *,
    model: Any = Sample,
    media: str | None = JSON,
    required: bool = True,
    path: str = "/",
    query: Any = None,
) -> list[dict[str, Any]]:
    """What is told to be wrong; nothing if the request is taken."""
    request = make_mocked_request("POST", path, headers={} if media is None else {"Content-Type": media})
    return wrong(lambda: decode.validate(request, raw, body=model, body_required=required, query=query))


def wrong(decoding: Callable[[], object]) -> list[dict[str, Any]]:
    """The items of the refusal; nothing without one."""
    try:
        decoding()
    except Invalid as refusal:
        return refusal.items or [{"type": "a refusal without a reason", "loc": []}]
    return []


def told(raw: bytes | str | dict[str, Any], **more: Any) -> list[tuple[str, list[Any]]]:
    """Types and places only."""
    sent = json.dumps(raw).encode() if isinstance(raw, dict) else raw.encode() if isinstance(raw, str) else raw
    return [(item["type"], item["loc"]) for item in items(sent, **more)]


@pytest.mark.parametrize(
    "media",
    ["application/json", "APPLICATION/JSON; charset=utf-8", "application/problem+json", "application/json;a=b;c"],
)
def test_json_is_taken_under_every_name_it_has(media: str) -> None:
    assert told({"text": "abc"}, media=media) == []


@pytest.mark.parametrize(
    "media", [None, "", "text/plain", "text/json", "application/x-www-form-urlencoded", "json", "+json"]
)
def test_json_under_another_name_is_no_object(media: str | None) -> None:
    assert told({"text": "abc"}, media=media) == [("model_attributes_type", ["body"])]


@pytest.mark.parametrize("raw", ["null", "[]", '"text"', "1", "true"])
def test_json_that_is_no_object_is_refused_at_the_body(raw: str) -> None:
    assert told(raw) == [("model_attributes_type", ["body"])]


def test_no_body_is_missing_before_its_media_type_is_asked() -> None:
    assert told(b"", media=None) == [("missing", ["body"])]


def test_an_optional_body_may_be_absent_null_or_empty() -> None:
    for raw, media in ((b"", None), (b"null", JSON), (b"{}", JSON)):
        assert items(raw, model=Inner, media=media, required=False) == []
    assert told("[]", model=Inner, required=False) == [("model_attributes_type", ["body"])]
    assert told("{}", model=Inner, required=False, media="text/plain") == [("model_attributes_type", ["body"])]


DEEP = "[" * 101 + "]" * 101
DEEP_OBJECTS = '{"a":' * 101 + "1" + "}" * 101


@pytest.mark.parametrize(
    ("raw", "offset"),
    [
        (b"{", 1),
        (b'{"text": }', 9),
        (b'{"text": "a"} x', 14),
        (b"  ", 2),
        (b'{"text": "\xff"}', 10),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", 0),
        (b'{"text": "a\nb"}', 11),
        (b'{"text": "\x00"}', 10),
        (b'{"text": NaN}', 9),
        (b'{"text": -Infinity}', 9),
        (b'{"text": Infinity}', 9),
        (b'{"text": "Infinity NaN", "number": NaN}', 35),
        (DEEP.encode(), 100),
        (b'{"a": ' + DEEP.encode(), 105),
        (DEEP_OBJECTS.encode(), 500),
        (b"{" * 1_000_000, 100),
        (b'{"number": ' + b"9" * 1001 + b"}", 11),
        (b'{"number": -' + b"9" * 400_000 + b"}", 11),
        (b'{"number": 1e99999999999999999999}', 11),
        (b'{"number": 1E+1000}', 11),
        (b'{"text": "' + b'\\"' * 400_000, 9),
        (b'{"granted": true, "granted": false}', 18),
        (b'{"text": "text", "more": [{"a": 1}, {"a": {}, "b": 2, "\\u0061": 3}]}', 54),
        (b'{"": 1, "": 1}', 8),
        (b"NaN]", 0),
        (b"1e9999}", 0),
        (b"9" * 1001 + b":", 0),
    ],
    ids=lambda value: value if isinstance(value, int) else repr(value[:24]),
)
def test_r49_malformed_json_is_told_with_its_offset(raw: bytes, offset: int) -> None:
    [item] = items(raw)

    assert (item["type"], item["loc"]) == ("json_invalid", ["body", offset])


def test_nesting_of_a_hundred_numbers_of_a_thousand_digits_and_brackets_in_texts_are_taken() -> None:
    for raw in (
        "[" * 100 + "]" * 100,
        "9" * 1000,
        '"' + "[" * 500 + '"',
        '"NaN Infinity 1e9999"',
        "1e999",
        "1e0999",
        "1E-00001",
    ):
        decode.parse(raw.encode())


def test_a_name_is_given_once_in_an_object_and_as_often_as_there_are_objects() -> None:
    text = '{"a": {"a": ["a", {"a": "a"}, {"a": 1, "A": 2}]}, "\\"a": 3, "\\\\a": 4}'
    assert decode.parse(text.encode()) == json.loads(text)


def test_a_byte_order_mark_in_front_is_passed_over() -> None:
    assert told(b'\xef\xbb\xbf{"text": "abc"}') == []


NESTED = st.recursive(
    st.sampled_from(["1", '"]"', '"["', "{}", "[]"]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]") | inner.map('{{"a":{}}}'.format)
    ),
    max_leaves=30,
)


@given(core=NESTED, deep=st.integers(90, 110), beside=st.integers(0, 40), cut=st.integers(0, 3))
def test_r49_the_bounds_are_exceeded_exactly_where_a_first_fault_is_found(
    core: str, deep: int, beside: int, cut: int
) -> None:
    text = "[" + "[[]]," * beside + "[" * deep + core + "]" * max(0, deep - cut) + "]"

    assert strict_json.is_bounded(text.encode()) == (strict_json.first_fault(text) is None)


def test_r49_a_document_may_have_so_many_structural_characters_outside_strings_and_no_more() -> None:
    fitting = b'{"a":[' + b"1," * (strict_json.MAX_STRUCTURE - 5) + b"1]}"

    assert len(decode.parse(fitting)["a"]) == strict_json.MAX_STRUCTURE - 4
    assert decode.parse(b'"' + b"[]{}:,," * 5_000 + b'"')
    [item] = wrong(lambda: decode.parse(fitting.replace(b"[1,", b"[1,1,")))
    assert item["loc"] == ["body", len(fitting) + 1]
    [item] = wrong(lambda: decode.parse(b'"" ' * 5_002))
    assert item["loc"] == ["body", 3 * 5_001]


def values(document: Any) -> int:
    """How many values a document has, itself and its keys included."""
    if isinstance(document, dict):
        return 1 + sum(1 + values(inner) for inner in document.values())
    return 1 + sum(map(values, document)) if isinstance(document, list) else 1


@pytest.mark.parametrize("shape", SHAPES["BODIES"])
def test_r49_no_document_has_more_values_than_its_bound_whatever_its_shape(shape: str) -> None:
    raw = SHAPES["BODIES"][shape](decode.LIMIT)
    parsed: list[Any] = []

    refused = wrong(lambda: parsed.append(decode.parse(raw)))

    assert [item["type"] for item in refused] == ([] if parsed else ["json_invalid"])
    assert all(values(document) <= 2 * strict_json.MAX_STRUCTURE for document in parsed)


def test_fractions_are_never_floats() -> None:
    parsed = decode.parse(b'{"a": 0.1, "b": 1e2, "c": 3}')

    assert parsed == {"a": Decimal("0.1"), "b": Decimal("1e2"), "c": 3}
    assert isinstance(parsed["a"], Decimal)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, [("missing", ["body", "text"])]),
        ({"text": None}, [("string_type", ["body", "text"])]),
        ({"text": 12}, [("string_type", ["body", "text"])]),
        ({"text": "a"}, [("string_too_short", ["body", "text"])]),
        ({"text": "abcdef"}, [("string_too_long", ["body", "text"])]),
        ({"text": "bad"}, [("value_error", ["body", "text"])]),
        ({"text": "abc", "number": True}, [("int_type", ["body", "number"])]),
        ({"text": "abc", "number": "5"}, [("int_type", ["body", "number"])]),
        ({"text": "abc", "number": 5.0}, [("int_type", ["body", "number"])]),
        ({"text": "abc", "number": 0}, [("greater_than", ["body", "number"])]),
        ({"text": "abc", "number": 10**300}, [("less_than_equal", ["body", "number"])]),
        ({"text": "abc", "flag": 1}, [("bool_type", ["body", "flag"])]),
        ({"text": "abc", "flag": "true"}, [("bool_type", ["body", "flag"])]),
        ({"text": "abc", "kind": "c"}, [("literal_error", ["body", "kind"])]),
        ({"text": "abc", "more": {"x": "yes"}}, [("bool_type", ["body", "more", "x"])]),
        ({"text": "abc", "inner": 3}, [("model_attributes_type", ["body", "inner"])]),
        ({"text": "abc", "other": 3}, [("extra_forbidden", ["body", "other"])]),
    ],
)
def test_values_are_what_they_say_they_are(sent: dict[str, Any], expected: list[tuple[str, list[Any]]]) -> None:
    assert told(sent) == expected


def test_extra_fields_are_ignored_where_the_contract_says_so() -> None:
    assert told({"text": "abc", "other": 3}, model=Loose) == []


def test_everything_wrong_is_told_at_once_query_and_body() -> None:
    found = told({"number": 0, "x": 1}, query=Paging, path="/?limit=0&offset=-1")

    assert found == [
        ("greater_than_equal", ["query", "limit"]),
        ("greater_than_equal", ["query", "offset"]),
        ("missing", ["body", "text"]),
        ("greater_than", ["body", "number"]),
        ("extra_forbidden", ["body", "x"]),
    ]


def test_items_have_their_limits_and_codes_as_context() -> None:
    assert items(b'{"text": "a"}')[0]["ctx"] == {"min_length": 2}
    assert items(b'{"text": "abc", "number": 11}')[0]["ctx"] == {"le": 10}
    assert items(b'{"text": "abc", "kind": "c"}')[0]["ctx"] == {"expected": "'a' or 'b'"}
    assert items(b'{"text": "bad"}')[0] == {
        "type": "value_error",
        "loc": ["body", "text"],
        "msg": "Value error, invalid_sample",
        "ctx": {"code": "invalid_sample"},
    }


def test_the_words_of_an_exception_are_never_told() -> None:
    assert items(b'{"text": "worse"}') == [{"type": "value_error", "loc": ["body", "text"], "msg": "Value error"}]


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (rb'{"text": "a\u0000c"}', ["body", "text"]),
        (rb'{"text": "a\ud800c"}', ["body", "text"]),
        (rb'{"text": "\udfff\ud83d\ude00"}', ["body", "text"]),
        (rb'{"text": "abc", "more": {"a\u0000": true}}', ["body", "more", "a\x00"]),
        (rb'{"text": "abc", "x": ["a", {"b": "\u0000"}]}', ["body", "x", 1, "b"]),
    ],
)
def test_r49_text_that_cannot_be_stored_is_refused_wherever_it_stands(raw: bytes, place: list[Any]) -> None:
    item = items(raw)[0]

    assert (item["type"], item["loc"], item["ctx"]) == ("value_error", place, {"code": "text_not_storable"})


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert items(rb'{"text": "\ud83d\ude00\ud83d\ude00"}') == []


def test_a_text_that_cannot_be_stored_is_told_once() -> None:
    assert len(items(rb'{"text": "\u0000"}')) == 1


def test_a_query_refuses_what_cannot_be_stored() -> None:
    assert told("{}", model=None, query=Listed, path="/?from=a%00b") == [("value_error", ["query", "from"])]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("abc", "int_parsing"),
        ("", "int_parsing"),
        ("1.0", "int_parsing"),
        ("+1", "int_parsing"),
        (" 1", "int_parsing"),
        ("1_0", "int_parsing"),
        ("٣", "int_parsing"),
        ("9" * 5000, "int_parsing"),
        ("0", "greater_than_equal"),
        ("-5", "greater_than_equal"),
        ("201", "less_than_equal"),
        ("9" * 90, "less_than_equal"),
    ],
)
def test_integers_in_a_query_are_digits_within_bounds(text: str, kind: str) -> None:
    assert told("{}", model=None, query=Paging, path=f"/?limit={text.replace('+', '%2B').replace(' ', '%20')}") == [
        (kind, ["query", "limit"])
    ]


def test_b23_an_offset_beyond_what_the_database_can_skip_is_refused() -> None:
    assert told("{}", model=None, query=Paging, path=f"/?offset={2**63}") == [("less_than_equal", ["query", "offset"])]
    assert told("{}", model=None, query=Paging, path=f"/?offset={2**63 - 1}") == []


def test_of_a_repeated_parameter_the_last_counts_and_a_list_takes_all() -> None:
    request = make_mocked_request("GET", "/?limit=0&limit=7&kind=a&kind=b&from=x&unknown=%00")

    _, query = decode.validate(request, b"", body=None, body_required=False, query=Listed)

    assert query == Listed.model_validate({"limit": 7, "kind": ["a", "b"], "from": "x"})


def test_a_body_of_nothing_but_mistakes_is_answered_by_a_short_list() -> None:
    assert len(items(json.dumps({f"field{n}": n for n in range(1500)}).encode())) == decode.MAX_ITEMS


def test_mistakes_nested_deep_under_long_names_are_answered_by_a_short_list_too() -> None:
    deep = f'{{"{"n" * 64}":' * 90 + "[" + '"\\u0000",' * 99 + '"\\u0000"]' + "}" * 90

    found = items(f'{{"text":"abc","x":{deep}}}'.encode(), model=Loose)

    assert [item["loc"] for item in found] == [["body", "x", *["n" * 64] * (decode.MAX_LOCATION - 2)]] * 100
    assert len(json.dumps(found)) < 64 * 1024


def test_a_long_name_of_the_clients_own_is_cut() -> None:
    assert [item["loc"] for item in items(json.dumps({"text": "abc", "n" * 500: 1}).encode())] == [["body", "n" * 64]]


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6).map(lambda text: text + MARK),
    st.just("\ud800" + MARK),
    st.just("\x00" + MARK),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


TOKENS = ("{", "}", "[", "]", ",", ":", '"a"', '"a":1', '"', "\\", "1", "1e9999", "NaN", "-Infinity", "null")


@given(
    raw=st.binary(max_size=200)
    | st.text(alphabet='{}[]",:0123456789.eE+-NaIfinityu\\ \n\x00é', max_size=80).map(str.encode)
    | st.lists(st.sampled_from(TOKENS), max_size=12).map(lambda tokens: "".join(tokens).encode())
)
@example(raw=b"\x00")
@example(raw=b'{"a": 1e400}')
def test_r49_no_bytes_crash_the_parser(raw: bytes) -> None:
    assert [item["type"] for item in wrong(lambda: decode.parse(raw))] in ([], ["json_invalid"])


@given(data=st.data())
def test_r22_r49_no_body_of_any_operation_crashes_and_no_422_repeats_a_value(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(BODIES))
    names = st.sampled_from([*model.model_fields, "else"])
    sent = data.draw(st.dictionaries(names, VALUES, max_size=4))

    answer = json.dumps(items(json.dumps(sent).encode(), model=model))

    assert MARK not in answer
    assert '"input"' not in answer


@given(data=st.data())
def test_b23_no_query_of_any_operation_crashes_and_no_422_repeats_a_value(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(QUERIES))
    names = st.sampled_from([field.alias or name for name, field in model.model_fields.items()])
    quoted = st.text(alphabet="0123456789-+%aé\x00 &=", max_size=8).map(lambda text: text + MARK)
    sent = data.draw(st.dictionaries(names, quoted, max_size=3))
    request = make_mocked_request("GET", "/")
    request = request.clone(rel_url=request.rel_url.with_query(sent))

    found = wrong(lambda: decode.validate(request, b"", body=None, body_required=False, query=model))

    assert MARK not in json.dumps(found)
