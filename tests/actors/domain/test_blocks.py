"""Blocks of a model's answer: what is stored, shown and sent again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.blocks import shown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def levels(value: Any) -> int:
    match value:
        case dict():
            return 1 + max(map(levels, value.values()), default=0)
        case list():
            return 1 + max(map(levels, value), default=0)
    return 0


@given(JSON)
def test_what_is_not_too_deep_is_shown_as_it_is(value: Any) -> None:
    assert shown(value, levels(value)) == value


@given(JSON, st.integers(min_value=0, max_value=3))
def test_nothing_shown_is_nested_deeper_than_asked(value: Any, deepest: int) -> None:
    assert levels(shown(value, deepest)) <= deepest


def test_only_what_is_nested_too_deep_is_null() -> None:
    assert shown({"a": [1, {"b": 2}], "c": 3}, 2) == {"a": [1, None], "c": 3}
