"""Core statements as text for asyncpg: parameters by name, constants as literals, types as the columns have them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import any_, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from voyagent.storage.engine import statements
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.statements import Rows, Statement, binds, statement
from voyagent.storage.schema.columns import Uuid
from voyagent.storage.tables import api_keys, idempotency_keys, offers, outbox, passengers, tenants, turns, users

ROOT = Path(statements.__file__).parents[1]
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def words(made: Statement) -> str:
    """Its text on one line."""
    return " ".join(made.sql.split())


RENAME = statement(
    update(tenants)
    .filter_by(**binds("id"))
    .values(display_name=bindparam("name"), created_at=bindparam("now"), updated_at=bindparam("now"))
    .returning(tenants.c.id)
)


def test_a_parameter_used_twice_is_one_place() -> None:
    assert RENAME.parameters == ("name", "now", "id")
    assert words(RENAME) == (
        "UPDATE tenants SET display_name=$1::VARCHAR, created_at=$2::TIMESTAMP WITH TIME ZONE,"
        " updated_at=$2::TIMESTAMP WITH TIME ZONE WHERE tenants.id = $3::UUID RETURNING tenants.id"
    )


def test_arguments_stand_in_the_order_of_the_text_and_not_of_the_call() -> None:
    assert RENAME.arguments({"id": 3, "now": 2, "name": 1}) == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"id": 1, "name": 2}, r"missing: \['now'\], unknown: \[\]"),
        ({"id": 1, "name": 2, "now": 3, "nobody": 4}, r"missing: \[\], unknown: \['nobody'\]"),
        ({"id": 1, "name": 2, "nobody": 3}, r"missing: \['now'\], unknown: \['nobody'\]"),
        ({}, r"missing: \['id', 'name', 'now'\]"),
    ],
)
def test_a_missing_or_an_unknown_parameter_is_named(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        RENAME.arguments(values)


def test_a_parameter_may_have_the_name_of_an_argument() -> None:
    made = statement(select(users.c.id).where(users.c.email == bindparam("db"), users.c.role == bindparam("self")))
    assert made.arguments({"db": "a@b.in", "self": "agent"}) == ["a@b.in", "agent"]


def test_constants_are_literals_so_that_partial_indexes_are_used() -> None:
    made = statement(
        select(func.count())
        .select_from(outbox)
        .where(outbox.c.state == "due", outbox.c.kind.in_(("undo", "o'clock")), outbox.c.cause.not_like("recipient_%"))
        .limit(3)
    )
    assert made.parameters == ()
    assert words(made) == (
        "SELECT count(*) AS count_1 FROM outbox WHERE outbox.state = 'due' AND outbox.kind IN ('undo', 'o''clock')"
        " AND outbox.cause NOT LIKE 'recipient_%' LIMIT 3"
    )


def test_none_true_and_a_column_s_own_value_are_written_out() -> None:
    made = statement(
        update(users).values(password_hash=None, email_verified=True, token_version=users.c.token_version + 1)
    )
    assert made.parameters == ()
    assert "password_hash=NULL" in made.sql
    assert "email_verified=true" in made.sql
    assert "token_version=(users.token_version + 1)" in made.sql


def test_row_locks_and_conflicts_are_those_of_postgres() -> None:
    locked = select(users.c.id).join(tenants, tenants.c.id == users.c.tenant_id)
    assert words(statement(locked.with_for_update(key_share=True, of=users))).endswith("FOR NO KEY UPDATE OF users")
    assert words(statement(locked.with_for_update(read=True, of=users))).endswith("FOR SHARE OF users")
    assert words(statement(locked.with_for_update(skip_locked=True))).endswith("FOR UPDATE SKIP LOCKED")
    made = statement(insert(api_keys).values(**binds("id")).on_conflict_do_nothing(index_elements=["key_hash"]))
    assert words(made) == "INSERT INTO api_keys (id) VALUES ($1::UUID) ON CONFLICT (key_hash) DO NOTHING"


def test_an_expanding_list_is_refused_at_import() -> None:
    with pytest.raises(TypeError, match="any_"):
        statement(select(users.c.id).where(users.c.email.in_(bindparam("emails", expanding=True))))


def test_bytes_are_refused_as_constants() -> None:
    with pytest.raises(TypeError, match="bytes"):
        statement(delete(api_keys).where(api_keys.c.key_hash == b"\x00"))


async def test_values_of_every_kind_come_back_as_they_went_in(admin: Connection, world: Any) -> None:
    tenant_id, user_id = world["tenants"]["id"], world["users"]["id"]
    mine = binds("tenant_id", "id")
    assert await RENAME.fetchval(admin, id=tenant_id, name="नया", now=NOW) == tenant_id

    key = statement(
        update(api_keys).filter_by(**mine).values(**binds("scopes", "key_hash", "expires_at")).returning(api_keys)
    )
    given = {"scopes": ["read", "full"], "key_hash": b"\x00\xff" * 16, "expires_at": NOW + timedelta(days=1)}
    row = await key.fetchrow(admin, tenant_id=tenant_id, id=world["api_keys"]["id"], **given)
    assert {name: row[name] for name in given} == given

    offer = statement(update(offers).filter_by(**mine).values(**binds("price", "data", "session_id")).returning(offers))
    given = {"price": Decimal("12.3400"), "data": {"legs": [1, None, "ü"]}, "session_id": None}
    row = await offer.fetchrow(admin, tenant_id=tenant_id, id=world["offers"]["id"], **given)
    assert {name: row[name] for name in given} == given

    of_ids = statement(select(users.c.id).where(users.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))))
    assert [row["id"] for row in await of_ids.fetch(admin, ids=[user_id, tenant_id])] == [user_id]
    forget = statement(delete(idempotency_keys).filter_by(**binds("user_id")))
    assert await forget.execute(admin, user_id=user_id) == "DELETE 1"


async def test_several_queries_are_one_statement(admin: Connection, world: Any) -> None:
    tenant_id, session_id = world["tenants"]["id"], world["sessions"]["id"]
    turn = {"state": "queued", "text_hash": b"\x00\xff", "user_id": world["users"]["id"], "queued_at": NOW}
    add = statement(insert(turns).values(**binds("tenant_id", "session_id", "id", "input", *turn)))
    for name, said in (("t-2", {"text": "ü"}), ("t-1", {})):
        await add.execute(admin, tenant_id=tenant_id, session_id=session_id, id=name, input=said, **turn)
    mine = select(*turns.c["id", "input", "ended_at", *turn]).filter_by(**binds("session_id")).order_by(turns.c.id)
    some, none = Rows(mine.where(turns.c.id.like("t-%"))), Rows(mine.where(turns.c.state == "failed"))
    found = await statement(select(some.column.label("some"), none.column.label("none"))).fetchrow(
        admin, session_id=session_id
    )
    assert none.read(found["none"]) == []
    assert some.read(found["some"]) == [
        {"id": "t-1", "input": {}, "ended_at": None, **turn},
        {"id": "t-2", "input": {"text": "ü"}, "ended_at": None, **turn},
    ]


@pytest.mark.parametrize("day", [date.min, date(2028, 2, 29), date.max])
async def test_a_day_of_such_a_query_is_a_day(day: date, admin: Connection, world: Any) -> None:
    person = world["passengers"]
    await admin.execute("UPDATE passengers SET date_of_birth = $1 WHERE id = $2", day, person["id"])
    days = Rows(select(passengers.c.date_of_birth).filter_by(**binds("id")))
    found = await statement(select(days.column)).fetchval(admin, id=person["id"])
    assert days.read(found) == [{"date_of_birth": day}]


def test_money_does_not_travel_as_json() -> None:
    with pytest.raises(TypeError, match="price"):
        Rows(select(offers.c.id, offers.c.price))


def all_statements() -> Iterator[tuple[str, Statement]]:
    """Every statement that a module of ``storage`` has as a constant."""
    for path in sorted(ROOT.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        module = importlib.import_module(".".join(["voyagent.storage", *path.relative_to(ROOT).with_suffix("").parts]))
        for name, value in vars(module).items():
            if isinstance(value, Statement):
                yield f"{module.__name__}.{name}", value


async def test_postgres_takes_every_statement_there_is(admin: Connection) -> None:
    refused = {}
    for name, made in all_statements():
        try:
            prepared = await admin.prepare(made.sql)
        except Exception as error:  # noqa: BLE001 -- all of them are shown at once
            refused[name] = str(error)
        else:
            assert len(prepared.get_parameters()) == len(made.parameters), name
    assert refused == {}
