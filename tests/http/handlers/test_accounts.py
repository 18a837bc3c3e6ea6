"""Sign-up, sign-in and me as a client meets them: a real socket, a real database."""

from __future__ import annotations

import asyncio
import unicodedata
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from voyagent.actors.accounts import hash_queue
from voyagent.actors.domain.audit import wire_time
from voyagent.actors.domain.ids import parse_uuid, uuid7
from voyagent.http.schemas import shared

if TYPE_CHECKING:
    from tests.conftest import Database
from tests.http.handlers.served import ASHA, Harness, foreign, harness, only_item


async def test_a_sign_up_answers_tokens_and_the_person(front: Harness) -> None:
    answer = await front.sign_up(full_name="  Asha Rao ", agency_name=" Rao Travels", email=" Asha@Example.com ")
    assert answer.status == 201
    assert set(answer.body) == {"access_token", "refresh_token", "expires_in", "user"}
    assert answer.body["expires_in"] == 3600
    assert len(answer.body["refresh_token"]) == 43
    user = answer.body["user"]
    assert set(user) == {
        "id",
        "email",
        "full_name",
        "role",
        "tenant_id",
        "tenant_name",
        "created_at",
        "email_verified",
    }
    assert (user["email"], user["full_name"], user["tenant_name"]) == ("asha@example.com", "Asha Rao", "Rao Travels")
    assert (user["role"], user["email_verified"]) == ("agency_admin", True)
    assert parse_uuid(user["id"]) == user["id"]
    assert user["created_at"].endswith("Z")
    assert len(user["created_at"]) == len(wire_time(front.services.clock.now()))
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await front.get("/auth/me", answer.token)).body == user


async def test_a_sign_in_answers_the_same_person_with_tokens_of_its_own(front: Harness) -> None:
    first, second = await front.sign_up(), await front.sign_in()
    assert second.status == 200
    assert second.body["user"] == first.body["user"]
    assert second.body["refresh_token"] != first.body["refresh_token"]
    assert second.headers["Cache-Control"] == "no-store"


async def test_unknown_fields_of_the_two_are_ignored(front: Harness) -> None:
    assert (await front.sign_up(role="viewer", tenant_id="x", nickname=None)).body["user"]["role"] == "agency_admin"
    assert (await front.sign_in(remember_me=True)).status == 200


@pytest.mark.parametrize(
    ("field", "value", "kind", "code"),
    [
        ("email", ..., "missing", None),
        ("email", None, "string_type", None),
        ("email", 7, "string_type", None),
        ("email", "", "value_error", "invalid_email"),
        ("email", "asha", "value_error", "invalid_email"),
        ("email", "asha@localhost", "value_error", "invalid_email"),
        ("email", "a" * 3000 + "@example.com", "value_error", "invalid_email"),
        ("email", "as\x00ha@example.com", "value_error", "text_not_storable"),
        ("password", ..., "missing", None),
        ("password", 123456789012, "string_type", None),
        ("password", "elevenchar1", "string_too_short", None),
        ("password", "x1" * 65, "string_too_long", None),
        ("password", "onlyletters here", "value_error", "password_must_contain_letter_and_digit"),
        ("password", "123456789012345", "value_error", "password_must_contain_letter_and_digit"),
        ("full_name", ..., "missing", None),
        ("full_name", "", "string_too_short", None),
        ("full_name", "   ", "value_error", "full_name_required"),
        ("full_name", "x" * 121, "string_too_long", None),
        ("full_name", ["Asha"], "string_type", None),
        ("agency_name", ..., "missing", None),
        ("agency_name", " \t ", "value_error", "agency_name_required"),
        ("agency_name", "x" * 121, "string_too_long", None),
        ("agency_name", "\ud800", "value_error", "text_not_storable"),
    ],
)
async def test_r61_a_sign_up_that_is_not_well_formed_is_422_at_its_field(
    front: Harness, field: str, value: Any, kind: str, code: str | None
) -> None:
    body = {name: each for name, each in (ASHA | {field: value}).items() if each is not ...}
    item = only_item(await front.send("POST", "/auth/sign-up", body))
    assert (item["type"], item["loc"]) == (kind, ["body", field])
    assert item.get("ctx", {}).get("code") == code
    assert "input" not in item


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("email", "nobody", "value_error"),
        ("password", "", "string_too_short"),
        ("password", "x" * 257, "string_too_long"),
        ("password", None, "string_type"),
    ],
)
async def test_r61_a_sign_in_that_is_not_well_formed_is_422(front: Harness, field: str, value: Any, kind: str) -> None:
    item = only_item(await front.sign_in(**{field: value}))
    assert (item["type"], item["loc"]) == (kind, ["body", field])


