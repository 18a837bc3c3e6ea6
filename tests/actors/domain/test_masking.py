"""What is masked: fields by their names, and passport numbers in what a model retells."""

from __future__ import annotations

import pytest

from voyagent.actors.domain.masking import hidden, without_passports


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Book for Asha, passport Z8172635 issued by IN", "Book for Asha, passport ***2635 issued by IN"),
        ("Passport no. 123456789, expires 2031-01-01", "Passport no. ***6789, expires 2031-01-01"),
        ("passport number is z8172635.", "passport number is ***2635."),
        ("passports: Z8172635, Y1234567 and X7654321", "passports: ***2635, ***4567 and ***4321"),
        ("her passport expires on 2031-01-01", "her passport expires on 2031-01-01"),
        ("passport later; phone +919820012345", "passport later; phone +919820012345"),
        ("flight EK 501 on 2026-12-05, locator WQ82U4", "flight EK 501 on 2026-12-05, locator WQ82U4"),
    ],
)
def test_b41_a_passport_number_that_is_called_so_is_masked_in_what_is_retold(text: str, kept: str) -> None:
    assert without_passports(text) == kept
    assert hidden({"goal": text, "question": text}) == {"goal": kept, "question": text}


def test_fields_are_masked_by_their_names_at_any_depth() -> None:
    given = {"a": [{"passport_number": "Z8172635", "token": "t"}], "passport_expiry": "2031-01-01", "password": None}
    assert hidden(given) == {
        "a": [{"passport_number": "***2635", "token": "***"}],
        "passport_expiry": "2031-01-01",
        "password": None,
    }
