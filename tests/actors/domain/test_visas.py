"""Visa files go forward only, and their documents are collected item by item."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.visas import CHECKLIST, STATUSES, TERMINAL, can_move, collect, missing

STATUS = st.sampled_from(STATUSES)


@given(path=st.lists(STATUS, max_size=20))
def test_a_file_only_goes_forward_and_ends_once(path: list[Any]) -> None:
    now, passed = STATUSES[0], [STATUSES[0]]
    for wanted in path:
        if can_move(now, wanted):
            now = wanted
            passed.append(now)
    places = [STATUSES.index(each) for each in passed]
    assert places == sorted(set(places))
    assert sum(each in TERMINAL for each in passed) <= 1


@pytest.mark.parametrize("end", sorted(TERMINAL))
def test_any_open_file_may_end_and_nothing_leaves_the_end(end: Any) -> None:
    for status in STATUSES:
        assert can_move(status, end) == (status not in TERMINAL)
        assert not can_move(end, status)


def test_steps_may_be_skipped_but_not_repeated() -> None:
    assert can_move("draft", "in_process")
    assert not can_move("draft", "draft")
    assert not can_move("in_process", "docs_collecting")


@given(items=st.sets(st.sampled_from([each.item for each in CHECKLIST])))
def test_what_is_collected_is_no_longer_missing(items: set[str]) -> None:
    after = collect(CHECKLIST, sorted(items))
    assert {each.item for each in after if each.collected} == items
    assert set(missing(after)) == {each.item for each in CHECKLIST if each.required} - items


def test_an_item_nobody_asked_for_is_named() -> None:
    with pytest.raises(KeyError, match="diploma"):
        collect(CHECKLIST, ["passport", "diploma"])