async def test_a_short_or_common_password_still_signs_in(front: Harness) -> None:
    answer = await front.sign_in(password="x")
    assert (answer.status, answer.detail) == (401, "invalid_credentials")


MARK = "zq7marked"
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers().map(lambda number: [MARK, number]),
    st.text(max_size=20).map(lambda text: MARK + text),
    st.just(MARK * 40),
    st.just(f"{MARK}@{MARK}"),
    st.just({MARK: MARK}),
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    path=st.sampled_from(["/auth/sign-up", "/auth/sign-in"]),
    body=st.dictionaries(st.sampled_from([*ASHA, "more"]), VALUES, max_size=5),
)
async def test_r22_no_answer_repeats_what_was_sent(unstored: Harness, path: str, body: Any) -> None:
    answer = await unstored.send("POST", path, body)
    assert answer.status in {422, 503}
    assert MARK not in answer.text


async def test_r22_a_missing_field_does_not_show_its_neighbours(unstored: Harness) -> None:
    answer = await unstored.send("POST", "/auth/sign-up", {"password": f"{MARK}-47-trellis"})
    assert [item["loc"][1] for item in answer.detail] == ["email", "full_name", "agency_name"]
    assert MARK not in answer.text


@pytest.mark.parametrize("password", ["password1234", "PASSWORD1234", " password123 "])
async def test_r36_a_common_password_is_refused_as_an_object(front: Harness, password: str) -> None:
    answer = await front.sign_up(password=password)
    assert answer.status == 400
    assert answer.detail == {"error": "password_too_weak", "code": "password_common"}


async def test_r36_letters_and_digits_of_any_script_make_a_password(front: Harness) -> None:
    for number, password in enumerate(["пароль на лето ٣", "xpassword1234"]):
        answer = await front.sign_up(email=f"asha{number}@example.com", password=password)
        assert answer.status == 201
        assert (await front.sign_in(email=f"asha{number}@example.com", password=password)).status == 200


@pytest.mark.parametrize(("up", "down"), [("NFC", "NFD"), ("NFD", "NFC")])
async def test_a_password_opens_composed_and_decomposed(front: Harness, up: str, down: str) -> None:
    """One keyboard composes and another does not."""
    first, second = (unicodedata.normalize(form, "M\u00fcllerstra\u00dfe \u00e9 2024") for form in (up, down))
    assert (await front.sign_up(password=first)).status == 201
    for password in (first, second, second.replace(" ", "\u00a0")):
        assert (await front.sign_in(password=password)).status == 200
    assert (await front.sign_in(password=f" {first}")).status == 401


@pytest.mark.parametrize(
    ("password", "refused"),
    [
        ("e\u0301" * 10 + "1", "string_too_short"),
        ("e\u0301" * 127 + "1", None),
        ("e\u0301" * 128 + "1", "string_too_long"),
        ("\u0301\u0323" * 1_200, "string_too_long"),
    ],
)
async def test_a_password_is_measured_composed(front: Harness, password: str, refused: str | None) -> None:
    answer = await front.sign_up(password=password)
    assert answer.status == (201 if refused is None else 422)
    assert refused is None or answer.detail[0]["type"] == refused


