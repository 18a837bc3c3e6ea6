"""Ids sort by age, and only true ids are let in."""

from __future__ import annotations

import re
import uuid

import pytest

from voyagent.actors.domain.ids import parse_uuid, turn_id, uuid7

SOME = uuid.UUID("0197f3c2-5a7e-4d11-9b42-6c1d2e3f4a5b")


def test_ids_are_lower_case_uuids_of_version_seven_that_rise() -> None:
    ids = [uuid7() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 10_000
    assert {uuid.UUID(text).version for text in ids} == {7}
    assert ids[0] == str(uuid.UUID(ids[0]))


def test_a_turn_has_a_short_name_of_its_own() -> None:
    names = {turn_id() for _ in range(1_000)}
    assert len(names) == 1_000
    assert all(re.fullmatch(r"t-[0-9a-f]{12}", name) for name in names)


def test_an_id_in_any_case_is_read_as_lower_case() -> None:
    text = uuid7()
    assert parse_uuid(text.upper()) == text
    assert parse_uuid(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        SOME.hex,
        f"{{{SOME}}}",
        f"urn:uuid:{SOME}",
        f"{SOME}\n",
        "\N{ARABIC-INDIC DIGIT ZERO}" * 36,
        7,
        None,
    ],
    ids=repr,
)
def test_anything_else_is_no_id(text: object) -> None:
    assert parse_uuid(text) is None
