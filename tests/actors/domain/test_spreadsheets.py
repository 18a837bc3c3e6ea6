"""CSV for spreadsheets: no cell starts a formula, numbers stay, and a reader gets back what was written."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.spreadsheets import cell, lines

CELLS = {
    "-42": "-42",
    "-0.02": "-0.02",
    "+5": "+5",
    "1e5": "1e5",
    "-1,234.56": "'-1,234.56",
    "--x": "'--x",
    "-2+3+cmd|'/c calc'!A1": "'-2+3+cmd|'/c calc'!A1",
    "=cmd|'/C calc'!A0": "'=cmd|'/C calc'!A0",
    "@SUM(A1)": "'@SUM(A1)",
    "\t=1": "'\t=1",
    "\r=1": "'\r=1",
    "\n=1": "'\n=1",
    "\uff1d1": "'\uff1d1",
    "\u0661": "\u0661",
    "-\u0661": "'-\u0661",
    "+91 98123 45678": "'+91 98123 45678",
    "+919812345678": "'+919812345678",
    "'=1": "'=1",
    "": "",
}


@pytest.mark.parametrize(("text", "out"), CELLS.items())
def test_b36_t17_a_formula_is_text_and_a_number_stays(text: str, out: str) -> None:
    assert cell(text) == out


def test_b36_t17_null_is_an_empty_cell() -> None:
    assert cell(None) == ""
    assert lines([["a", None, ""]]) == b"a,,\r\n"


@given(st.text())
def test_b36_no_cell_starts_a_formula_unless_it_is_a_number(text: str) -> None:
    out = cell(text)
    assert out in {text, f"'{text}"}
    assert not re.match(r"[=@\t\r\n\uff1d\uff0b\uff0d\uff20]", out)
    if out[:1] in {"+", "-"}:
        assert re.fullmatch(r"[+-][0-9]+(\.[0-9]+)?", out)


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4), max_size=5))
def test_b36_t18_what_is_written_is_read_back(rows: list[list[str]]) -> None:
    text = io.StringIO(lines(rows).decode("utf-8"), newline="")
    assert list(csv.reader(text)) == [[cell(one) for one in row] for row in rows]


def test_t18_names_quotes_and_line_ends_are_quoted_minimally_in_utf8() -> None:
    written = lines([["Zoë Müller", "محمد", "प्रिया", "🛫", 'a "b"\nc']])
    assert written == 'Zoë Müller,محمد,प्रिया,🛫,"a ""b""\nc"\r\n'.encode()
