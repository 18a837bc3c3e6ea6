"""Sign-up, sign-in and me as a client meets them: a real socket, a real database."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import asyncpg
import jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from voyagent.actors.accounts.actor import AccountsActor, ChangeMember
from voyagent.actors.database import StorageActor
from voyagent.actors.domain.audit import Origin, wire_time
from voyagent.actors.domain.identity import Role
from voyagent.actors.domain.ids import parse_uuid, uuid7
from voyagent.actors.foundation.clock import Clock
from voyagent.actors.foundation.config import Settings
from voyagent.http.app import make_app
from voyagent.http.health import Health
from voyagent.http.quotas import NewSessions, OpenStreams
from voyagent.http.request_context import Services
from voyagent.http.schemas import shared
from voyagent.http.streams import Streams
from voyagent.storage.accounts.users import AddMember

if TYPE_CHECKING:
    from tests.conftest import Database

SECRET = "the secret these tests sign with, and nobody else"
ASHA = {
    "email": "asha@example.com",
    "password": "mango-trellis-47",
    "full_name": "Asha Rao",
    "agency_name": "Rao Travels",
}


class Harness:
    """A client of a running application, and the parts behind it."""

    def __init__(self, client: TestClient[Any, Any], services: Services, db: asyncpg.Connection[Any] | None) -> None:
        self._client = client
        self.services = services
        self.db = db

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        async with self._client.request(method, path, json=body, headers=headers) as response:
            return Answered(response, await response.text())

    async def sign_up(self, **changes: Any) -> Answered:
        return await self.send("POST", "/auth/sign-up", ASHA | changes)

    async def sign_in(self, **changes: Any) -> Answered:
        body = {"email": ASHA["email"], "password": ASHA["password"]} | changes
        return await self.send("POST", "/auth/sign-in", body)

    async def get(self, path: str, token: str) -> Answered:
        return await self.send("GET", path, Authorization=f"Bearer {token}")


class Answered:
    """A reply, read whole."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = text
        self.body: Any = json.loads(text) if text else None

    @property
    def detail(self) -> Any:
        return self.body["detail"]

    @property
    def token(self) -> str:
        return str(self.body["access_token"])


@asynccontextmanager
async def harness(database: Database | None, **changes: Any) -> AsyncIterator[Harness]:
    """An application of its own."""
    cheap: dict[str, Any] = {"auth_argon2_time_cost": 1, "auth_argon2_memory_cost": 8192}
    usual = {
        "env": "development",
        "auth_secret": SECRET,
        "auth_skip_email_verification": True,
        "kms_key": {"k": bytes(range(32))},
    }
    told = Settings(**usual | cheap | changes)
    clock = Clock()
    storage = StorageActor.start(database and database.url, size=4, system_size=4, one_process=False)
    accounts = AccountsActor.start(storage, told, clock)
    services = Services(
        root=storage,
        storage=storage,
        accounts=accounts,
        settings=told,
        clock=clock,
        health=Health(clock, process_status=lambda: "ok"),
        streams=Streams(stall_seconds=30),
        open_streams=OpenStreams(per_person=50, per_agency=500),
        new_sessions=NewSessions(clock, 600),
    )
    db = None if database is None else await asyncpg.connect(database.admin_url)
    async with TestClient(TestServer(make_app(services))) as client:
        yield Harness(client, services, db)
    await accounts.stop_and_wait(5.0)
    await storage.stop_and_wait(5.0)
    if db is not None:
        await db.close()


@pytest.fixture
async def front(database: Database) -> AsyncIterator[Harness]:
    async with harness(database) as opened:
        yield opened


def only_item(answer: Answered) -> dict[str, Any]:
    assert answer.status == 422, answer.text
    (item,) = answer.detail
    return dict(item)


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


@pytest.fixture
async def unstored() -> AsyncIterator[Harness]:
    """A service without a database."""
    async with harness(None) as opened:
        yield opened


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


