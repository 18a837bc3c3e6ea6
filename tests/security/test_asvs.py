"""The table of OWASP ASVS items says what is so: it is current, and every test it names exists."""

from __future__ import annotations

import re

from tests.security.asvs import BEGIN, END, PAGE, items, written
from tests.test_rows import names


def test_the_table_on_the_page_is_current() -> None:
    page = PAGE.read_text("utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert written(page) == page


def test_every_test_that_is_named_exists() -> None:
    named = {name for item in items() for name in item.get("tests", ())}
    assert named - set(names()) == set()


def test_every_item_is_shown_or_said_to_be_short() -> None:
    for item in items():
        assert re.fullmatch(r"(?:3|6|7|9|14)\.\d+\.\d+", item["id"])
        assert item["level"] in (1, 2)
        assert item.get("tests") or item.get("gap")


def test_items_stand_once_and_in_order() -> None:
    order = [tuple(map(int, item["id"].split("."))) for item in items()]
    assert order == sorted(set(order))
