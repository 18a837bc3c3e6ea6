"""Log lines say who and what, are JSON in production, and never hold a secret or grow without bound."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.log_lines import Written, as_in_production
from voyagent.actors.foundation import log
from voyagent.actors.foundation.config import Settings, variable
from voyagent.http.openapi import document
from voyagent.http.routes import ROUTES

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


def fail(text: str) -> None:
    raise ValueError(text)


@pytest.fixture
def production() -> Iterator[Written]:
    """Logs as in production."""
    with as_in_production() as written:
        yield written


def test_a_line_is_one_json_object_with_level_time_and_source(production: Written) -> None:
    log.get("voyagent.test").info("turn_ended", turn="t-1", tokens=12)
    (line,) = production()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "turn_ended", "level": "info", "source": "voyagent.test", "turn": "t-1", "tokens": 12}


def test_lines_of_libraries_are_json_too(production: Written) -> None:
    try:
        fail("inner")
    except ValueError:
        logging.getLogger("asyncpg").exception("lost %s", "connection")
    logging.getLogger("asyncpg").debug("unseen")
    (line,) = production()
    assert (line["event"], line["level"], line["source"]) == ("lost connection", "error", "asyncpg")
    assert "ValueError: inner" in line["exception"]
    assert "_record" not in line


def test_a_library_that_says_too_much_is_heard_from_its_minimum_level_on(production: Written) -> None:
    logging.getLogger("alembic.runtime.plugins").info("a plugin")
    assert list(production()) == []
    logging.getLogger("alembic.runtime.plugins").warning("something else")
    (line,) = production()
    assert line["event"] == "something else"


def test_the_level_is_kept(production: Written) -> None:
    log.configure("production", "warning", production.stream)
    log.get("x").info("quiet")
    log.get("x").warning("loud")
    assert [line["event"] for line in production()] == ["loud"]


async def test_request_and_tenant_are_on_every_line_of_their_task_only(production: Written) -> None:
    async def request(name: str) -> None:
        log.bind(request_id=name)
        log.get("x").info("one")
        log.bind(tenant=f"tenant of {name}")
        await asyncio.sleep(0)
        log.get("x").info("two")

    await asyncio.gather(*(asyncio.create_task(request(name)) for name in "ab"))
    log.get("x").info("outside")
    lines = [(line["event"], line.get("request_id"), line.get("tenant")) for line in production()]
    assert sorted(lines, key=str) == [
        ("one", "a", None),
        ("one", "b", None),
        ("outside", None, None),
        ("two", "a", "tenant of a"),
        ("two", "b", "tenant of b"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "refresh_token",
        "accessToken",
        "token",
        "VOYAGENT_AUTH_SECRET",
        "kms_key",
        "apiKey",
        "idempotency_key",
        "Authorization",
        "set-cookie",
        "totp_code",
        "recovery_codes",
        "seed",
        "passport_number",
        "document_number",
        "credentials",
        "X-Voyagent-Metrics-Token",
    ],
)
def test_values_are_redacted_by_the_name_of_their_key_at_any_depth(production: Written, name: str) -> None:
    log.get("x").info("y", **{name: "hunter2", "body": {"list": [{name: ["hunter2"]}]}})
    (line,) = production()
    assert "hunter2" not in json.dumps(line)
    assert line[name] == log.REDACTED


@pytest.mark.parametrize("name", ["keyboard", "monkey", "encoder", "turn", "spinach", "tokenizer_name", "user_id"])
def test_names_that_only_resemble_a_secret_are_shown(production: Written, name: str) -> None:
    log.get("x").info("y", **{name: "shown"})
    assert production()[0][name] == "shown"


def test_counts_of_tokens_are_shown(production: Written) -> None:
    log.get("x").info("y", input_tokens=120, usage={"output_tokens": 7})
    (line,) = production()
    assert (line["input_tokens"], line["usage"]) == (120, {"output_tokens": 7})


@pytest.mark.parametrize(
    "text",
    [
        f"no session for {JWT}",
        "key vy_0123456789abcdef is unknown",
        "refused: sk-ant-api03-abcdefgh",
        "Authorization: Bearer abc.def",
        "cannot connect to postgresql://voyagent:hunter2@db/voyagent",
        "GET /auth/verify-email?next=1&token=abcdef",
    ],
)
def test_secrets_are_known_by_their_look_in_any_text_and_in_tracebacks(production: Written, text: str) -> None:
    log.get("x").info(text, about=text, items=[text])
    try:
        fail(text)
    except ValueError:
        log.get("x").exception("failed")
    written = json.dumps(production())
    for secret in (JWT, "0123456789abcdef", "abcdefgh", "abc.def", "hunter2", "abcdef"):
        if secret in text:
            assert secret not in written
    assert "failed" in written


def test_a_link_is_readable_while_developing(production: Written) -> None:
    log.configure("development", stream=production.stream)
    log.get("mail").info("letter_written", link="http://127.0.0.1:8010/reset?token=abcdef", password="hunter2")
    written = production.text()
    assert "token=abcdef" in written
    assert "hunter2" not in written


class Hostile:
    """A value that cannot even be shown."""

    def __repr__(self) -> str:
        raise SystemError("no")


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000_000,
        b"x" * 10_000_000,
        list(range(1_000_000)),
        {str(number): number for number in range(100_000)},
        {"k" * 1_000_000: 1},
        10**1_000_000,
        -(10**5_000),
        nested(50_000),
        Hostile(),
        float("nan"),
        float("inf"),
        "\ud800",
        "a\nb\u2028c",
        {1, 2},
        {("a", 1): Hostile()},
        object,
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_is_too_large_or_too_strange_for_a_short_valid_line(production: Written, value: Any) -> None:
    log.get("x").info("y", value=value)
    written = production.text()
    assert len(written) < 10_000
    assert written.count("\n") == 1
    assert json.loads(written, parse_constant=pytest.fail)["event"] == "y"


def test_a_list_that_holds_itself_is_cut(production: Written) -> None:
    loop: list[Any] = []
    loop.append(loop)
    log.get("x").info("y", loop=loop)
    assert production()[0]["loop"] == [[[["<list>"]]]]


def test_a_flood_is_quiet_after_ten_lines_for_five_minutes() -> None:
    quiet = log.LogThrottle(first=10, pause=300.0)
    assert [quiet.allows(now=float(second)) for second in range(20)] == [True] * 10 + [False] * 10
    assert not quiet.allows(now=308.0)
    assert quiet.allows(now=309.0)


SECRET_SETTINGS = sorted(name for name, field in Settings.model_fields.items() if not field.repr)
ADDRESSES = {"db_url", "db_migrate_url", "redis_url", "smtp_url"}
"""Settings whose value is a URL, with user and password."""


@pytest.mark.parametrize("name", SECRET_SETTINGS)
def test_no_secret_of_the_configuration_is_shown_by_its_name_or_in_a_url(production: Written, name: str) -> None:
    if name in ADDRESSES:
        log.get("x").info("y", **{name: "scheme://asha:hunter2@db.example.com/x"}, reason="to scheme://asha:hunter2@db")
    else:
        log.get("x").info("y", **{name: "hunter2", variable(name): "hunter2"}, ring={name: {"k1": "hunter2"}})
    assert "hunter2" not in production.text()


def test_every_setting_that_is_named_like_a_secret_is_left_out_of_what_settings_show() -> None:
    numbers = {name for name, field in Settings.model_fields.items() if field.annotation in (int, float)}
    named = {name for name in Settings.model_fields if log._is_secret(name, "text")} - numbers
    assert named - set(SECRET_SETTINGS) == {"agent_max_tokens", "auth_debug_tokens"} & named
    assert len(SECRET_SETTINGS) >= 10


SECRET_FIELDS = {
    *("password", "current_password", "new_password", "token", "refresh_token", "access_token", "debug_token"),
    *("code", "totp_code", "secret", "recovery_codes", "key", "ticket", "passport_number"),
}
"""Fields of requests and answers that are secret."""
PLAIN_FIELDS = {"cache_read_tokens", "cache_write_tokens", "input_tokens", "output_tokens", "daily_token_budget"}
"""Counts, which are named alike."""
HOLDERS = {"api_key", "totp_enabled"}
"""An object without the key itself, and a truth value, which is shown."""


def test_every_secret_field_of_the_interface_is_redacted_by_its_name(production: Written) -> None:
    schemas = document(ROUTES, "1")["components"]["schemas"].values()
    fields = {name for schema in schemas for name in schema.get("properties", {})} | {"recovery_codes"}
    assert fields >= SECRET_FIELDS
    log.get("x").info("y", body=dict.fromkeys(SECRET_FIELDS, "hunter2"))
    assert "hunter2" not in production.text()
    assert {name for name in fields if log._is_secret(name, "text")} - PLAIN_FIELDS - HOLDERS == SECRET_FIELDS