@pytest.mark.parametrize("authorization", ["Bearer {}", "bearer {}", "BEARER   {}", "  Bearer {}  "])
async def test_a_bearer_is_read_however_it_is_spaced(front: Harness, authorization: str) -> None:
    token = (await front.sign_up()).token
    answer = await front.send("GET", "/auth/me", Authorization=authorization.format(token))
    assert answer.status == 200


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer x", "Bearer a.b.c", "Token x", "Bearer vy_x"]
)
async def test_nobodys_bearer_is_401(front: Harness, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await front.send("GET", "/auth/me", **headers)
    assert (answer.status, answer.detail) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Cache-Control"] == "no-store"


def foreign(user: dict[str, Any], **changes: Any) -> str:
    """A token as tooling mints it."""
    now = int(Clock().now().timestamp())
    claims = {
        "sub": user["id"],
        "tid": user["tenant_id"],
        "role": user["role"],
        "email": user["email"],
        "iat": now,
        "exp": now + 3600,
        "jti": uuid7(),
        "iss": "voyagent",
        "aud": "voyagent-api",
    }
    return jwt.encode(claims | changes, SECRET, "HS256")


async def test_r25_a_foreign_token_works_until_the_version_moves(front: Harness) -> None:
    user = (await front.sign_up()).body["user"]
    token = foreign(user)
    assert (await front.get("/auth/me", token)).body == user
    other = AddMember(
        tenant_id=user["tenant_id"],
        user_id=uuid7(),
        email="ravi@example.com",
        role=Role.AGENCY_ADMIN,
        now=front.services.clock.now(),
    )
    await front.services.storage.ask(other)
    for active in (False, True):
        await front.services.accounts.ask(
            ChangeMember(
                tenant_id=user["tenant_id"],
                user_id=user["id"],
                is_active=active,
                by=other.user_id,
                origin=Origin(request_id="r"),
            )
        )
        assert (await front.get("/auth/me", token)).status == 401


async def test_r23_what_is_odd_about_a_signed_token_is_401(front: Harness) -> None:
    user = (await front.sign_up()).body["user"]
    now = int(Clock().now().timestamp())
    odd: list[dict[str, Any]] = [
        {"tid": ""},
        {"sub": "x"},
        {"jti": ""},
        {"iat": now + 30},
        {"nbf": now + 30},
        {"exp": now - 30},
        {"ver": "0"},
    ]
    for changes in odd:
        assert (await front.get("/auth/me", foreign(user, **changes))).status == 401
    fine: list[dict[str, Any]] = [{"iat": now + 8}, {"nbf": now + 8}, {"exp": now - 5}, {"aud": ["x", "voyagent-api"]}]
    for changes in fine:
        assert (await front.get("/auth/me", foreign(user, **changes))).status == 200


async def test_r40_a_principal_that_vanished_is_401_on_every_route(front: Harness) -> None:
    user = (await front.sign_up()).body["user"]
    gone = foreign(user | {"id": uuid7()})
    for method, path in [
        ("GET", "/auth/me"),
        ("GET", "/chat/sessions"),
        ("POST", "/chat/sessions"),
        ("GET", "/approvals"),
    ]:
        answer = await front.send(method, path, Authorization=f"Bearer {gone}")
        assert (answer.status, answer.detail) == (401, "unauthorized")


async def test_r26_the_unverified_reach_auth_only(database: Database) -> None:
    async with harness(database, auth_skip_email_verification=False) as front:
        answer = await front.sign_up()
        assert answer.body["user"]["email_verified"] is False
        assert (await front.get("/auth/me", answer.token)).status == 200
        for path in ("/chat/sessions", "/approvals"):
            gated = await front.get(path, answer.token)
            assert (gated.status, gated.detail) == (403, "email_not_verified")
        refused = await front.sign_in()
        assert (refused.status, refused.detail) == (401, "email_not_verified")
        assert (await front.sign_in(password="wrong")).detail == "invalid_credentials"


async def test_r26_without_the_rule_there_is_no_gate(database: Database) -> None:
    async with harness(database, auth_skip_email_verification=False) as strict:
        token = (await strict.sign_up()).token
    async with harness(database) as lenient:
        assert (await lenient.get("/chat/sessions", token)).status == 200


async def test_r41_a_viewers_write_is_forbidden_and_remembered(front: Harness) -> None:
    user = (await front.sign_up()).body["user"]
    assert front.db is not None
    await front.db.execute("UPDATE users SET role = 'viewer'")
    answer = await front.send("POST", "/chat/sessions", Authorization=f"Bearer {foreign(user)}")
    assert (answer.status, answer.detail) == (403, "forbidden_role")
    async with asyncio.timeout(5):
        while not (row := await front.db.fetchrow("SELECT * FROM audit_events WHERE kind = 'auth.denied'")):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    said = json.loads(row["inputs"])
    assert (said["method"], said["path"], said["status"], said["code"]) == (
        "POST",
        "/chat/sessions",
        403,
        "forbidden_role",
    )


async def test_r17_without_a_database_a_good_token_is_503_and_so_is_every_way_in(unstored: Harness) -> None:
    token = foreign({"id": uuid7(), "tenant_id": uuid7(), "role": "agent", "email": "asha@example.com"})
    for answer in (await unstored.get("/auth/me", token), await unstored.sign_up(), await unstored.sign_in()):
        assert (answer.status, answer.detail) == (503, "storage_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1


async def test_r48_too_many_at_once_are_503_and_health_answers_meanwhile(database: Database) -> None:
    async with harness(database, auth_hash_workers=1, auth_argon2_memory_cost=32768) as front:
        attempts = [asyncio.ensure_future(front.sign_in()) for _ in range(90)]
        await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
        assert (await front.send("GET", "/health")).status == 200
        answers = await asyncio.gather(*attempts)
        refused = [answer for answer in answers if answer.status == 503]
        assert {answer.status for answer in answers} == {401, 503}
        assert {answer.detail for answer in refused} == {"overloaded"}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)


async def test_r24_after_a_rotation_old_tokens_work_and_new_ones_carry_the_new_key(database: Database) -> None:
    old, new = {"a": "a-secret-" * 8}, {"b": "b-secret-" * 8, "a": "a-secret-" * 8}
    async with harness(database, auth_secret=None, auth_secrets=old) as before:
        token = (await before.sign_up()).token
    async with harness(database, auth_secret=None, auth_secrets=new) as after:
        assert (await after.get("/auth/me", token)).status == 200
        assert jwt.get_unverified_header((await after.sign_in()).token)["kid"] == "b"
    async with harness(database, auth_secret=None, auth_secrets={"b": new["b"]}) as dropped:
        assert (await dropped.get("/auth/me", token)).status == 401


async def test_the_figures_of_the_configuration_are_obeyed(database: Database) -> None:
    async with harness(database, auth_access_ttl_seconds=600, auth_issuer="house", auth_audience="harness") as front:
        answer = await front.sign_up()
        assert answer.body["expires_in"] == 600
        claims = jwt.decode(answer.token, SECRET, ["HS256"], audience="harness", issuer="house")
        assert timedelta(seconds=claims["exp"] - claims["iat"]) == timedelta(minutes=10)
