"""Every text of the console is there in every language, and every text that is asked for is there."""

from __future__ import annotations

import json
import re

import pytest

from tests.http.console.tables import ENGLISH, HINDI, SCRIPTS
from voyagent.actors.domain.books import CHART
from voyagent.actors.domain.identity import Role
from voyagent.http.error_codes import MEANINGS

OPERATORS = {
    *("not found", "invalid_status", "invalid_before", "invalid_idempotency_key", "unsupported_content_encoding"),
    *(code for code in MEANINGS if "configured" in code or "unreachable" in code),
}
"""Codes that the console's requests cannot meet."""


def filled(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_the_languages_have_the_same_keys() -> None:
    assert ENGLISH.keys() == HINDI.keys()


@pytest.mark.parametrize("key", ENGLISH)
def test_a_text_is_filled_with_the_same_values_in_every_language(key: str) -> None:
    assert filled(ENGLISH[key]) == filled(HINDI[key])
    assert ENGLISH[key].strip('"')
    assert HINDI[key].strip('"')


def test_every_text_that_is_asked_for_is_there() -> None:
    asked = {key for text in SCRIPTS.values() for key in re.findall(r'\bt\("([\w.]+)"', text)}
    known = ENGLISH.keys() | {key.rpartition(".")[0] for key in ENGLISH}
    assert asked - known == set()


def test_every_view_has_a_title() -> None:
    views = re.findall(r'^ {2}"?([\w-]+)"?: \{ tag:', SCRIPTS["router.js"], re.MULTILINE)
    assert len(views) > 10
    assert {f"{view.replace('-', '_')}.title" for view in views} - ENGLISH.keys() == set()


def test_every_error_code_has_a_sentence_that_says_what_to_do() -> None:
    known = {key.split(".")[1] for key in ENGLISH if key.startswith("problems.")}
    assert MEANINGS.keys() - OPERATORS - known == set()


def test_every_role_has_a_name() -> None:
    assert {f"roles.{role}" for role in Role} - ENGLISH.keys() == set()


def test_a_status_of_a_booking_has_one_name() -> None:
    of_documents, of_bookings = (
        {key.partition(".")[2] for key in ENGLISH if key.startswith(f"{section}.")}
        for section in ("statuses", "bookings")
    )
    assert "tentative" in of_bookings
    assert of_documents & of_bookings == set()


def test_every_account_of_the_chart_has_a_name_in_every_language() -> None:
    for each in CHART:
        assert json.loads(ENGLISH[f"accounts.{each.code}"]) == each.name
        assert HINDI[f"accounts.{each.code}"] != ENGLISH[f"accounts.{each.code}"]


def test_every_kind_that_the_audit_trail_is_filtered_by_has_a_name() -> None:
    (listed,) = re.findall(r"const KINDS = \[(.*?)\];", SCRIPTS["views/audit.js"], re.DOTALL)
    kinds = re.findall(r'"([\w.]+)"', listed)
    assert len(kinds) > 20
    assert {kind for kind in kinds if not {f"tools.{kind}", f"audit.kinds.{kind}"} & ENGLISH.keys()} == set()
