"""What is masked: fields by their names, and passport numbers in what a model retells."""

from __future__ import annotations

from typing import Any

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


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"passport_number": 123456789}, {"passport_number": "***6789"}),
        ({"passport_number": {"number": "Z8172635"}}, {"passport_number": {"number": "***2635"}}),
        (
            {"Passport": {"number": "Z8172635", "expiry": "2031-01-01"}},
            {"Passport": {"number": "***2635", "expiry": "2031-01-01"}},
        ),
        ({"passport_number": {"token": "Z8172635"}}, {"passport_number": {"token": "***"}}),
        ({"passport_number": ["Z8172635", 123456789]}, {"passport_number": ["***2635", "***6789"]}),
        ({"passport": "Z8172635"}, {"passport": "***2635"}),
        ({"passportNo": 123456789}, {"passportNo": "***6789"}),
        ({"passport_number": None}, {"passport_number": None}),
    ],
)
def test_b41_a_passport_number_is_masked_in_whatever_shape_and_field_a_model_puts_it(given: Any, kept: Any) -> None:
    assert hidden(given) == kept


def test_what_else_is_said_of_a_passport_is_kept() -> None:
    given = {"passport_expiry": "2031-01-01", "passport_country": "IN", "has_passport_number": True, "passports": 2}
    assert hidden(given) == given
