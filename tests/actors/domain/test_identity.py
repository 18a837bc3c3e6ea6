"""The rules about people: addresses, passwords, who may come in."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain import identity
from voyagent.actors.domain.errors import WeakPassword
from voyagent.actors.domain.identity import (
    Principal,
    Standing,
    check_password,
    network_of,
    normal_email,
    opaque,
    site_of,
)

LIST = Path(identity.__file__).parent / "common_passwords.txt"


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        ("Asha@Example.COM", "asha@example.com"),
        ("  asha@example.com\n", "asha@example.com"),
        ("Asha Rao <Asha@example.com>", "asha@example.com"),
        ("Dr. A. Rao <asha@example.com>", "asha@example.com"),
        ("<asha@example.com>", "asha@example.com"),
        ("asha@agency.example", "asha@agency.example"),
        ("asha@BÜCHER.example", "asha@bücher.example"),
        ("asha@xn--bcher-kva.example", "asha@bücher.example"),
        ("आशा@example.com", "आशा@example.com"),
        ("JOSÉ@example.com", "josé@example.com"),
        (unicodedata.normalize("NFD", "josé@example.com"), "josé@example.com"),
    ],
)
def test_r58_one_address_has_one_normal_form(sent: str, normal: str) -> None:
    assert normal_email(sent) == unicodedata.normalize("NFC", normal)


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "   ",
        "asha",
        "asha@",
        "@example.com",
        "asha@example",
        '"asha rao"@example.com',
        "asha@[192.0.2.1]",
        "asha..rao@example.com",
        "asha@example..com",
        "asha\x00@example.com",
        "asha\x1b@example.com",
        "As\x07ha <asha@example.com>",
        "asha@example.com, ravi@example.com",
        "asha@ravi@example.com",
        "asha@in-addr.arpa",
        "asha@host.invalid",
        "asha@printer.local",
        "asha@localhost",
        "asha@my.localhost",
        "asha@hidden.onion",
        "asha@agency.test",
        "asha@" + "a" * 64 + ".com",
        "a" * 250 + "@example.com",
        " " * 2048 + "asha@example.com",
    ],
)
def test_what_is_no_address_is_refused_by_code(sent: str) -> None:
    with pytest.raises(ValueError, match=r"^invalid_email$"):
        normal_email(sent)


def test_an_address_too_long_in_any_form_is_refused_without_reading_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def validate(address: str, **_how: object) -> None:
        read.append(address)
        raise identity.EmailNotValidError

    monkeypatch.setattr(identity, "validate_email", validate)
    marks = "a" + "\u0315\u0300" * 600
    for sent in (f"{marks}@example.com", f"Asha <{marks}@example.com>", f"asha@{marks}.com"):
        with pytest.raises(ValueError, match="invalid_email"):
            normal_email(sent)

    assert read == []


def test_an_address_that_is_long_only_in_its_parts_is_one() -> None:
    composed = "\u1f82" * 20
    taken_apart = unicodedata.normalize("NFD", composed) + "@example.com"

    assert len(taken_apart) == 4 * 20 + len("@example.com")
    assert normal_email(taken_apart) == f"{composed}@example.com"


@given(st.from_regex(r"[A-Za-zÀ-ɏЀ-ӿİẞΣ]{1,12}@[A-Za-zÀ-ÿ]{1,10}\.(com|example)", fullmatch=True))
def test_r58_the_normal_form_is_its_own_normal_form(sent: str) -> None:
    try:
        normal = normal_email(sent)
    except ValueError:
        return
    assert normal_email(normal) == normal


def test_a_principal_by_another_token_is_otherwise_the_same() -> None:
    values = {field.name: f"its {field.name}" for field in fields(Principal)}
    principal = Principal(**cast("dict[str, Any]", values))

    assert principal.with_token("another") == replace(principal, token_id="another")


LABEL = r"[A-Za-z0-9-]{1,64}"


@given(
    st.from_regex(
        rf"[A-Za-z0-9]{{1,70}}([._+-]{{1,2}}[A-Za-z0-9]{{1,3}}){{0,3}}@{LABEL}(\.{LABEL}){{1,3}}", fullmatch=True
    )
)
def test_r58_an_ordinary_address_is_read_as_the_library_reads_it(sent: str) -> None:
    def outcome(read: Callable[[str], str]) -> str:
        try:
            return read(sent)
        except ValueError as refused:
            return f"refused: {refused}"

    assert outcome(normal_email) == outcome(identity._checked)


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("", "password_blank"),
        (" " * 14, "password_blank"),
        ("short-1", "password_too_short"),
        ("long-password1" * 10, "password_too_long"),
        ("123456789012345", "password_no_letter"),
        ("no digits in here", "password_no_digit"),
        ("password1234", "password_common"),
        ("PassWord1234", "password_common"),
        ("  password123  ", "password_common"),
        ("\tqwerty1234\n ", "password_common"),
    ],
)
def test_r36_a_weak_password_is_refused_with_its_rule(password: str, rule: str) -> None:
    with pytest.raises(WeakPassword) as refused:
        check_password(password)
    assert refused.value.detail == {"error": "password_too_weak", "code": rule}


@pytest.mark.parametrize(
    "password",
    [
        "пароль на лето 5",
        "लम्बा पासवर्ड ५",
        "كلمة السر الطويلة ٣",
        "xpassword1234",
        "password1234 and then some",
        "mango-trellis-47",
        "a1" + "x" * 126,
        "ends in blanks 1   ",
    ],
)
def test_r36_letters_and_digits_of_any_script_count_and_stems_are_no_objection(password: str) -> None:
    check_password(password)


def test_r36_the_list_holds_ten_thousand_entries_in_the_form_they_are_looked_up() -> None:
    entries = LIST.read_text("utf-8").splitlines()
    assert len(entries) == len(set(entries)) >= 10_000
    assert all(entry == entry.strip().casefold() and entry for entry in entries)
    assert {"password1234", "password123", "qwerty1234"} <= set(entries)


@given(st.sampled_from(sorted(identity.common_passwords())), st.sampled_from(["", " ", "\t", "  "]))
def test_r36_every_entry_is_refused_however_it_is_written(entry: str, blanks: str) -> None:
    with pytest.raises(WeakPassword):
        check_password(blanks + entry.upper() + blanks)


@given(st.text(max_size=40))
def test_a_password_has_one_form_however_it_is_written(text: str) -> None:
    once = opaque(text)
    assert opaque(once) == once
    for form in ("NFC", "NFD"):
        assert opaque(unicodedata.normalize(form, text)) == once
    assert opaque(text.replace(" ", "\u00a0")) == once.replace("\u00a0", " ")


def test_a_password_is_measured_in_its_one_form() -> None:
    for short in ("\u00e9" * 9 + "1x", "e\u0301" * 9 + "1x"):
        with pytest.raises(WeakPassword) as refused:
            check_password(short)
        assert refused.value.rule == "password_too_short"
    check_password("e\u0301" * 127 + "1")


@pytest.mark.parametrize(
    ("standing", "required", "code"),
    [
        ({"user_active": False, "email_verified": False, "totp_enabled": True}, True, "account_inactive"),
        ({"tenant_active": False}, False, "account_inactive"),
        ({"email_verified": False, "totp_enabled": True}, True, "email_not_verified"),
        ({"email_verified": False}, False, None),
        ({"totp_enabled": True}, True, "totp_required"),
        ({}, True, None),
    ],
)
def test_r2_the_first_reason_against_a_sign_in_is_told(
    standing: dict[str, bool], required: bool, code: str | None
) -> None:
    facts = {"user_active": True, "tenant_active": True, "email_verified": True, "totp_enabled": False} | standing
    assert Standing(**facts).refusal(verified_only=required) == code


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:", None),
        (None, None),
    ],
)
def test_an_address_counts_as_its_network(ip: str | None, network: str | None) -> None:
    assert network_of(ip) == network


@pytest.mark.parametrize(
    ("ip", "site"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("2001:db8:1:ffff::1", "2001:db8:1::/48"),
        ("192.0.2.7", None),
        ("::ffff:192.0.2.7", None),
        ("unix:", None),
        (None, None),
    ],
)
def test_an_ipv6_network_belongs_to_a_site(ip: str | None, site: str | None) -> None:
    assert site_of(ip) == site