def test_every_password_that_comes_in_is_read_in_its_one_form() -> None:
    bodies = [*shared.Body.__subclasses__(), *shared.LooseBody.__subclasses__()]
    found = [
        (body.__name__, name, Annotated[field.annotation, *field.metadata])  # type: ignore[name-defined]
        for body in bodies
        for name, field in body.model_fields.items()
        if "password" in name
    ]
    assert len(found) == 8
    for owner, name, kind in found:
        read = TypeAdapter(kind).validate_python("Mu\u0308llerstrasse\u00a02024")
        assert read == "M\u00fcllerstrasse 2024", (owner, name)


async def test_a_weak_password_is_told_before_a_taken_address(front: Harness) -> None:
    await front.sign_up()
    assert (await front.sign_up(password="password1234")).status == 400


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("asha@example.com", "Asha@EXAMPLE.com"),
        ("asha@example.com", "Somebody <asha@example.com>"),
        ("josé@example.com", unicodedata.normalize("NFD", "JOSÉ@example.com")),
        ("asha@bücher.example", "asha@xn--bcher-kva.example"),
    ],
)
async def test_r58_one_address_one_account_however_it_is_written(front: Harness, first: str, second: str) -> None:
    assert (await front.sign_up(email=first)).status == 201
    again = await front.sign_up(email=second, agency_name="Another")
    assert (again.status, again.detail) == (409, "email_already_registered")
    assert (await front.sign_in(email=second)).status == 200


async def test_r58_sixteen_sign_ups_at_once_make_one_account(front: Harness) -> None:
    answers = await asyncio.gather(*(front.sign_up() for _ in range(16)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 15


async def test_r29_unknown_and_wrong_look_alike(front: Harness) -> None:
    await front.sign_up()
    unknown = await front.sign_in(email="nobody@example.com")
    wrong = await front.sign_in(password="wrong")
    assert unknown.status == wrong.status == 401
    assert unknown.text == wrong.text == '{"detail":"invalid_credentials"}'
    assert unknown.headers["WWW-Authenticate"] == wrong.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE users SET is_active = false", "account_inactive"),
        ("UPDATE tenants SET is_active = false", "account_inactive"),
        ("UPDATE users SET totp_enabled_at = now()", "totp_required"),
        ("UPDATE users SET released_at = now()", "invalid_credentials"),
        ("UPDATE users SET password_hash = NULL", "invalid_credentials"),
    ],
)
async def test_r61_the_right_password_alone_is_not_always_enough(front: Harness, change: str, code: str) -> None:
    await front.sign_up()
    assert front.db is not None
    await front.db.execute(change)
    answer = await front.sign_in()
    assert (answer.status, answer.detail) == (401, code)


async def test_r17_without_a_database_a_good_token_is_503_and_so_is_every_way_in(unstored: Harness) -> None:
    token = foreign({"id": uuid7(), "tenant_id": uuid7(), "role": "agent", "email": "asha@example.com"})
    for answer in (await unstored.get("/auth/me", token), await unstored.sign_up(), await unstored.sign_in()):
        assert (answer.status, answer.detail) == (503, "storage_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1


async def test_r48_too_many_at_once_are_503_and_health_answers_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_queue, "MAX_WAITING", 4)  # the last of 64 may wait longer than its deadline
    async with harness(database, auth_hash_workers=1, auth_argon2_memory_cost=16384) as front:
        attempts = [asyncio.ensure_future(front.sign_in()) for _ in range(90)]
        await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
        assert (await front.send("GET", "/health")).status == 200
        answers = await asyncio.gather(*attempts)
        refused = [answer for answer in answers if answer.status == 503]
        assert {answer.status for answer in answers} == {401, 503}
        assert {answer.detail for answer in refused} == {"overloaded"}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
